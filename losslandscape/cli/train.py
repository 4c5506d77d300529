"""Train a net of the paper and keep the checkpoints that the surfaces are drawn around.

    python cifar10/main.py --model resnet56                                       # the paper's recipe, 300 epochs, a GPU's work
    python cifar10/main.py --model vgg9 --weight_decay 0 --save_epoch 1           # every epoch kept, for plot_trajectory.py
    python cifar10/main.py --dataset digits --model resnet20 --epochs 10 --noaug  # minutes on a CPU, no download
    python cifar10/main.py --model resnet56 --resume_model FOLDER/model_150.t7 --resume_opt FOLDER/opt_state_150.t7

Writes `model_N.t7` and `opt_state_N.t7` (epochs 0, 1, 150 and every `--save_epoch`), `log.out` with a line an epoch, and
TensorBoard curves to a folder under `--save` that is named after the flags.
"""

import argparse
import copy
import dataclasses
import math
import os
import pickle
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.core.errors import InputError
from losslandscape.data import dataloader
from losslandscape.files.atomic_file import replacing
from losslandscape.measure import evaluation, losses
from losslandscape.nets import model_loader
from losslandscape.nets.models import MODELS
from losslandscape.trajectory import training

LOG_LINE = "e: %d loss: %.5f train_err: %.3f test_top1: %.3f test_loss %.5f\n"  # test_top1 is the test error, as published
LOG_EPOCH = re.compile(r"e: (\d+) ")
MIDDLE_EPOCH = 150  # always kept: the last one before the learning rate first falls


def main(argv: list[str] | None = None, *, datapath: str = "cifar10/data") -> None:
    parser = make_parser(datapath)
    args = parser.parse_args(argv)
    with sentence(parser):
        check_flags(args)
        device = torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
        seed = args.rand_seed + args.idx
        train_set, test_set = load_images(args, seed=seed)
        torch.manual_seed(seed)
        net = model_loader.build(args.model)
        check_net(args.model, net, train_set, test_set, batch_size=args.batch_size)
        training.initialise(net)
        last_epoch = load_weights(net, args.resume_model, epochs=args.epochs) if args.resume_model else 0
        net.to(device)
        torch.backends.cudnn.benchmark = True  # every batch has the same shape
        optimizer = training.make_optimizer(
            net, args.optimizer, lr=args.lr, momentum=args.momentum, weight_decay=args.weight_decay
        )
        if args.resume_opt:
            load_optimizer(optimizer, args.resume_opt)
        elif args.resume_model:
            print(
                "Note: without --resume_opt the optimizer starts anew: this is not the uninterrupted training."
            )

        # Nothing was written so far: all that the user gave is known to be usable.
        folder = Path(args.save) / folder_name(args)
        start_folder(folder, last_epoch)
        if args.label_corrupt_prob > 0:
            np.save(folder / "train_labels.npy", train_set.labels.numpy())
        parameters = sum(parameter.numel() for parameter in net.parameters())
        print(
            f"{args.model}: {parameters} parameters, {len(train_set)} training and {len(test_set)} test images, on {device}\n"
            f"Written to {folder}"
        )
        train(
            net,
            train_set.to(device),
            test_set.to(device),
            optimizer=optimizer,
            folder=folder,
            last_epoch=last_epoch,
            seed=seed,
            args=args,
        )


