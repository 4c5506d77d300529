"""Options that several commands share, each declared once."""

import argparse

from losslandscape.cli import input_options
from losslandscape.cli.option_types import (
    BN_SAMPLES,
    axis,
    bn_samples,
    channel_values,
    choice_or_empty,
    factor,
    gibibytes,
    known_or_own,
    not_negative,
    not_negative_number,
    one_gpu,
    optional_axis,
    positive,
    share,
)
from losslandscape.curvature.lanczos import MOST_PRODUCTS, TOLERANCE
from losslandscape.data.dataloader import DATASETS
from losslandscape.evaluate.losses import LOSSES
from losslandscape.measure.landscape import ORIGINS
from losslandscape.measure.range_search import RISE
from losslandscape.nets.direction_parts import NORMS
from losslandscape.nets.models import MODELS
from losslandscape.nets.net_tensors import DIRECTION_TYPES, IGNORES
from losslandscape.parallel.assignments import SCHEDULES
from losslandscape.parallel.devices import PRECISIONS
from losslandscape.parallel.point_order import ORDERS

DIRECTIONS = ("random", *ORIGINS)
AXES = ("orthonormal",)

Group = argparse._ArgumentGroup


def add_data(parser: argparse.ArgumentParser, *, datapath_default: str = "cifar10/data") -> None:
    """Add the options for the data and for the normalisation of images."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset",
        default="cifar10",
        type=known_or_own("dataset", DATASETS),
        metavar="NAME",
        help="cifar10 (downloaded when absent), digits (needs no download), folder (your own images), "
        "text:FILE or text:TRAIN,TEST (with --model hf:FOLDER, whose tokenizer cuts them), or "
        "FILE.py:FUNCTION, which returns the training data or (training, test) (default: cifar10)",
    )
    group.add_argument(
        "--datapath",
        default=datapath_default,
        metavar="DIR",
        help="cifar10: its folder; folder: DIR with train/<class>/* and test/<class>/* "
        f"(default: {datapath_default})",
    )
    group.add_argument("--raw_data", action="store_true", help="no normalisation: pixels in [0, 1]")
    group.add_argument(
        "--mean", type=channel_values, metavar="M,M,M", help="subtract this instead of the dataset's mean"
    )
    group.add_argument(
        "--std",
        type=channel_values,
        metavar="S,S,S",
        help="divide by this instead of the dataset's deviation",
    )
    group.add_argument(
        "--context",
        type=positive,
        metavar="N",
        help="tokens in each piece of a text (default: 512, or fewer if the net takes fewer)",
    )
    group.add_argument("--threads", type=positive, default=2, help="threads that decode images (default: 2)")
    group.add_argument(
        "--trainloader",
        default="",
        metavar="FILE.npz",
        help="training data from the arrays images (N, C, H, W) and labels (N,) of this file instead",
    )
    group.add_argument("--testloader", default="", metavar="FILE.npz", help="test data likewise")


def add_subset(parser: argparse.ArgumentParser, *, test_set: bool = True) -> None:
    """Add the options for using a part of the data; `test_set` adds the option to also use test data."""
    group = parser.add_argument_group("part of the data")
    group.add_argument(
        "--data_split",
        type=positive,
        default=1,
        metavar="N",
        help="cut the training data at random into N parts and use one (default: 1)",
    )
    group.add_argument(
        "--split_idx",
        type=not_negative,
        default=0,
        metavar="K",
        help="which of the N parts, from 0 (default: 0)",
    )
    group.add_argument(
        "--samples",
        type=positive,
        metavar="N",
        help="read only the first N training samples, and test samples, as an endless stream needs; they are "
        "cut into parts afterwards (default: all)",
    )
    if test_set:
        group.add_argument(
            "--test_set", action="store_true", help="measure test_loss and so on too, on the whole test set"
        )
    group.add_argument(
        "--train_labels",
        default="",
        metavar="FILE.npy",
        help="labels instead of the training set's own, as training with --label_corrupt_prob keeps them",
    )


def add_net(group: Group) -> None:
    """Add the options for the net and for reading its checkpoints."""
    group.add_argument(
        "--model",
        default="resnet56",
        metavar="NAME",
        help=f"one of {', '.join(MODELS)}; or FILE.py:FUNCTION, which returns the net; or torchvision:NAME, "
        "timm:NAME, hf:NAME_OR_FOLDER (default: resnet56)",
    )
    group.add_argument(
        "--model_args",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="arguments of the function that makes the net",
    )
    group.add_argument(
        "--state_key",
        default="",
        metavar="KEY",
        help="key of the weights in a checkpoint, if it is not a usual one, such as ema.net",
    )
    group.add_argument(
        "--unsafe_pickle",
        action="store_true",
        help="read checkpoints as pickles that may run any code: only for files that you trust",
    )


def add_model(parser: argparse.ArgumentParser, *, others: bool = True) -> None:
    """Add the options for the net and its weights; `others` adds the checkpoints that directions lead to."""
    group = parser.add_argument_group("net")
    add_net(group)
    group.add_argument(
        "--model_folder",
        default="",
        metavar="DIR",
        help="look for model files here if their paths do not exist",
    )
    group.add_argument(
        "--model_file",
        default="",
        metavar="FILE",
        help="checkpoint of the centre; without it the net has the weights that it is made with",
    )
    if others:
        group.add_argument(
            "--model_file2",
            default="",
            metavar="FILE",
            help="checkpoint that x points to, instead of a random direction",
        )
        group.add_argument(
            "--model_file3", default="", metavar="FILE", help="checkpoint that y points to, likewise"
        )
    add_loss(group)


def add_loss(group: Group) -> None:
    """Add the option for the loss."""
    group.add_argument(
        "--loss_name",
        "-l",
        default="crossentropy",
        type=known_or_own("loss", LOSSES),
        metavar="NAME",
        help=f"one of {', '.join(LOSSES)}; or FILE.py:FUNCTION, which is called with net and batch "
        "(default: crossentropy)",
    )


def add_directions(parser: argparse.ArgumentParser, *, inputs: bool = False) -> None:
    """Add the options for directions, grid and surface file; `inputs` adds those for surfaces over inputs."""
    group = parser.add_argument_group("directions and grid")
    _add_grid(group)
    _add_random_directions(group, inputs=inputs)
    if inputs:
        input_options.add_over(group)
    _add_surface_file(group)


def _add_grid(group: Group) -> None:
    group.add_argument(
        "--dir_file",
        default="",
        metavar="FILE",
        help="use the directions of this file; if it does not exist, make them there (default: a file beside "
        "the checkpoint, named after the options)",
    )
    group.add_argument(
        "--dir_type",
        default="weights",
        choices=DIRECTION_TYPES,
        help="what moves: weights, or states with the BN statistics, as an interpolation between two nets "
        "needs (default: weights)",
    )
    group.add_argument(
        "--x",
        type=axis,
        metavar="MIN:MAX:N",
        help="alpha; write --x=-1:1:51 (default: -1:1:51). auto or auto:N: a short probe finds the range at "
        "whose ends the loss has clearly risen; between two nets it is -0.5:1.5",
    )
    group.add_argument(
        "--y",
        type=optional_axis,
        metavar="MIN:MAX:N",
        help="beta, likewise; without it the surface is a curve",
    )
    group.add_argument(
        "--rise",
        type=factor,
        default=RISE,
        metavar="FACTOR",
        help="for auto: how many times the loss at the centre, or a floor if that is greater, is a clear "
        f"rise (default: {RISE:g})",
    )


def _add_random_directions(group: Group, *, inputs: bool) -> None:
    for name in ("x", "y"):
        group.add_argument(
            f"--{name}norm",
            default="",
            choices=choice_or_empty(NORMS),
            metavar="NORM",
            help=f"how the {name} direction is normalised: {', '.join(NORMS)} (default: not)",
        )
    for name in ("x", "y"):
        group.add_argument(
            f"--{name}ignore",
            default="",
            choices=choice_or_empty(IGNORES),
            metavar="WHAT",
            help=f"biasbn: biases and BN do not move along {name}",
        )
    for name in ("x", "y"):
        group.add_argument(
            f"--{name}dir",
            default="random",
            type=input_options.direction if inputs else str,
            choices=None if inputs else DIRECTIONS,
            metavar="NAME",
            help="random; hessian: an eigenvector of the Hessian at the centre, of the largest eigenvalue, "
            "or of the second largest if the other axis has the first; gradient: that of the mean training "
            "loss; sam: that after the ascent step of sharpness-aware minimisation (default: random)",
        )
    group.add_argument(
        "--axes",
        default="",
        choices=choice_or_empty(AXES),
        metavar="WHAT",
        help="orthonormal: in a plane through three nets, coordinates are distances of weights; x leads to "
        "--model_file2, and the nets and their mean are marked (default: the nets lie at (1, 0) and (0, 1))",
    )
    group.add_argument(
        "--net_names",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names of the three nets in figures (default: those of their files)",
    )
    group.add_argument(
        "--params", default="", metavar="REGEX", help="only parameters whose names contain a match move"
    )
    group.add_argument("--same_dir", action="store_true", help="the y direction is the x direction")
    group.add_argument(
        "--idx",
        type=not_negative,
        default=0,
        help="number of the random directions: another number, other directions (default: 0)",
    )


def _add_surface_file(group: Group) -> None:
    group.add_argument(
        "--order",
        default="coarse",
        choices=ORDERS,
        help="coarse: a coarse lattice first, then finer, so that plots soon show the whole (default); "
        "row: row by row",
    )
    group.add_argument(
        "--surf_file",
        default="",
        metavar="FILE",
        help="surface file to make or to resume (default: named after the rest)",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="start again if the surface file exists; the old one is kept as FILE.old",
    )
    group.add_argument(
        "--wait",
        action="store_true",
        help="wait for another run that writes the surface file, instead of stopping",
    )


def add_refine(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves points out which can be interpolated."""
    parser.add_argument(
        "--refine",
        type=share,
        default=0.0,
        metavar="TOL",
        help="measure only where interpolation would err by more than TOL, a share of the spread of the loss "
        "(of its logarithm, where contours are logarithmic), such as 0.02; figures interpolate the rest, "
        "and a run without --refine measures it (default: measure all points)",
    )


