"""Project the checkpoints of a training on a plane, by default that of their principal components, and
draw the path.

    python plot_trajectory.py --model resnet20 --model_folder DIR --max_epoch 30 --ignore biasbn
    python plot_trajectory.py --model vgg9 --model_folder DIR --dir_type states --save_epoch 10
    python plot_trajectory.py --model resnet20 --model_folder DIR --max_epoch 30 --plane random
    python plot_trajectory.py --model resnet20 --model_folder DIR --max_epoch 30 --method tsne
    python plot_trajectory.py --model resnet20 --model_folder DIR --max_epoch 30 --animate SURF_FILE
    python plot_trajectory.py --model resnet20 --model_folder DIR --max_epoch 30 --losses --dataset digits

The directions go to `DIR/PCA_<dir_type>[_ignore=biasbn]_save_epoch=<n>/directions.h5`, the projection
beside them as `<directions>_proj_cos.h5`, the figure to `<projection>.pdf`. For contours under the path,
give plot_surface.py `--dir_file <directions>`, the same `--dir_type`, and `--proj_file <projection>
--plot`. With that surface, `--animate` makes a film. With `--losses`, the loss of each checkpoint and
that of its place on the plane are kept in the projection, and compared in `<projection>_losses.pdf`.
"""

import argparse
import os
import sys
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import nn

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser, add_format_option, sentence
from losslandscape.cli.landscapes import code_facts
from losslandscape.cli.request import DataOptions, NetOptions, Options
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, fingerprint_of_arrays
from losslandscape.data.dataloader import ImageSet
from losslandscape.data.samples import Samples
from losslandscape.draw import figures, film, trajectory_figures
from losslandscape.files import h5_util
from losslandscape.files.atomic_file import keep_aside
from losslandscape.files.projection import Projection
from losslandscape.measure import losses
from losslandscape.measure.evaluation import Evaluator
from losslandscape.measure.fit_check import check_data
from losslandscape.measure.loss import Loss
from losslandscape.nets import model_loader, net_tensors
from losslandscape.nets.net_plotter import SEED
from losslandscape.parallel import devices
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.trajectory import checkpoint_matrix, dimension_reduction, plane, projected_path
from losslandscape.trajectory.checkpoint_matrix import CheckpointMatrix
from losslandscape.trajectory.plane import PLANES, Plane
from losslandscape.trajectory.training_folder import find_checkpoints, learning_rate_drops

METHODS = (*dimension_reduction.METHODS, "tsne")


@dataclass(frozen=True)
class PathOptions(Options):
    """Which checkpoints, on which plane, and what is made of their path."""

    prefix: str
    suffix: str
    start_epoch: int
    max_epoch: int
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
    format: list[str]

    @property
    def name(self) -> str:
        """The published program's name for the checkpoints and what moves."""
        ignored = f"_ignore={self.ignore}" if self.ignore else ""
        return f"{self.dir_type}{ignored}_save_epoch={self.save_epoch}"

    def require_consistent(self) -> None:
        """Raise `InputError` for options that contradict each other."""
        if self.method == "tsne" and (self.dir_file or self.animate or self.losses or self.plane != "pca"):
            fault = "--method tsne has no plane, and so no directions, no contours and no losses on it"
            raise InputError(fault, "leave {dir_file}, {plane}, {animate} and {losses} out")
        if self.dir_file and self.plane != "pca":
            fault = f"--dir_file {self.dir_file} and --plane {self.plane} are two planes"
            raise InputError(fault, "give one of them")


@dataclass(frozen=True)
class PathRequest:
    net: NetOptions
    data: DataOptions
    path: PathOptions

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        return cls(NetOptions.of(args), DataOptions.of(args), PathOptions.of(args))

    @property
    def dir_file(self) -> str:
        """The direction file: the one that is given, or the published program's name."""
        kind = "PCA" if self.path.plane == "pca" else self.path.plane
        named = os.path.join(self.net.model_folder, f"{kind}_{self.path.name}", "directions.h5")
        return self.path.dir_file or named

    def find_checkpoints(self) -> dict[int, str]:
        """The checkpoints by epoch."""
        path = self.path
        return find_checkpoints(
            self.net.model_folder,
            prefix=path.prefix,
            suffix=path.suffix,
            start=path.start_epoch,
            end=path.max_epoch,
            step=path.save_epoch,
        )

    def read_checkpoints(self, files: list[str], net: nn.Module) -> CheckpointMatrix:
        return checkpoint_matrix.read(
            files,
            net,
            self.path.dir_type,
            state_key=self.net.state_key,
            unsafe_pickle=self.net.unsafe_pickle,
        )

    def facts(self, matrix: CheckpointMatrix) -> Facts:
        """What decides the path, except the plane."""
        return {
            "model": " ".join([self.net.model, *self.net.model_args]),
            "dir_type": self.path.dir_type,
            "ignore": self.path.ignore or "nothing",
            "checkpoints": matrix.fingerprint,
        }