def train(
    net: nn.Module,
    train_set: dataloader.ImageSet,
    test_set: dataloader.ImageSet,
    *,
    optimizer: torch.optim.Optimizer,
    folder: Path,
    last_epoch: int,
    seed: int,
    args: argparse.Namespace,
) -> None:
    """Train from the epoch after `last_epoch` to `--epochs`, writing log, curves and checkpoints to `folder`."""
    from torch.utils.tensorboard import (
        SummaryWriter,  # takes seconds, and is no part of an answer to a mistyped flag
    )

    if not kept(args.epochs, args.save_epoch):
        print(
            f"Note: epoch {args.epochs}, the last one, is not among those kept (see --save_epoch {args.save_epoch})."
        )
    if last_epoch == 0 and not args.resume_model:
        _, accuracy = evaluation.evaluate(net, test_set, loss=args.loss_name, batch_size=args.batch_size)
        save_checkpoint(folder, net, optimizer, epoch=0, accuracy=accuracy)
    parallel = nn.DataParallel(net, list(range(args.ngpu))) if args.ngpu > 1 else net

    began, was_finite = time.monotonic(), True
    with (
        SummaryWriter(str(folder), purge_step=last_epoch + 1) as curves,
        open(folder / "log.out", "a", buffering=1) as log,
    ):
        for epoch in range(last_epoch + 1, args.epochs + 1):
            lr = training.learning_rate(epoch, lr=args.lr, lr_decay=args.lr_decay)
            for group in optimizer.param_groups:
                group["lr"] = lr
            loss, error = training.train_epoch(
                parallel,
                train_set,
                optimizer=optimizer,
                loss_name=args.loss_name,
                batch_size=args.batch_size,
                augmented=not args.noaug,
                seed=seed,
                epoch=epoch,
            )
            test_loss, accuracy = evaluation.evaluate(
                net, test_set, loss=args.loss_name, batch_size=args.batch_size
            )
            test_error = 100 - accuracy

            line = LOG_LINE % (epoch, loss, error, test_error, test_loss)
            log.write(line)
            left = (time.monotonic() - began) / (epoch - last_epoch) * (args.epochs - epoch)
            print(f"{line.strip()}  lr: {lr:g}  left: {tqdm.format_interval(left)}", flush=True)
            scalars = {
                "train/loss": loss,
                "train/error": error,
                "test/loss": test_loss,
                "test/error": test_error,
                "lr": lr,
            }
            for name, value in scalars.items():
                curves.add_scalar(name, value, epoch)
            if was_finite and not math.isfinite(loss):
                print(
                    f"Warning: the training loss of epoch {epoch} is {loss}. Training goes on, but the net is lost: "
                    "try a smaller --lr."
                )
                was_finite = False
            if kept(epoch, args.save_epoch):
                save_checkpoint(folder, net, optimizer, epoch=epoch, accuracy=accuracy)


def make_parser(datapath: str) -> Parser:
    parser = Parser(__doc__)
    group = parser.add_argument_group("training")
    group.add_argument(
        "--model",
        "-m",
        default="vgg9",
        choices=MODELS,
        metavar="NAME",
        help=f"one of {', '.join(MODELS)} (default vgg9)",
    )
    group.add_argument(
        "--loss_name", "-l", choices=losses.PUBLISHED, default="crossentropy", help="default crossentropy"
    )
    group.add_argument(
        "--optimizer",
        choices=training.OPTIMIZERS,
        default="sgd",
        help="sgd has Nesterov momentum (default sgd)",
    )
    group.add_argument("--batch_size", type=options.positive, default=128, help="images a step (default 128)")
    group.add_argument(
        "--lr", type=float, default=0.1, help="learning rate of the first epochs (default 0.1)"
    )
    group.add_argument(
        "--lr_decay",
        type=float,
        default=0.1,
        help="the learning rate is multiplied by this after epochs 150, 225 and 275 (default 0.1)",
    )
    group.add_argument("--weight_decay", type=float, default=0.0005, help="default 0.0005")
    group.add_argument("--momentum", type=float, default=0.9, help="of sgd (default 0.9)")
    group.add_argument(
        "--epochs", type=options.positive, default=300, help="number of the last epoch (default 300)"
    )
    group.add_argument("--noaug", action="store_true", help="neither crop nor mirror the training images")
    group.add_argument(
        "--label_corrupt_prob",
        type=float,
        default=0.0,
        help="fraction of the training labels drawn at random; they are kept in train_labels.npy (default 0)",
    )
    group.add_argument(
        "--rand_seed", type=int, default=0, help="seed of weights, image order and augmentation (default 0)"
    )
    group.add_argument(
        "--idx",
        type=int,
        default=0,
        help="number of a repetition: added to the seed and to the folder's name",
    )

    group = parser.add_argument_group("checkpoints")
    group.add_argument(
        "--save", default="trained_nets", help="folder of the trained nets' folders (default trained_nets)"
    )
    group.add_argument(
        "--save_epoch", type=options.positive, default=10, help="keep every N-th epoch (default 10)"
    )
    group.add_argument(
        "--resume_model", default="", metavar="FILE", help="go on after the epoch of this model_N.t7"
    )
    group.add_argument(
        "--resume_opt", default="", metavar="FILE", help="the opt_state_N.t7 that belongs to it"
    )

    group = parser.add_argument_group("devices")
    group.add_argument(
        "--ngpu", type=options.positive, default=1, help="GPUs to share each batch among (default 1)"
    )
    group.add_argument("--cpu", action="store_true", help="do not use a GPU even if there is one")

    options.add_data(parser, datapath_default=datapath)
    return parser


