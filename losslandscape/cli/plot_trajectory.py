"""Project the checkpoints of a training on a plane, by default of principal components, and draw the path.

    python plot_trajectory.py --model resnet20 --model_folder DIR --max_epoch 30 --ignore biasbn
    python plot_trajectory.py --model vgg9 --model_folder DIR --dir_type states --save_epoch 10
    python plot_trajectory.py --model net.py:net --model_folder DIR --pattern 'epoch=*-step=*.ckpt'
    python plot_trajectory.py --model resnet20 --model_folder DIR DIR2 --names sgd adam --max_epoch 30
    python plot_trajectory.py --model resnet20 --model_folder DIR --max_epoch 30 --plane random
    python plot_trajectory.py --model resnet20 --model_folder DIR --max_epoch 30 --method tsne
    python plot_trajectory.py --model resnet20 --model_folder DIR --max_epoch 30 --animate SURF_FILE
    python plot_trajectory.py --model resnet20 --model_folder DIR --max_epoch 30 --losses --dataset digits

The directions go to `DIR/PCA_<dir_type>[_ignore=biasbn]_save_epoch=<n>/directions.h5`, the projection
beside them as `<directions>_proj_cos.h5`, the figure to `<projection>.pdf`. With `--pattern` the folder's
name has `pattern=…` instead of `save_epoch=<n>`. For contours under the path,
give plot_surface.py `--dir_file <directions>`, the same `--dir_type`, and `--proj_file <projection>
--plot`. With that surface, `--animate` makes a film. `--losses` measures the loss of each checkpoint, and the
loss at its place on the plane. The projection file keeps both losses, and `<projection>_losses.pdf` compares
them.

The paths of several trainings of one net lie in one plane around the last checkpoint of the first, whose
folder gets all files: the directions in a folder with `_with_<name>` for each other training, and a
projection `<directions>_<name>_proj_cos.h5` for each. `--proj_file` of the other commands takes them all.
"""

import os
import sys
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from losslandscape.cli.command_line import sentence
from losslandscape.cli.figure_options import page_of
from losslandscape.cli.landscapes import code_facts
from losslandscape.cli.trajectory_request import PathRequest, build_parser
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, fingerprint_of_arrays
from losslandscape.data.image_set import ImageSet
from losslandscape.data.samples import Samples
from losslandscape.draw import figures, film, training_paths, trajectory_figures
from losslandscape.draw.figure_metadata import drawn_by
from losslandscape.draw.page_style import drawn_on
from losslandscape.evaluate import losses
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.evaluate.fit_check import check_data
from losslandscape.evaluate.loss import Loss
from losslandscape.files import h5_util
from losslandscape.files.atomic_file import keep_aside
from losslandscape.files.file_names import SEED, without_special_characters
from losslandscape.files.projection import Projection
from losslandscape.nets import model_loader
from losslandscape.parallel import devices
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.trajectory import plane, projected_path
from losslandscape.trajectory.checkpoint_files import Checkpoints
from losslandscape.trajectory.checkpoint_matrix import CheckpointMatrix
from losslandscape.trajectory.plane import Plane
from losslandscape.trajectory.training_folder import learning_rate_drops


@dataclass(frozen=True)
class Losses:
    """The data and the loss function for the losses along the path, and facts that identify both."""

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
    parser = build_parser(__doc__)
    args = parser.parse_args(argv)
    request = PathRequest.of(args)
    arguments = sys.argv[1:] if argv is None else argv
    with sentence(parser), drawn_on(page_of(args)), drawn_by("plot_trajectory.py", arguments):
        options = request.path
        options.require_consistent()
        trainings = [one.find_checkpoints() for one in request.trainings]
        request.require_writable_path()
        torch.manual_seed(SEED)
        net = model_loader.build(request.net.model, model_loader.parse_model_args(request.net.model_args))
        loss = losses.find(options.loss_name)
        if options.animate:
            h5_util.read_surface(options.animate).get(options.surf_name)
        measured = Losses.load(request, net, loss) if options.losses else None
        in_rows = [*trainings[1:], trainings[0]]  # the last row is the origin
        matrix = request.read_checkpoints([file for one in in_rows for file in one.files], net)
        size = sum(tensor.numel() for tensor in matrix.tensors.values())
        described = ", ".join(one.describe() for one in trainings)
        of_first = " of the first training" if len(trainings) > 1 else ""
        print(f"{described}, of {request.net.model}: {size} values each; the last{of_first} is the origin")
        if options.method == "tsne":
            embed(request, matrix, trainings)
        else:
            for path in project(request, matrix, net, trainings, measured):
                print_table(path)
        draw(request)
        if options.show:
            figures.show()


def embed(request: PathRequest, matrix: CheckpointMatrix, trainings: list[Checkpoints]) -> None:
    """Embed the checkpoints by t-SNE, and write their paths."""
    facts = request.facts(matrix)
    path = projected_path.embed(matrix, request.proj_files[0], ignore=request.path.ignore, facts=facts)
    write_paths(request, path, trainings, {})


