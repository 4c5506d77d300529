"""The published program: a command, whose arguments are run in this process.

Its folder is in PEERS_PUBLISHED. It loads digits from a file with a DataLoader, whose two workers are its
default. What today's versions need is done here and changes no number: NumPy takes a number of points as an
integer, CIFAR-10 is not downloaded, and a pickled loader may be read.
"""

import os
import runpy
import sys

import numpy as np
import torch
import torchvision
from problem import loader
from torch.utils.data import DataLoader

arguments = """--model resnet20 --model_file net.t7 --trainloader loader.pt --testloader loader.pt
    --x=-1:1:5 --y=-1:1:5 --dir_type weights --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn
    --surf_file surface.h5"""
torch.save(DataLoader(loader.dataset, batch_size=loader.batch_size, num_workers=2), "loader.pt")
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
torchvision.datasets.CIFAR10 = lambda **options: None
linspace = np.linspace
np.linspace = lambda start, stop, num: linspace(start, stop, int(num))
program = os.environ["PEERS_PUBLISHED"]
sys.path.insert(0, program)
sys.argv = ["plot_surface.py", *arguments.split()]
runpy.run_path(f"{program}/plot_surface.py", run_name="__main__")