@dataclass(frozen=True)
class Losses:
    """What the losses along the path are measured with."""

    data: Samples
    loss: Loss
    facts: Facts

    @classmethod
    def load(cls, request: PathRequest, net: nn.Module, loss: Loss) -> Self:
        data = request.data.load(Serial())["train"]
        check_data(net, data, loss, request.net.model)
        facts = {
            "loss_name": request.path.loss_name,
            "data": fingerprint_of_arrays(data.arrays()),
            **code_facts("loss", request.path.loss_name),
            **code_facts("model", request.net.model),
        }
        if isinstance(data, ImageSet):
            facts["normalisation"] = f"{data.mean}, {data.std}"
        return cls(data, loss, facts)


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    request = PathRequest.of(parser.parse_args(argv))
    arguments = sys.argv[1:] if argv is None else argv
    with sentence(parser), figures.drawn_by("plot_trajectory.py", arguments):
        wanted = request.path
        wanted.require_consistent()
        checkpoints = request.find_checkpoints()
        torch.manual_seed(SEED)
        net = model_loader.build(request.net.model, model_loader.parse_model_args(request.net.model_args))
        loss = losses.find(wanted.loss_name)
        if wanted.animate:
            h5_util.read_surface(wanted.animate).get(wanted.surf_name)
        measured = Losses.load(request, net, loss) if wanted.losses else None
        matrix = request.read_checkpoints(list(checkpoints.values()), net)
        print(
            f"{len(checkpoints)} checkpoints, epochs {wanted.start_epoch} to {wanted.max_epoch}, of "
            f"{request.net.model}: {sum(tensor.numel() for tensor in matrix.tensors.values())} values each; "
            "the last is the origin"
        )
        facts = request.facts(matrix)
        if wanted.method == "tsne":
            file = os.path.join(request.net.model_folder, f"tsne_{wanted.name}.h5")
            path = projected_path.embed(matrix, file, ignore=wanted.ignore, facts=facts)
            write_path(request, path, list(checkpoints), {})
        else:
            on_plane = find_plane(request, matrix, net, facts)
            path = projected_path.project(matrix, on_plane, method=wanted.method, facts=facts)
            path = write_path(request, path, list(checkpoints), measured.facts if measured else {})
            if measured:
                path = measure(request, path, matrix, net, on_plane, measured)
            print_table(path)
        draw(request, path.path)
        if wanted.show:
            figures.show()


def find_plane(request: PathRequest, matrix: CheckpointMatrix, net: nn.Module, facts: Facts) -> Plane:
    """Read the plane that is asked for, after making it if its file does not exist."""
    wanted, dir_file = request.path, request.dir_file
    if not wanted.dir_file:
        make_directions(request, matrix, net, facts)
    found = plane.read(dir_file, matrix, net, wanted.dir_type)
    print(found.describe(wanted.method))
    if wanted.losses and not found.fits(wanted.method):
        places = f"--method {wanted.method} gives none along {dir_file!r}"
        raise InputError(f"--losses are those of places on the plane, and {places}", "give {method:lstsq}")
    return found


def make_directions(request: PathRequest, matrix: CheckpointMatrix, net: nn.Module, facts: Facts) -> None:
    """Make the direction file, unless it exists and was made with the same."""
    wanted, dir_file = request.path, request.dir_file
    if os.path.exists(dir_file):
        if not wanted.overwrite:
            plane.require_made_with(dir_file, wanted.plane, facts)
            print(f"{dir_file} exists and is used")
            return
        print(f"the old directions are kept as {keep_aside(dir_file)}")
    plane.write_directions(
        dir_file,
        matrix,
        net,
        kind=wanted.plane,
        dir_type=wanted.dir_type,
        ignore=wanted.ignore,
        facts=facts,
    )


