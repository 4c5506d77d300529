"""The command line of a training: its parser, and its values in frozen dataclasses."""

import argparse
import itertools
import math
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import nn

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser
from losslandscape.cli.request import DataOptions, Options
from losslandscape.core.errors import InputError
from losslandscape.data import dataloader
from losslandscape.data.image_set import ImageSet
from losslandscape.evaluate import losses
from losslandscape.nets.models import MODELS
from losslandscape.trajectory import training
from losslandscape.trajectory.training_run import TrainingPlan


@dataclass(frozen=True)
class TrainOptions(Options):
    """The flags of the training; the parser below explains them."""

    model: str
    loss_name: str
    optimizer: str
    batch_size: int
    lr: float
    lr_decay: float
    weight_decay: float
    momentum: float
    epochs: int
    noaug: bool
    label_corrupt_prob: float
    rand_seed: int
    idx: int
    save: str
    save_epoch: int
    resume_model: str
    resume_opt: str
    ngpu: int
    cpu: bool
    precision: str

    @property
    def seed(self) -> int:
        return self.rand_seed + self.idx

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() and not self.cpu else "cpu")

    def plan(self) -> TrainingPlan:
        return TrainingPlan(
            loss_name=self.loss_name,
            batch_size=self.batch_size,
            lr=self.lr,
            lr_decay=self.lr_decay,
            augmented=not self.noaug,
            epochs=self.epochs,
            save_epoch=self.save_epoch,
            seed=self.seed,
            gpus=self.ngpu,
            precision=self.precision,
        )

    def make_optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        return training.make_optimizer(
            net, self.optimizer, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay
        )

    def require_usable(self) -> None:
        """Raise `InputError` for values that no training can use, before anything is loaded or written."""
        for name in ("rand_seed", "idx"):
            _require(getattr(self, name) >= 0, f"--{name} {getattr(self, name)} must be at least 0")
        for name in ("lr", "lr_decay"):
            value = getattr(self, name)
            _require(0 < value < math.inf, f"--{name} {value} must be above 0")
        _require(0 <= self.weight_decay < math.inf, f"--weight_decay {self.weight_decay} must be at least 0")
        _require(0 <= self.momentum < 1, f"--momentum {self.momentum} must be at least 0 and below 1")
        share = self.label_corrupt_prob
        _require(0 <= share <= 1, f"--label_corrupt_prob {share} must be from 0 to 1")
        lacks_model = bool(self.resume_opt) and not self.resume_model
        fault = f"--resume_opt {self.resume_opt} needs --resume_model, the net that it belongs to"
        _require(not lacks_model, fault)
        for name in ("resume_model", "resume_opt"):
            file = getattr(self, name)
            _require(not file or os.path.isfile(file), f"--{name}: there is no file {file!r}")
        gpus = 0 if self.cpu else torch.cuda.device_count()
        has_enough = self.ngpu == 1 or self.ngpu <= gpus
        _require(has_enough, f"--ngpu {self.ngpu}: {gpus} CUDA devices can be used here")


def _for_each(name: str, files: list[str], count: int) -> list[str]:
    """Return a file for each of `count` nets, all empty if none is given."""
    nets = f"{count} net{'s' if count > 1 else ''}"
    given = f"{len(files)} file{'s' if len(files) > 1 else ''}"
    _require(len(files) in (0, count), f"--{name} has {given} for {nets}")
    return files or [""] * count


def _require(is_usable: bool, fault: str) -> None:
    if not is_usable:
        raise InputError(fault)