def project(
    request: PathRequest,
    matrix: CheckpointMatrix,
    net: nn.Module,
    trainings: list[Checkpoints],
    measured: Losses | None,
) -> list[Projection]:
    """Project the checkpoints on the plane, measure the requested losses, and write the paths."""
    facts = request.facts(matrix)
    on_plane = find_plane(request, matrix, net, facts)
    path = projected_path.project(matrix, on_plane, method=request.path.method, facts=facts)
    paths = write_paths(request, path, trainings, measured.facts if measured else {})
    if not measured:
        return paths
    origin = matrix.files[-1]
    rows = [replace(matrix, files=[*one.files, origin]) for one in trainings]
    return [measure(request, one, its, net, on_plane, measured) for one, its in zip(paths, rows, strict=True)]


def find_plane(request: PathRequest, matrix: CheckpointMatrix, net: nn.Module, facts: Facts) -> Plane:
    """Read the requested plane; make its file first, unless --dir_file names one that exists.

    Raises:
        InputError: --losses is given, but the method does not compute places in this plane.
    """
    options, dir_file = request.path, request.dir_file
    if not request.holds_given_directions:
        if options.dir_file:
            print(f"--dir_file {dir_file} does not exist; new directions are made there")
        make_directions(request, matrix, net, facts)
    on_plane = plane.read(dir_file, matrix, net, options.dir_type)
    print(on_plane.describe(options.method))
    if options.losses and not on_plane.fits(options.method):
        fault = f"--method {options.method} gives no places in the plane of {dir_file!r}"
        fault += ", which --losses needs"
        raise InputError(fault, "give {method:lstsq}")
    return on_plane


def make_directions(request: PathRequest, matrix: CheckpointMatrix, net: nn.Module, facts: Facts) -> None:
    """Make the direction file, or check the facts of an existing file that --overwrite does not replace."""
    options, dir_file = request.path, request.dir_file
    if os.path.exists(dir_file):
        if not options.overwrite:
            plane.require_made_with(dir_file, options.plane, facts)
            print(f"{dir_file} exists and is used")
            return
        print(f"the old directions are kept as {keep_aside(dir_file)}")
    plane.write_directions(
        dir_file,
        matrix,
        net,
        kind=options.plane,
        dir_type=options.dir_type,
        ignore=options.ignore,
        facts=facts,
    )


def write_paths(
    request: PathRequest, path: Projection, trainings: list[Checkpoints], facts: Facts
) -> list[Projection]:
    """Write the path of each training."""
    paths = [path]
    if len(trainings) > 1:
        sizes = [len(one.files) for one in trainings]
        names = request.path.training_names
        paths = projected_path.split(path, sizes, files=request.proj_files, names=names)
    triples = zip(request.trainings, paths, trainings, strict=True)
    return [write_path(one, its, checkpoints, facts) for one, its, checkpoints in triples]


def write_path(request: PathRequest, path: Projection, checkpoints: Checkpoints, facts: Facts) -> Projection:
    """Add epochs, learning-rate drops and the losses of an earlier run to the projection, and write it."""
    drops = np.array(learning_rate_drops(request.net.model_folder), int)
    made_with = {**path.made_with, **facts, **checkpoints.facts()}
    path = replace(path, epochs=checkpoints.numbers, lr_drops=drops, made_with=made_with)
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
    """Measure the missing losses, and write the projection after each of them."""
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
    """Print each checkpoint's place, its distance from the plane, and both losses if they are measured."""
    assert path.shares is not None and path.distance is not None
    x, y = 100 * path.shares
    if path.name:
        print(f"{path.name}:")
    print(f"of the variance of all that moves: along x {x:.3g} %, along y {y:.3g} %")
    columns = {}
    if path.true_loss is not None and path.projected_loss is not None:
        columns = {"true loss": path.true_loss, "on the plane": path.projected_loss}
    titles = "".join(f" {name:>13}" for name in columns)
    unit, numbers = path.unit, path.epochs
    if numbers is None:
        unit, numbers = "number", np.arange(1, path.x.size + 1)
    print(f"{unit:>6} {'x':>10} {'y':>10} {'off the plane':>15}{titles}")
    for i, number in enumerate(numbers):
        distance = "origin" if np.isnan(path.distance[i]) else f"{100 * path.distance[i]:.1f} %"
        values = "".join(f" {column[i]:13.5g}" for column in columns.values())
        print(f"{number:6.10g} {path.x[i]:10.4g} {path.y[i]:10.4g} {distance:>15}{values}")


def draw(request: PathRequest) -> None:
    """Draw all requested figures."""
    options = request.path
    dir_file = "" if options.method == "tsne" else request.dir_file
    output: dict[str, Any] = {"out": options.out, "show": options.show, "formats": options.format}
    proj_files = request.proj_files
    for proj_file in proj_files:
        print(f"projection: {proj_file}")
    trajectory_figures.draw(proj_files, dir_file=dir_file, **output)
    if options.losses:
        for proj_file, name in zip(proj_files, options.training_names or [""], strict=True):
            print(projected_path.describe_losses(h5_util.read_projection(proj_file)))
            out = f"{options.out}_{without_special_characters(name)}" if options.out and name else options.out
            trajectory_figures.draw_losses(proj_file, **{**output, "out": out})
    if options.animate:
        reel = film.read([options.animate], proj_file=proj_files, name=options.surf_name)
        stem = f"{options.out or training_paths.stem(proj_files)}_{options.surf_name}_animation"
        film.write(reel, [f"{stem}.{extension}" for extension in film.formats()], dir_file=dir_file)
