"""The command line of plot_trajectory.py: its parser, and its values in frozen dataclasses."""

import argparse
import os
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from torch import nn

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser
from losslandscape.cli.figure_options import add_out, add_page_options
from losslandscape.cli.request import DataOptions, NetOptions, Options
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts
from losslandscape.files.file_names import shortened, without_special_characters
from losslandscape.files.training_order import differing_parts
from losslandscape.files.writable import require_writable
from losslandscape.nets import net_tensors
from losslandscape.trajectory import (
    checkpoint_files,
    checkpoint_matrix,
    dimension_reduction,
    training_folder,
)
from losslandscape.trajectory.checkpoint_files import Checkpoints
from losslandscape.trajectory.checkpoint_matrix import CheckpointMatrix
from losslandscape.trajectory.plane import PLANES

PREFIX, SUFFIX, MAX_EPOCH, SAVE_EPOCH = "model_", ".t7", 300, 1  # as published
METHODS = (*dimension_reduction.METHODS, "tsne")


@dataclass(frozen=True)
class PathOptions(Options):
    """The choice of checkpoints and plane, and of the results to make from the path."""

    model_folder: list[str]
    names: list[str]
    prefix: str
    suffix: str
    pattern: str
    start_epoch: int
    max_epoch: int | None
    save_epoch: int
    dir_type: str
    ignore: str
    plane: str
    dir_file: str
    method: str
    overwrite: bool
    losses: bool
    loss_name: str
    cuda: bool
    batch_size: int | None
    animate: str
    surf_name: str
    show: bool
    out: str
    format: list[str]

    @property
    def name(self) -> str:
        """The part of the published file names that describes the checkpoints and directions."""
        ignored = f"_ignore={self.ignore}" if self.ignore else ""
        chosen = f"save_epoch={self.save_epoch}"
        if self.pattern:
            chosen = f"pattern={without_special_characters(self.pattern)}"
        others = "".join(f"_with_{without_special_characters(name)}" for name in self.training_names[1:])
        return f"{self.dir_type}{ignored}_{chosen}{others}"

    @property
    def training_names(self) -> list[str]:
        """The names of the trainings, one per folder; empty if there is one."""
        if len(self.model_folder) == 1:
            return []
        return self.names or differing_parts(list(map(os.path.normpath, self.model_folder)))

    def require_consistent(self) -> None:
        """Raise `InputError` for options that contradict each other."""
        self._require_names()
        if self.method == "tsne" and (self.dir_file or self.animate or self.losses or self.plane != "pca"):
            fault = "--method tsne has no plane, and so no directions, no contours and no losses on it"
            raise InputError(fault, "leave {dir_file}, {plane}, {animate} and {losses} out")
        if self.pattern and (self.prefix, self.suffix, self.save_epoch) != (PREFIX, SUFFIX, SAVE_EPOCH):
            fault = f"--pattern {self.pattern} takes every checkpoint that matches"
            raise InputError(fault, "leave {prefix}, {suffix} and {save_epoch} out")
        if os.path.exists(self.dir_file) and self.plane != "pca":
            fault = f"--dir_file {self.dir_file} and --plane {self.plane} are two planes"
            raise InputError(fault, "give one of them")

    def _require_names(self) -> None:
        """Raise `InputError` unless each of several trainings has a name of its own."""
        count = len(self.model_folder)
        if self.names and (count == 1 or len(self.names) != count):
            fault = f"{count} folder{'' if count == 1 else 's'} and {len(self.names)} names are given"
            raise InputError(fault, "give {names} only with several folders, one for each")
        names = list(map(without_special_characters, self.training_names))
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two trainings have the name {name!r}", "give each its own with {names}")


@dataclass(frozen=True)
class PathRequest:
    """Everything that a command line of plot_trajectory.py asks for."""

    net: NetOptions
    data: DataOptions
    path: PathOptions

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        first = argparse.Namespace(**{**vars(args), "model_folder": args.model_folder[0]})
        return cls(NetOptions.of(first), DataOptions.of(args), PathOptions.of(args))

    @property
    def trainings(self) -> list[Self]:
        """This request for the checkpoints of each folder."""
        folders = self.path.model_folder
        return [replace(self, net=replace(self.net, model_folder=folder)) for folder in folders]

    @property
    def proj_files(self) -> list[str]:
        """The projection file of each training; of one, with the published program's name."""
        endings = [f"_{without_special_characters(name)}" for name in self.path.training_names] or [""]
        if self.path.method == "tsne":
            start, end = os.path.join(self.net.model_folder, f"tsne_{self.path.name}"), ".h5"
        else:
            start, end = self.dir_file, f"_proj_{self.path.method}.h5"
        return [shortened(f"{start}{ending}{end}") for ending in endings]

    @property
    def dir_file(self) -> str:
        """The path of the direction file: the user's, or else the published program's."""
        kind = "PCA" if self.path.plane == "pca" else self.path.plane
        folder = shortened(os.path.join(self.net.model_folder, f"{kind}_{self.path.name}"))
        return self.path.dir_file or os.path.join(folder, "directions.h5")

    @property
    def holds_given_directions(self) -> bool:
        """Whether --dir_file names a file that exists; otherwise the directions are made."""
        return os.path.exists(self.path.dir_file)

    def require_writable_path(self) -> None:
        """Raise `InputError` before checkpoints are read unless directions and projection can be written."""
        if self.path.method == "tsne":
            return
        folder = os.path.dirname(self.dir_file)
        is_made = not self.path.dir_file and not os.path.isdir(folder)
        require_writable(
            folder if is_made else self.dir_file,
            "give another file for the directions with {dir_file}",
            ending=f"_proj_{self.path.method}.h5.pdf",
        )

    def find_checkpoints(self) -> Checkpoints:
        """Find the checkpoints: all that match the pattern, or those of the published names."""
        path, folder = self.path, self.net.model_folder
        if path.pattern:
            return checkpoint_files.find_between(
                os.path.join(folder, path.pattern), path.start_epoch, path.max_epoch
            )
        by_epoch = training_folder.find_checkpoints(
            folder,
            prefix=path.prefix,
            suffix=path.suffix,
            start=path.start_epoch,
            end=MAX_EPOCH if path.max_epoch is None else path.max_epoch,
            step=path.save_epoch,
        )
        return Checkpoints(list(by_epoch.values()), np.array(list(by_epoch)))

    def read_checkpoints(self, files: list[str], net: nn.Module) -> CheckpointMatrix:
        return checkpoint_matrix.read(
            files, net, self.path.dir_type, state_key=self.net.state_key, unsafe_pickle=self.net.unsafe_pickle
        )

    def facts(self, matrix: CheckpointMatrix) -> Facts:
        """Return the facts that decide the path, except the plane."""
        return {
            "model": " ".join([self.net.model, *self.net.model_args]),
            "dir_type": self.path.dir_type,
            "ignore": self.path.ignore or "nothing",
            "checkpoints": matrix.fingerprint,
        }