def check_flags(args: argparse.Namespace) -> None:
    """Refuse what no training can use, before anything is loaded or written."""
    for name in ("rand_seed", "idx"):
        if getattr(args, name) < 0:
            raise InputError(f"--{name} {getattr(args, name)} must be at least 0")
    for name in ("lr", "lr_decay"):
        if not 0 < getattr(args, name) < math.inf:
            raise InputError(f"--{name} {getattr(args, name)} must be above 0")
    if not 0 <= args.weight_decay < math.inf:
        raise InputError(f"--weight_decay {args.weight_decay} must be at least 0")
    if not 0 <= args.momentum < 1:
        raise InputError(f"--momentum {args.momentum} must be at least 0 and below 1")
    if not 0 <= args.label_corrupt_prob <= 1:
        raise InputError(f"--label_corrupt_prob {args.label_corrupt_prob} must be from 0 to 1")
    if args.resume_opt and not args.resume_model:
        raise InputError(f"--resume_opt {args.resume_opt} needs --resume_model, the net that it belongs to")
    for flag in ("resume_model", "resume_opt"):
        if getattr(args, flag) and not os.path.isfile(getattr(args, flag)):
            raise InputError(f"--{flag}: there is no file {getattr(args, flag)!r}")
    present = 0 if args.cpu else torch.cuda.device_count()
    if args.ngpu > 1 and args.ngpu > present:
        raise InputError(f"--ngpu {args.ngpu}: {present} CUDA devices can be used here")


def load_images(args: argparse.Namespace, *, seed: int) -> tuple[dataloader.ImageSet, dataloader.ImageSet]:
    """The training set, its labels corrupted if asked, and the test set."""
    train_set, test_set = (
        dataloader.load(
            args.dataset,
            part,
            datapath=args.datapath,
            raw_data=args.raw_data,
            mean=args.mean,
            std=args.std,
            npz_file=npz_file,
            threads=args.threads,
            show_progress=sys.stderr.isatty(),
        )
        for part, npz_file in (("train", args.trainloader), ("test", args.testloader))
    )
    for part, images in {"training": train_set, "test": test_set}.items():
        if len(images) == 0:
            raise InputError(f"the {part} set holds no images")
    labels = training.corrupt_labels(
        train_set.labels, args.label_corrupt_prob, num_classes=train_set.num_classes, seed=seed
    )
    return dataclasses.replace(train_set, labels=labels), test_set


def check_net(name: str, net: nn.Module, *sets: dataloader.ImageSet, batch_size: int) -> None:
    """Refuse a net that cannot take these images or has no output for some of their classes."""
    trial = copy.deepcopy(net).train()  # a copy: batch normalisation would remember the images
    for data in sets:
        images = data.batch(slice(0, min(batch_size, 2)))
        try:
            with torch.no_grad():
                classes = trial(images).shape[1]
        except (RuntimeError, ValueError) as error:
            size = "x".join(str(length) for length in images.shape)
            raise InputError(f"--model {name} cannot be trained on a batch of {size}: {error}") from error
        if int(data.labels.min()) < 0 or data.num_classes > classes:
            raise InputError(
                f"--model {name} tells classes 0 to {classes - 1} apart, and the labels of the images go from "
                f"{int(data.labels.min())} to {data.num_classes - 1}"
            )