@dataclass(frozen=True)
class TrainRequest:
    """Everything that the command line of a training asks for."""

    training: TrainOptions
    data: DataOptions

    @classmethod
    def each_of(cls, args: argparse.Namespace) -> list[Self]:
        """Return a request for each net and each repetition, with its files to resume."""
        data = DataOptions.of(args)
        trainings = list(itertools.product(args.model, args.idx))
        models, optimizers = (
            _for_each(name, getattr(args, name), len(trainings)) for name in ("resume_model", "resume_opt")
        )
        requests = []
        for (model, idx), resume_model, resume_opt in zip(trainings, models, optimizers, strict=True):
            own = {"model": model, "idx": idx, "resume_model": resume_model, "resume_opt": resume_opt}
            requests.append(cls(TrainOptions.of(argparse.Namespace(**{**vars(args), **own})), data))
        return requests

    @property
    def title(self) -> str:
        """The words that tell this training from others of the same command."""
        flags = self.training
        return f"{flags.model} idx={flags.idx}" if flags.idx else flags.model

    @property
    def folder(self) -> Path:
        """The folder of the checkpoints. Its published name leaves out some flags at their defaults."""
        flags = self.training
        name = f"{flags.model}_{flags.optimizer}_lr={flags.lr}"
        if flags.lr_decay != 0.1:
            name += f"_lr_decay={flags.lr_decay}"
        name += f"_bs={flags.batch_size}_wd={flags.weight_decay}_mom={flags.momentum}"
        name += f"_save_epoch={flags.save_epoch}"
        if flags.loss_name != "crossentropy":
            name += f"_loss={flags.loss_name}"
        if flags.noaug:
            name += "_noaug"
        if self.data.raw_data:
            name += "_rawdata"
        if flags.label_corrupt_prob > 0:
            name += f"_randlabel={flags.label_corrupt_prob}"
        if flags.precision:
            name += f"_{flags.precision}"
        if flags.ngpu > 1:
            name += f"_ngpu={flags.ngpu}"
        if flags.idx > 0:
            name += f"_idx={flags.idx}"
        return Path(flags.save) / name

    def load_images(self) -> tuple[ImageSet, ImageSet]:
        """Load the training set and the test set."""
        return self._load_part("train", self.data.trainloader), self._load_part("test", self.data.testloader)

    def with_corrupted_labels(self, train_set: ImageSet) -> ImageSet:
        """Return the training set with labels corrupted as requested."""
        flags = self.training
        labels = training.corrupt_labels(
            train_set.labels, flags.label_corrupt_prob, num_classes=train_set.num_classes, seed=flags.seed
        )
        return replace(train_set, labels=labels)

    def _load_part(self, part: str, npz_file: str) -> ImageSet:
        images = dataloader.load(
            self.data.dataset,
            part,
            datapath=self.data.datapath,
            raw_data=self.data.raw_data,
            mean=self.data.mean,
            std=self.data.std,
            npz_file=npz_file,
            threads=self.data.threads,
            show_progress=sys.stderr.isatty(),
        )
        name = "training" if part == "train" else part
        _require(len(images) > 0, f"the {name} set holds no images")
        return images


def require_possible(requests: list[TrainRequest]) -> None:
    """Raise `InputError` for values that cannot be used, or not together, before anything is loaded."""
    for request in requests:
        request.training.require_usable()
    titles = [request.title for request in requests]
    for title in titles:
        _require(titles.count(title) == 1, f"{title} is given twice by --model and --idx")
    gpus = requests[0].training.ngpu
    _require(gpus == 1 or len(requests) == 1, f"--ngpu {gpus} is for one --model and one --idx")


def build_parser(description: str | None, datapath: str = "cifar10/data") -> Parser:
    parser = Parser(description)
    add_training(parser)
    group = parser.add_argument_group("checkpoints")
    text = "folder of the trained nets' folders (default trained_nets)"
    group.add_argument("--save", default="trained_nets", help=text)
    text = "keep every N-th epoch, and the last one (default 10)"
    group.add_argument("--save_epoch", type=options.positive, default=10, help=text)
    text = "resume after the epoch of this model_N.t7; for several nets, one each, a net's --idx side by side"
    group.add_argument("--resume_model", nargs="+", default=[], metavar="FILE", help=text)
    text = "the opt_state_N.t7 that belongs to it"
    group.add_argument("--resume_opt", nargs="+", default=[], metavar="FILE", help=text)
    group = parser.add_argument_group("devices")
    text = "GPUs that share each batch (default 1)"
    group.add_argument("--ngpu", type=options.positive, default=1, help=text)
    group.add_argument("--cpu", action="store_true", help="do not use a GPU even if there is one")
    options.add_precision(group, bf16="with weights, loss and optimizer in float32")
    options.add_data(parser, datapath_default=datapath)
    return parser


def add_training(parser: Parser) -> None:
    """Add the options for the net and its training recipe."""
    group = parser.add_argument_group("training")
    add = group.add_argument
    names = f"one or several of {', '.join(MODELS)}, which share a GPU (default vgg9)"
    add("--model", "-m", nargs="+", default=["vgg9"], choices=MODELS, metavar="NAME", help=names)
    text = "default crossentropy"
    add("--loss_name", "-l", choices=losses.PUBLISHED, default="crossentropy", help=text)
    text = "sgd has Nesterov momentum (default sgd)"
    add("--optimizer", choices=training.OPTIMIZERS, default="sgd", help=text)
    add("--batch_size", type=options.positive, default=128, help="images per step (default 128)")
    add("--lr", type=float, default=0.1, help="learning rate of the first epochs (default 0.1)")
    text = "the learning rate is multiplied by this after epochs 150, 225 and 275 (default 0.1)"
    add("--lr_decay", type=float, default=0.1, help=text)
    add("--weight_decay", type=float, default=0.0005, help="default 0.0005")
    add("--momentum", type=float, default=0.9, help="of sgd (default 0.9)")
    add("--epochs", type=options.positive, default=300, help="number of the last epoch (default 300)")
    add("--noaug", action="store_true", help="neither crop nor mirror the training images")
    text = "fraction of the training labels drawn at random; they are kept in train_labels.npy (default 0)"
    add("--label_corrupt_prob", type=float, default=0.0, help=text)
    text = "seed of weights, image order and augmentation (default 0)"
    add("--rand_seed", type=int, default=0, help=text)
    text = "number of a repetition, or several: added to the seed and to the folder's name (default 0)"
    add("--idx", nargs="+", type=int, default=[0], metavar="N", help=text)