def build_parser(description: str | None) -> Parser:
    parser = Parser(description)
    add_checkpoints(parser)
    add_plane(parser)
    add_losses(parser)
    options.add_data(parser)
    options.add_subset(parser, test_set=False)
    group = parser.add_argument_group("figures")
    group.add_argument(
        "--animate",
        default="",
        metavar="SURF_FILE",
        help="also make a film of the training over the contours of this surface along the same directions: "
        "a GIF, and an MP4 where ffmpeg is installed",
    )
    text = "the quantity whose contours these are (default: %(default)s)"
    group.add_argument("--surf_name", default="train_loss", metavar="NAME", help=text)
    group.add_argument("--show", action="store_true", help="open the figures in windows as well")
    add_out(group, "the projection file", of="the figures' names")
    add_page_options(group)
    return parser


def add_checkpoints(parser: Parser) -> None:
    """Add the options for the checkpoints."""
    group = parser.add_argument_group("checkpoints")
    options.add_net(group)
    add, number = group.add_argument, options.not_negative
    text = (
        "folder with the checkpoints of a training; the paths of several are drawn in one plane, around the "
    )
    text += "last checkpoint of the first"
    add("--model_folder", nargs="+", required=True, metavar="DIR", help=text)
    text = "the name of each of several trainings (default: its folder)"
    add("--names", nargs="+", default=[], metavar="NAME", help=text)
    add("--prefix", default=PREFIX, help="a checkpoint's name before the epoch (default: %(default)s)")
    add("--suffix", default=SUFFIX, help="and after it (default: %(default)s)")
    text = "instead: all files of such names in the folder, in the order of their numbers, as 'epoch=*.ckpt'"
    add("--pattern", default="", help=text)
    add("--start_epoch", type=number, default=0, help="first epoch (default: 0, before training)")
    text = f"last epoch, which is the origin (default: {MAX_EPOCH}; of a pattern, the last that there is)"
    add("--max_epoch", type=number, help=text)
    text = "epochs from one checkpoint to the next (default: %(default)s)"
    add("--save_epoch", type=options.positive, default=SAVE_EPOCH, help=text)


def add_plane(parser: Parser) -> None:
    """Add the options for the plane."""
    group = parser.add_argument_group("plane")
    group.add_argument(
        "--dir_type",
        default="weights",
        choices=net_tensors.DIRECTION_TYPES,
        help="what moves: weights, or states with the BN statistics (default: weights)",
    )
    group.add_argument(
        "--ignore",
        default="",
        choices=options.choice_or_empty(net_tensors.IGNORES),
        metavar="WHAT",
        help="biasbn: the directions leave biases and BN out",
    )
    group.add_argument(
        "--plane",
        default="pca",
        choices=tuple(PLANES),
        help="pca: the first two principal components (default); random: two random filter-normalised "
        "directions, scaled to length 1, which capture hardly any of the motion",
    )
    group.add_argument(
        "--dir_file",
        default="",
        metavar="FILE",
        help="project on the directions of this file instead; if it does not exist, they are made there",
    )
    group.add_argument(
        "--method",
        default="cos",
        choices=METHODS,
        help="cos: lengths along each direction (default); lstsq: the nearest point of the plane in "
        "multiples of both directions, for directions of any length and angle; "
        "tsne: no plane, but an embedding by t-SNE",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="make new directions where their file was made with something else; "
        "the old file is kept as FILE.old",
    )


def add_losses(parser: Parser) -> None:
    """Add the options for the losses and their device."""
    group = parser.add_argument_group("losses")
    group.add_argument(
        "--losses",
        action="store_true",
        help="measure the loss of each checkpoint and of its place on the plane, on the training data below; "
        "a run that was stopped is resumed",
    )
    options.add_loss(group)
    group.add_argument("--cuda", "-c", action="store_true", help="measure on the GPU")
    text = "images in a forward pass (default: the fastest, found by a short probe)"
    group.add_argument("--batch_size", type=options.positive, help=text)
