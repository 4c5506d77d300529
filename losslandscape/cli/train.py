"""Train a net of the paper and keep the checkpoints that surfaces are measured around.

    python cifar10/main.py --model resnet56
    python cifar10/main.py --model vgg9 --weight_decay 0 --save_epoch 1
    python cifar10/main.py --dataset digits --model resnet20 --epochs 10 --noaug
    python cifar10/main.py --model resnet56 resnet56_noshort --idx 0 1 --precision bf16
    python cifar10/main.py --model resnet56 --resume_model DIR/model_150.t7 --resume_opt DIR/opt_state_150.t7

The first command is the paper's recipe: 300 epochs, for a GPU. The second keeps every epoch, for
plot_trajectory.py. The third takes minutes on a CPU and downloads nothing. The fourth trains four nets, on a
GPU at the same time, on a CPU one after the other.

It writes `model_N.t7` and `opt_state_N.t7` (epochs 0, 1, 150, every `--save_epoch` and the last), `log.out`
with a line per epoch, and TensorBoard curves to a folder under `--save` that is named after the flags.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from losslandscape.cli.command_line import sentence
from losslandscape.cli.train_request import TrainRequest, build_parser, require_possible
from losslandscape.data.image_set import ImageSet
from losslandscape.nets import model_loader
from losslandscape.parallel import devices
from losslandscape.trajectory import training, training_folder, training_resume, training_run
from losslandscape.trajectory.training_run import EpochResult


def main(argv: list[str] | None = None, *, datapath: str = "cifar10/data") -> None:
    parser = build_parser(__doc__, datapath)
    args = parser.parse_args(argv)
    with sentence(parser):
        requests = TrainRequest.each_of(args)
        require_possible(requests)
        flags = requests[0].training
        devices.set_precision(flags.precision, flags.device)
        train_set, test_set = requests[0].load_images()
        prepared = [prepare(request, train_set, test_set) for request in requests]

        # All input is checked above; nothing is written before this line.
        pixels, test_set = train_set.images.to(flags.device), test_set.to(flags.device)
        trainings = [start(one, pixels, test_set) for one in prepared]
        progress = [
            ProgressLines(request, number, of=len(requests)) for number, request in enumerate(requests)
        ]
        for number, result in training_run.take_turns(trainings, flags.device):
            progress[number].print(result)


@dataclass(frozen=True)
class Prepared:
    """A net that is ready to be trained, new or resumed after `last_epoch`.

    Attributes:
        train_set: the training images on the CPU, with the labels of this training.
    """

    request: TrainRequest
    net: nn.Module
    optimizer: torch.optim.Optimizer
    train_set: ImageSet
    last_epoch: int


def prepare(request: TrainRequest, train_set: ImageSet, test_set: ImageSet) -> Prepared:
    """Make the net of a training with its optimizer and labels."""
    options = request.training
    train_set = request.with_corrupted_labels(train_set)
    torch.manual_seed(options.seed)
    net = model_loader.build(options.model)
    training_run.require_trainable(options.model, net, train_set, test_set, batch_size=options.batch_size)
    training.initialise(net)
    last_epoch = 0
    if options.resume_model:
        last_epoch = training_resume.resume_weights(net, options.resume_model, epochs=options.epochs)
    net.to(options.device)
    if options.device.type == "cuda":
        net.to(memory_format=torch.channels_last)  # for which tensor cores are made
        torch.backends.cudnn.benchmark = True  # every batch has the same shape
    optimizer = options.make_optimizer(net)
    if options.resume_opt:
        training_resume.resume_optimizer(optimizer, options.resume_opt)
    return Prepared(request, net, optimizer, train_set, last_epoch)


def start(prepared: Prepared, pixels: Tensor, test_set: ImageSet) -> Generator[EpochResult | None]:
    """Make the folder of a training, and return the training; `pixels` are its images on the device."""
    request, net, optimizer = prepared.request, prepared.net, prepared.optimizer
    options, plan, folder = request.training, request.training.plan(), request.folder
    print_notes(request, prepared.last_epoch)
    training_folder.start_log(folder, prepared.last_epoch)
    if options.label_corrupt_prob > 0:
        np.save(folder / "train_labels.npy", prepared.train_set.labels.numpy())
    parameters = sum(parameter.numel() for parameter in net.parameters())
    print(
        f"{options.model}: {parameters} parameters, {len(pixels)} training and {len(test_set)} "
        f"test images, on {options.device}\nWritten to {folder}"
    )
    if not options.resume_model:
        training_run.keep_start(net, test_set, plan, optimizer=optimizer, folder=folder)
    return training_run.train(
        net,
        replace(prepared.train_set, images=pixels, labels=prepared.train_set.labels.to(pixels.device)),
        test_set,
        plan,
        optimizer=optimizer,
        folder=folder,
        last_epoch=prepared.last_epoch,
        title=request.title,
    )


def print_notes(request: TrainRequest, last_epoch: int) -> None:
    """Print notes on effects that the user may not expect."""
    options, folder = request.training, request.folder
    if options.resume_model and not options.resume_opt:
        print("Note: without --resume_opt the momenta start at 0, unlike in an uninterrupted training.")
    if last_epoch == 0 and any(folder.glob("model_*.t7")):
        print(f"Note: {folder} holds an earlier training; its checkpoints will be replaced epoch by epoch.")


class ProgressLines:
    """A printer of a line per epoch with the time left, which warns at the first loss that is not finite.

    Args:
        request: the training.
        number: its number among several, from 0.
        of: how many trainings there are; a single one needs no title.
    """

    def __init__(self, request: TrainRequest, number: int, *, of: int):
        self._epochs = request.training.epochs
        self._title = f"{request.title} ({number + 1} of {of})  " if of > 1 else ""
        self._seconds: list[float] = []
        self._warned = False

    def print(self, result: EpochResult) -> None:
        self._seconds.append(result.seconds)
        left = tqdm.format_interval(mean(self._seconds) * (self._epochs - result.epoch))
        print(f"{self._title}{result.line.strip()}  lr: {result.lr:g}  left: {left}", flush=True)
        if not self._warned and not math.isfinite(result.train_loss):
            self._warned = True
            print(
                f"Warning: the training loss of epoch {result.epoch} is {result.train_loss}. "
                "Training continues, but the net is lost: try a smaller --lr."
            )
