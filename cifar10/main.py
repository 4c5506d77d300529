"""python cifar10/main.py --dataset digits --model resnet20 --epochs 1 --noaug

Trains a net with the paper's recipe into trained_nets/ of the working folder.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # where the package is

from losslandscape.cli.train import main  # noqa: E402

if __name__ == "__main__":
    main(datapath=os.path.relpath(HERE / "data"))