def write_path(request: PathRequest, path: Projection, epochs: list[int], facts: Facts) -> Projection:
    """Write the projection with epochs, drops of the learning rate, and losses of an earlier run that fit."""
    drops = np.array(learning_rate_drops(request.net.model_folder), int)
    made_with = {**path.made_with, **facts}
    path = replace(path, epochs=np.array(epochs), lr_drops=drops, made_with=made_with)
    path, note = projected_path.with_earlier_losses(path)
    if note:
        print(note)
    h5_util.write_projection(path)
    return path


def measure(
    request: PathRequest,
    path: Projection,
    matrix: CheckpointMatrix,
    net: nn.Module,
    on_plane: Plane,
    measured: Losses,
) -> Projection:
    """Measure the losses that are missing, and save each."""
    device = devices.choose(request.path.cuda, Serial())
    net = net.to(device)
    evaluator = Evaluator(
        net, {"train": measured.data}, loss=measured.loss, batch_size=request.path.batch_size
    )
    growing = projected_path.measure_losses(
        path,
        matrix,
        net,
        [[tensor.to(device) for tensor in direction] for direction in on_plane.directions],
        dir_type=request.path.dir_type,
        evaluator=evaluator,
    )
    for path in growing:
        h5_util.write_projection(path)
    return path


def print_table(path: Projection) -> None:
    """Print each checkpoint's place, its distance from the plane, and both losses where they are known."""
    assert path.shares is not None and path.epochs is not None and path.distance is not None
    x, y = 100 * path.shares
    print(f"of the variance of all that moves: along x {x:.3g} %, along y {y:.3g} %")
    columns = {}
    if path.true_loss is not None and path.projected_loss is not None:
        columns = {"true loss": path.true_loss, "on the plane": path.projected_loss}
    titles = "".join(f" {name:>13}" for name in columns)
    print(f"{'epoch':>6} {'x':>10} {'y':>10} {'off the plane':>15}{titles}")
    for i, epoch in enumerate(path.epochs):
        distance = "origin" if np.isnan(path.distance[i]) else f"{100 * path.distance[i]:.1f} %"
        values = "".join(f" {column[i]:13.5g}" for column in columns.values())
        print(f"{epoch:6d} {path.x[i]:10.4g} {path.y[i]:10.4g} {distance:>15}{values}")


def draw(request: PathRequest, proj_file: str) -> None:
    """Draw all figures that are asked for."""
    wanted = request.path
    dir_file = "" if wanted.method == "tsne" else request.dir_file
    print(f"projection: {proj_file}")
    trajectory_figures.draw(proj_file, dir_file=dir_file, show=wanted.show, formats=wanted.format)
    if wanted.losses:
        print(projected_path.describe_losses(h5_util.read_projection(proj_file)))
        trajectory_figures.draw_losses(proj_file, show=wanted.show, formats=wanted.format)
    if wanted.animate:
        reel = film.read([wanted.animate], proj_file=proj_file, name=wanted.surf_name)
        stem = f"{proj_file}_{wanted.surf_name}_animation"
        film.write(reel, [f"{stem}.{extension}" for extension in film.formats()], dir_file=dir_file)


def build_parser() -> Parser:
    parser = Parser(__doc__)
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
    group.add_argument("--surf_name", default="train_loss", help=text)
    group.add_argument("--show", action="store_true", help="open the figure in a window as well")
    add_format_option(group)
    return parser


def add_checkpoints(parser: Parser) -> None:
    """Which checkpoints."""
    group = parser.add_argument_group("checkpoints")
    options.add_net(group)
    add, number = group.add_argument, options.not_negative
    add("--model_folder", required=True, metavar="DIR", help="folder with the checkpoints of a training")
    add("--prefix", default="model_", help="a checkpoint's name before the epoch (default: model_)")
    add("--suffix", default=".t7", help="and after it (default: .t7)")
    add("--start_epoch", type=number, default=0, help="first epoch (default: 0, before training)")
    add("--max_epoch", type=number, default=300, help="last epoch, which is the origin (default: 300)")
    text = "epochs from one checkpoint to the next (default: 1)"
    add("--save_epoch", type=options.positive, default=1, help=text)


def add_plane(parser: Parser) -> None:
    """Which plane."""
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
        "--dir_file", default="", metavar="FILE", help="project on the directions of this file instead"
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
    """Which losses, and on which device."""
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
