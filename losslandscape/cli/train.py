"""Train a net of the paper and keep the checkpoints that surfaces are measured around.

    python cifar10/main.py --model resnet56
    python cifar10/main.py --model vgg9 --weight_decay 0 --save_epoch 1
    python cifar10/main.py --dataset digits --model resnet20 --epochs 10 --noaug
    python cifar10/main.py --model resnet56 --resume_model DIR/model_150.t7 --resume_opt DIR/opt_state_150.t7

The first command is the paper's recipe: 300 epochs, for a GPU. The second keeps every epoch, for
plot_trajectory.py. The third takes minutes on a CPU and downloads nothing.

It writes `model_N.t7` and `opt_state_N.t7` (epochs 0, 1, 150, every `--save_epoch` and the last), `log.out`
with a line per epoch, and TensorBoard curves to a folder under `--save` that is named after the flags.
"""

import math
import time

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from losslandscape.cli.command_line import sentence
from losslandscape.cli.train_request import TrainOptions, TrainRequest, build_parser
from losslandscape.data.image_set import ImageSet
from losslandscape.nets import model_loader
from losslandscape.trajectory import training, training_folder, training_run
from losslandscape.trajectory.training_run import EpochResult


def main(argv: list[str] | None = None, *, datapath: str = "cifar10/data") -> None:
    parser = build_parser(__doc__, datapath)
    request = TrainRequest.of(parser.parse_args(argv))
    options, plan = request.training, request.training.plan()
    with sentence(parser):
        options.require_usable()
        train_set, test_set = request.load_images()
        net, optimizer, last_epoch = prepare(options, train_set, test_set)

        # All input is checked above; nothing is written before this line.
        print_notes(request, last_epoch)
        folder = request.folder
        training_folder.start_log(folder, last_epoch)
        if options.label_corrupt_prob > 0:
            np.save(folder / "train_labels.npy", train_set.labels.numpy())
        parameters = sum(parameter.numel() for parameter in net.parameters())
        print(
            f"{options.model}: {parameters} parameters, {len(train_set)} training and {len(test_set)} "
            f"test images, on {options.device}\nWritten to {folder}"
        )
        train_set, test_set = train_set.to(options.device), test_set.to(options.device)
        if not options.resume_model:
            training_run.keep_start(net, test_set, plan, optimizer=optimizer, folder=folder)
        results = training_run.train(
            net, train_set, test_set, plan, optimizer=optimizer, folder=folder, last_epoch=last_epoch
        )
        progress = ProgressLines(last_epoch, plan.epochs)
        for result in results:
            progress.print(result)


def prepare(
    options: TrainOptions, train_set: ImageSet, test_set: ImageSet
) -> tuple[nn.Module, torch.optim.Optimizer, int]:
    """Return the net and its optimizer, new or resumed, and the last epoch that the net was trained for."""
    torch.manual_seed(options.seed)
    net = model_loader.build(options.model)
    training_run.require_trainable(options.model, net, train_set, test_set, batch_size=options.batch_size)
    training.initialise(net)
    last_epoch = 0
    if options.resume_model:
        last_epoch = training_run.resume_weights(net, options.resume_model, epochs=options.epochs)
    net.to(options.device)
    torch.backends.cudnn.benchmark = True  # every batch has the same shape
    optimizer = options.make_optimizer(net)
    if options.resume_opt:
        training_run.resume_optimizer(optimizer, options.resume_opt)
    return net, optimizer, last_epoch


def print_notes(request: TrainRequest, last_epoch: int) -> None:
    """Print notes on effects that the user may not expect."""
    options, folder = request.training, request.folder
    if options.resume_model and not options.resume_opt:
        print("Note: without --resume_opt the momenta start at 0, unlike in an uninterrupted training.")
    if last_epoch == 0 and any(folder.glob("model_*.t7")):
        print(f"Note: {folder} holds an earlier training; its checkpoints will be replaced epoch by epoch.")


class ProgressLines:
    """A printer of a line per epoch with the time left, which warns at the first loss that is not finite."""

    def __init__(self, last_epoch: int, epochs: int):
        self._last_epoch, self._epochs = last_epoch, epochs
        self._start = time.monotonic()
        self._warned = False

    def print(self, result: EpochResult) -> None:
        per_epoch = (time.monotonic() - self._start) / (result.epoch - self._last_epoch)
        left = tqdm.format_interval(per_epoch * (self._epochs - result.epoch))
        print(f"{result.line.strip()}  lr: {result.lr:g}  left: {left}", flush=True)
        if not self._warned and not math.isfinite(result.train_loss):
            self._warned = True
            print(
                f"Warning: the training loss of epoch {result.epoch} is {result.train_loss}. "
                "Training continues, but the net is lost: try a smaller --lr."
            )