def add_launch(group: Group) -> None:
    """Add the options for ranks and devices."""
    group.add_argument(
        "--mpi",
        "-m",
        action="store_true",
        help="share the points out over the ranks of mpirun (noticed under mpirun anyhow)",
    )
    group.add_argument("--cuda", "-c", action="store_true", help="compute on the GPU, one per rank")


def add_gpus(group: Group) -> None:
    """Add the option for a net on several GPUs."""
    group.add_argument(
        "--ngpu",
        type=positive,
        default=1,
        metavar="N",
        help="spread the net over N GPUs, if it is too large for one; for more speed start more ranks "
        "instead (default: 1)",
    )


def add_hardware(parser: argparse.ArgumentParser, *, spreads: bool = False) -> None:
    """Add the options for ranks, devices, the batch size and the schedule.

    Args:
        spreads: whether the command can spread a net over several GPUs.
    """
    group = parser.add_argument_group("hardware")
    add_launch(group)
    if spreads:
        add_gpus(group)
    else:
        text = "GPUs per rank: 1; for more GPUs start more ranks (default: 1)"
        group.add_argument("--ngpu", type=one_gpu, default=1, help=text)
    group.add_argument(
        "--batch_size",
        type=positive,
        help="images in a forward pass (default: the fastest, found by a short probe)",
    )
    group.add_argument(
        "--schedule",
        default="dynamic",
        choices=SCHEDULES,
        help="dynamic: each point to the next free rank (default); static: an even share to each rank "
        "at the start",
    )


