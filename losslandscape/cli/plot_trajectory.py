"""Project the checkpoints of a training on a plane, by default that of their principal components, and draw their path.

    python plot_trajectory.py --model resnet20 --model_folder FOLDER --max_epoch 30 --save_epoch 1 --ignore biasbn
    python plot_trajectory.py --model vgg9 --model_folder FOLDER --dir_type states --start_epoch 0 --max_epoch 300 --save_epoch 10
    python plot_trajectory.py --model resnet20 --model_folder FOLDER --max_epoch 30 --ignore biasbn --plane random
    python plot_trajectory.py --model resnet20 --model_folder FOLDER --max_epoch 30 --method tsne
    python plot_trajectory.py --model resnet20 --model_folder FOLDER --max_epoch 30 --ignore biasbn --animate SURF_FILE
    python plot_trajectory.py --model resnet20 --model_folder FOLDER --max_epoch 30 --ignore biasbn --losses --dataset digits --data_split 4

The directions go to `FOLDER/PCA_<dir_type>[_ignore=biasbn]_save_epoch=<n>/directions.h5`, the projection beside them as
`<directions>_proj_cos.h5`, the figure to `<projection>.pdf`. Contours under the path: plot_surface.py with `--dir_file <directions>`, the
same `--dir_type`, and `--proj_file <projection> --plot`; with that surface, `--animate` makes a film of it. With `--losses`, the projection
keeps the loss of each checkpoint and that of its place on the plane, which `<projection>_losses.pdf` compares.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from torch import nn

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser, add_format_option, sentence
from losslandscape.cli.landscapes import code_facts
from losslandscape.cli.request import DataOptions
from losslandscape.core.angle import OBLIQUE
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, fingerprint_of_arrays, require_same
from losslandscape.data.dataloader import ImageSet
from losslandscape.data.samples import Samples
from losslandscape.draw import figures, film, trajectory_figures
from losslandscape.files import h5_util
from losslandscape.files.atomic_file import keep_aside
from losslandscape.files.h5_util import Projection
from losslandscape.measure import losses
from losslandscape.measure.evaluation import Evaluator
from losslandscape.measure.fit_check import check_data
from losslandscape.nets import model_loader, net_plotter, net_tensors
from losslandscape.nets.net_plotter import SEED, Recipe
from losslandscape.parallel import devices
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.trajectory import projection, trajectory, trajectory_losses
from losslandscape.trajectory.trajectory import Trajectory

PLANES = ("pca", "random")
METHODS = (*projection.METHODS, "tsne")


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    group = parser.add_argument_group("checkpoints")
    options.add_net(group)
    group.add_argument(
        "--model_folder", required=True, metavar="DIR", help="folder with the checkpoints of a training"
    )
    group.add_argument(
        "--prefix", default="model_", help="what a checkpoint's name has before the epoch (default: model_)"
    )
    group.add_argument("--suffix", default=".t7", help="and after it (default: .t7)")
    group.add_argument(
        "--start_epoch",
        type=options.not_negative,
        default=0,
        help="first epoch (default: 0, before training)",
    )
    group.add_argument(
        "--max_epoch",
        type=options.not_negative,
        default=300,
        help="last epoch, which is the origin (default: 300)",
    )
    group.add_argument(
        "--save_epoch",
        type=options.positive,
        default=1,
        help="epochs from one checkpoint to the next (default: 1)",
    )
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
        choices=options.choice_or_empty(net_plotter.IGNORES),
        metavar="WHAT",
        help="biasbn: the directions leave biases and BN out",
    )
    group.add_argument(
        "--plane",
        default="pca",
        choices=PLANES,
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
        "multiples of both directions, for those that are not at right angles or not of length 1; tsne: no plane, but an embedding by t-SNE",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="make new directions where their file was made with something else; the old one is kept as FILE.old",
    )
    group = parser.add_argument_group("losses")
    group.add_argument(
        "--losses",
        action="store_true",
        help="measure the loss of each checkpoint and of its place on the plane, on the training data below; "
        "a run that was stopped goes on where it was",
    )
    options.add_loss(group)
    group.add_argument("--cuda", "-c", action="store_true", help="measure on the GPU")
    group.add_argument(
        "--batch_size",
        type=options.positive,
        help="images in a forward pass (default: the fastest, found by a short probe)",
    )
    options.add_data(parser)
    options.add_subset(parser, test_set=False)
    group = parser.add_argument_group("figures")
    group.add_argument(
        "--animate",
        default="",
        metavar="SURF_FILE",
        help="and make a film of the training over the contours of this surface along the same "
        "directions: a GIF, and an MP4 where ffmpeg is installed",
    )
    group.add_argument(
        "--surf_name",
        default="train_loss",
        help="the quantity whose contours these are (default: %(default)s)",
    )
    group.add_argument("--show", action="store_true", help="open the figure in a window as well")
    add_format_option(group)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)
    if args.method == "tsne" and (args.dir_file or args.animate or args.losses or args.plane != "pca"):
        parser.error(
            "--method tsne has no plane, and so no directions, no contours and no losses on it; leave --dir_file, --plane, --animate and --losses out"
        )
    if args.dir_file and args.plane != "pca":
        parser.error(f"--dir_file {args.dir_file} and --plane {args.plane} are two planes; give one of them")
    with sentence(parser), figures.drawn_by(__file__, sys.argv[1:] if argv is None else argv):
        files = trajectory.find_files(
            args.model_folder,
            prefix=args.prefix,
            suffix=args.suffix,
            start=args.start_epoch,
            end=args.max_epoch,
            step=args.save_epoch,
        )
        torch.manual_seed(SEED)
        net = model_loader.build(args.model, model_loader.parse_model_args(args.model_args))
        loss = losses.find(args.loss_name)
        if args.animate:
            h5_util.read_surface(args.animate).get(args.surf_name)
        data = DataOptions.of(args).load(Serial())["train"] if args.losses else None
        if data:
            check_data(net, data, loss, args.model)
        training = trajectory.read(
            list(files.values()),
            net,
            args.dir_type,
            state_key=args.state_key,
            unsafe_pickle=args.unsafe_pickle,
        )
        print(
            f"{len(files)} checkpoints, epochs {args.start_epoch} to {args.max_epoch}, of {args.model}: {sum(t.numel() for t in training.tensors.values())} "
            f"values each; the last is the origin"
        )

        facts = {
            "model": " ".join([args.model, *args.model_args]),
            "dir_type": args.dir_type,
            "ignore": args.ignore or "nothing",
            "checkpoints": training.fingerprint,
        }
        name = (
            f"{args.dir_type}{f'_ignore={args.ignore}' if args.ignore else ''}_save_epoch={args.save_epoch}"
        )
        dir_file = args.dir_file
        if args.method == "tsne":
            found = embed(
                training, os.path.join(args.model_folder, f"tsne_{name}.h5"), ignore=args.ignore, facts=facts
            )
        else:
            if not dir_file:
                dir_file = os.path.join(
                    args.model_folder,
                    f"{'PCA' if args.plane == 'pca' else args.plane}_{name}",
                    "directions.h5",
                )
                find_or_make_directions(
                    dir_file,
                    training,
                    net,
                    facts,
                    dir_type=args.dir_type,
                    ignore=args.ignore,
                    plane=args.plane,
                    overwrite=args.overwrite,
                )
            found = project(
                training,
                dir_file,
                net,
                dir_type=args.dir_type,
                method=args.method,
                facts=facts,
                losses=args.losses,
            )
        found = replace(
            found,
            epochs=np.array(list(files)),
            lr_drops=np.array(trajectory.learning_rate_drops(args.model_folder), int),
        )
        found = with_known_losses(found, loss_facts(data, args.loss_name, args.model) if data else {})
        h5_util.write_projection(found)
        if data:
            device = devices.choose(args.cuda, Serial())
            evaluator = Evaluator(net.to(device), {"train": data}, loss=loss, batch_size=args.batch_size)
            directions = net_plotter.read_direction_file(dir_file, net, args.dir_type, dimensions=2)
            growing = trajectory_losses.measure(
                found,
                training,
                net,
                directions,
                dir_type=args.dir_type,
                loss=lambda: evaluator.measure()["train_loss"],
            )
            for found in growing:
                h5_util.write_projection(found)
        if args.method != "tsne":
            print_table(found)
        print(f"projection: {found.path}")
        trajectory_figures.draw(found.path, dir_file=dir_file, show=args.show, formats=args.format)
        if data:
            print(trajectory_losses.describe(found))
            trajectory_figures.draw_losses(found.path, show=args.show, formats=args.format)
        if args.animate:
            stem = f"{found.path}_{args.surf_name}_animation"
            reel = film.read([args.animate], proj_file=found.path, name=args.surf_name)
            film.write(reel, [f"{stem}.{form}" for form in film.formats()], dir_file=dir_file)
        if args.show:
            figures.show()


def find_or_make_directions(
    dir_file: str,
    training: Trajectory,
    net: nn.Module,
    facts: Facts,
    *,
    dir_type: str,
    ignore: str,
    plane: str,
    overwrite: bool,
) -> None:
    """Make the direction file, unless it is there and was made with the same, or by the published program. `net` has the last checkpoint's weights.

    Raises `InputError`, naming what differs, if it was made with something else; with `overwrite` a new one is made then.
    """
    facts = {
        **facts,
        "plane": "principal components"
        if plane == "pca"
        else f"random of seed {SEED}, norm filter, length 1",
    }
    if os.path.exists(dir_file):
        if not overwrite:
            try:
                made_with = h5_util.read_made_with(dir_file, "direction")
            except InputError as error:
                raise InputError(f"{error}; --overwrite makes it anew, and keeps this one aside") from error
            require_same(
                dir_file,
                made_with,
                facts,
                "give --overwrite to make new directions (the old file is kept aside), "
                "or use these with --dir_file",
            )
            print(f"{dir_file} is there and is used")
            return
        print(f"the old directions are kept as {keep_aside(dir_file)}")
    if plane == "pca":
        found = projection.principal(
            projection.centred_gram(training.pieces(ignore=ignore, title="inner products"))
        )
        vectors = projection.components(training.pieces(ignore=ignore, title="components"), found.combination)
        directions = [training.direction(vector, ignore=ignore) for vector in vectors]
        variances = {
            f"{name}_": getattr(found, name)
            for name in ("explained_variance_ratio", "singular_values", "explained_variance")
        }
    else:
        recipes = [Recipe(norm="filter", ignore=ignore)] * 2
        drawn = [
            training.vector(direction) for direction in net_plotter.make_directions(net, dir_type, recipes)
        ]
        directions = [training.direction(vector / np.linalg.norm(vector)) for vector in drawn]
        variances = {}
    folder = os.path.dirname(dir_file)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise InputError(
            f"{folder!r} is no folder, and the directions go into one of that name; move it away"
        )
    os.makedirs(folder, exist_ok=True)
    h5_util.write_directions(dir_file, directions, made_with=facts, variances=variances)


def project(
    training: Trajectory,
    dir_file: str,
    net: nn.Module,
    *,
    dir_type: str,
    method: str,
    facts: Facts,
    losses: bool = False,
) -> Projection:
    """The checkpoints on the plane of a direction file that fits the net.

    Raises `InputError` if the `losses` there are to be measured and lengths along the directions are no coordinates.
    """
    vectors, fingerprint, fits = read_plane(training, dir_file, net, dir_type=dir_type, method=method)
    if losses and not fits:
        raise InputError(
            f"--losses are those at places of the plane, and along the directions of {dir_file!r} --method {method} gives none; give --method lstsq"
        )
    seen = projection.project(training.pieces(title="projection"), vectors, method=method)
    return Projection(
        f"{dir_file}_proj_{method}.h5",
        seen.x,
        seen.y,
        distance=seen.distance,
        shares=seen.shares,
        made_with={**facts, "origin": training.origin, "method": method, "directions": fingerprint},
    )


def embed(training: Trajectory, path: str, *, ignore: str, facts: Facts) -> Projection:
    """The checkpoints embedded by t-SNE."""
    x, y = projection.embed(projection.centred_gram(training.pieces(ignore=ignore, title="distances")))
    return Projection(path, x, y, made_with={**facts, "method": "tsne"})


def read_plane(
    training: Trajectory, dir_file: str, net: nn.Module, *, dir_type: str, method: str
) -> tuple[np.ndarray, str, bool]:
    """The directions of a file as vectors (2, columns), the fingerprint that surfaces along them know them by, and whether the method's coordinates are those of
    surfaces; prints what a reader must know of them.
    """
    directions = net_plotter.read_direction_file(dir_file, net, dir_type, dimensions=2)
    vectors = np.stack([training.vector(direction) for direction in directions])
    cosine = net_plotter.cosine(*directions)
    print(f"directions: {dir_file}\ncosine between x and y: {cosine:.6f}")
    shares = h5_util.read_explained_variance(dir_file)
    if shares is not None:
        print(
            f"explained variance: {', '.join(f'{100 * share:.2f} %' for share in shares.flat)}; together {100 * shares.sum():.2f} %"
        )
    lengths = np.linalg.norm(vectors, axis=1)
    fits = method == "lstsq" or abs(cosine) <= OBLIQUE and np.allclose(lengths, 1, rtol=1e-3)
    if not fits:
        print(
            f"the directions have lengths {lengths[0]:.4g} and {lengths[1]:.4g}; contours along directions that are not of length 1 and at right angles "
            "fit --method lstsq, not cos"
        )
    return vectors, fingerprint_of_arrays(chain(*net_plotter.arrays(directions))), fits


def loss_facts(data: Samples, loss_name: str, model: str) -> Facts:
    """What decides the losses besides the checkpoints."""
    facts = {
        "loss_name": loss_name,
        "data": fingerprint_of_arrays(data.arrays()),
        **code_facts("loss", loss_name),
        **code_facts("model", model),
    }
    return {**facts, "normalisation": f"{data.mean}, {data.std}"} if isinstance(data, ImageSet) else facts


def with_known_losses(found: Projection, facts: Facts) -> Projection:
    """The projection with the losses that its file has of an earlier run, unless they are of other checkpoints, another plane or, by the facts, other data."""
    found = replace(found, made_with={**found.made_with, **facts})
    try:
        old = h5_util.read_projection(found.path)
    except InputError:  # there is none, or it is no use
        return found
    if any(old.made_with.get(name) != value for name, value in found.made_with.items()):
        if old.true_loss is not None:
            print(
                f"the old projection, with losses of other checkpoints, nets, data or another plane, is kept as {keep_aside(found.path)}"
            )
        return found
    return replace(found, true_loss=old.true_loss, projected_loss=old.projected_loss, made_with=old.made_with)


def print_table(found: Projection) -> None:
    """Print where each checkpoint is, how much of its distance from the last one the plane does not show, and both losses where they are known."""
    print(
        f"of the variance of all that moves: along x {100 * found.shares[0]:.3g} %, along y {100 * found.shares[1]:.3g} %"
    )
    losses = (
        []
        if found.true_loss is None
        else [("true loss", found.true_loss), ("on the plane", found.projected_loss)]
    )
    print(
        f"{'epoch':>6} {'x':>10} {'y':>10} {'off the plane':>15}"
        + "".join(f" {name:>13}" for name, _ in losses)
    )
    for i, epoch in enumerate(found.epochs):
        distance = "origin" if np.isnan(found.distance[i]) else f"{100 * found.distance[i]:.1f} %"
        print(
            f"{epoch:6d} {found.x[i]:10.4g} {found.y[i]:10.4g} {distance:>15}"
            + "".join(f" {values[i]:13.5g}" for _, values in losses)
        )


if __name__ == "__main__":
    main()