def load_weights(net: nn.Module, path: str, *, epochs: int) -> int:
    """Load the checkpoint to be resumed into `net`; return its epoch."""
    checkpoint = model_loader.read_checkpoint(path)
    if checkpoint.epoch is None:
        raise InputError(f"--resume_model {path} does not say after which epoch it was kept")
    if checkpoint.epoch >= epochs:
        raise InputError(f"--epochs {epochs}: {path} was kept after epoch {checkpoint.epoch} already")
    model_loader.load_state(net, checkpoint.state, what=path)
    return checkpoint.epoch


def load_optimizer(optimizer: torch.optim.Optimizer, path: str) -> None:
    """Load what the optimizer remembers (its momenta). Its rates stay those of the command line, which name the folder."""
    own = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    momentum = "exp_avg" if isinstance(optimizer, torch.optim.Adam) else "momentum_buffer"
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)["optimizer"]
        # A parameter's key is its number here, and was its address in memory in the old PyTorch of the published files.
        keys = [key for group in saved["param_groups"] for key in group["params"]]
        remembered = {keys.index(key): buffers for key, buffers in saved["state"].items()}
        fits = len(keys) == len(parameters) and all(
            momentum in buffers
            and (buffers[momentum] is None or buffers[momentum].shape == parameters[number].shape)
            for number, buffers in remembered.items()
        )
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise InputError(
            f"--resume_opt {path} is no opt_state_N.t7 of this program or the published one"
        ) from error
    if not fits:
        raise InputError(f"--resume_opt {path} belongs to another net or another --optimizer")
    optimizer.load_state_dict({"state": remembered, "param_groups": own["param_groups"]})


def folder_name(args: argparse.Namespace) -> str:
    """The published name: what is at its default and was added late is left out."""
    name = f"{args.model}_{args.optimizer}_lr={args.lr}"
    if args.lr_decay != 0.1:
        name += f"_lr_decay={args.lr_decay}"
    name += f"_bs={args.batch_size}_wd={args.weight_decay}_mom={args.momentum}_save_epoch={args.save_epoch}"
    if args.loss_name != "crossentropy":
        name += f"_loss={args.loss_name}"
    if args.noaug:
        name += "_noaug"
    if args.raw_data:
        name += "_rawdata"
    if args.label_corrupt_prob > 0:
        name += f"_randlabel={args.label_corrupt_prob}"
    if args.ngpu > 1:
        name += f"_ngpu={args.ngpu}"
    if args.idx > 0:
        name += f"_idx={args.idx}"
    return name


def start_folder(folder: Path, last_epoch: int) -> None:
    """Make the folder, with a log that ends at `last_epoch`: what a training says of later epochs, this one will say anew."""
    folder.mkdir(parents=True, exist_ok=True)
    if last_epoch == 0 and any(folder.glob("model_*.t7")):
        print(
            f"Note: {folder} holds an earlier training; its checkpoints are replaced as this one comes to the same epochs."
        )
    log = folder / "log.out"
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    epochs = [LOG_EPOCH.match(line) for line in lines]
    with replacing(log) as part:
        Path(part).write_text(
            "".join(
                line
                for line, match in zip(lines, epochs, strict=True)
                if match and int(match[1]) <= last_epoch
            )
        )


def kept(epoch: int, save_epoch: int) -> bool:
    return epoch in (0, 1, MIDDLE_EPOCH) or epoch % save_epoch == 0


def save_checkpoint(
    folder: Path, net: nn.Module, optimizer: torch.optim.Optimizer, *, epoch: int, accuracy: float
) -> None:
    """Write `model_N.t7` and `opt_state_N.t7`, tensors on the CPU so that they load where there is no GPU."""
    state = {name: tensor.cpu() for name, tensor in net.state_dict().items()}
    save(folder / f"opt_state_{epoch}.t7", {"optimizer": optimizer.state_dict()})
    save(folder / f"model_{epoch}.t7", {"acc": accuracy, "epoch": epoch, "state_dict": state})


def save(path: Path, content: dict[str, Any]) -> None:
    with replacing(path, lasting=True) as part:
        torch.save(content, part)


if __name__ == "__main__":
    main()