def add_lanczos(parser: argparse.ArgumentParser | Group) -> None:
    """Add the options for computing eigenvalues."""
    parser.add_argument(
        "--tolerance",
        type=share,
        default=TOLERANCE,
        help=f"residual of an eigenvalue, relative to it (default: {TOLERANCE:g})",
    )
    parser.add_argument(
        "--most_products",
        type=positive,
        default=MOST_PRODUCTS,
        metavar="N",
        help=f"products with the matrix that the eigenvalues may take (default: {MOST_PRODUCTS})",
    )
    parser.add_argument(
        "--all_parameters",
        action="store_true",
        help="biases and batch norms' weights too (default: parameters of more than one dimension)",
    )


def add_precision(
    group: Group,
    *,
    bf16: str = "which is fastest and differs from fp32 by less than 1 %% in loss near a minimum",
) -> None:
    """Add the option for the floating-point precision; `bf16` is the end of a sentence about bf16."""
    group.add_argument(
        "--precision",
        default="",
        choices=choice_or_empty(PRECISIONS),
        metavar="P",
        help=f"fp32, tf32 (CUDA) or bf16, {bf16} (default: that of PyTorch, float32, on CUDA with TF32 "
        "convolutions)",
    )


def add_measuring(parser: argparse.ArgumentParser) -> None:
    """Add the options for the measurement and its further quantities."""
    group = parser.add_argument_group("measuring")
    group.add_argument(
        "--data_memory",
        type=gibibytes,
        metavar="GIB",
        help="images that take more than this are not kept on the GPU but copied there batch by batch "
        "(default: half of its free memory)",
    )
    add_precision(group)
    group.add_argument(
        "--weight_decay",
        type=not_negative_number,
        default=0.0,
        metavar="W",
        help="of the training: W/2 |weights|^2 is measured as penalty, and its sum with the loss as "
        "train_regularised_loss",
    )
    group.add_argument(
        "--bn",
        type=bn_samples,
        default=0,
        metavar="HOW",
        help=f"recompute or recompute:N: estimate the batch norms' statistics again from N ({BN_SAMPLES}) "
        "training samples at each point, as mixtures of nets need (default: stored, those of the checkpoint)",
    )
    group.add_argument(
        "--errors",
        action="store_true",
        help="standard errors of the loss, and of its difference from the centre, over the samples",
    )
    group.add_argument(
        "--seeds",
        type=positive,
        default=1,
        metavar="N",
        help="measure N surfaces along other random directions, those of --idx, --idx + 1, …, and print the "
        "mean and spread of their numbers",
    )
    group.add_argument(
        "--allow_nan", action="store_true", help="continue where the loss at the centre is not finite"
    )
    add_randomness(group)


def add_randomness(group: Group) -> None:
    """Add the options for nets and losses that do not give the same value again."""
    add_fix_randomness(group)
    group.add_argument(
        "--strict", action="store_true", help="stop before the first point if the checks give a warning"
    )


def add_fix_randomness(group: Group) -> None:
    """Add the option that fixes random numbers."""
    group.add_argument(
        "--fix_randomness",
        action="store_true",
        help="for nets and losses that draw random numbers: every point gets the same numbers",
    )
