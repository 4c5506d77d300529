"""The command line of hessian.py: its parser, and its values in frozen dataclasses."""

import argparse
from dataclasses import dataclass
from typing import Self

from losslandscape.cli import options
from losslandscape.cli.along_directions import along_name
from losslandscape.cli.command_line import Parser, output_file
from losslandscape.cli.figure_options import add_out, add_page_options
from losslandscape.cli.request import DataOptions, NetOptions, Options
from losslandscape.curvature.batch_products import KINDS
from losslandscape.curvature.density import DENSITY_PROBES, STEPS
from losslandscape.curvature.hess_vec_prod import BATCH_SIZE
from losslandscape.curvature.trace import MOST_PROBES, RANK, TRACE_TOLERANCE
from losslandscape.measure.landscape import ORIGINS

QUANTITIES = ("eigenvalues", "trace", "density")


@dataclass(frozen=True)
class HessianOptions(Options):
    """The choice of the matrix, and the settings of its estimates."""

    kind: str
    loss_name: str
    all_parameters: bool
    params: str
    per_layer: bool
    along: list[str]
    batch_size: int | None
    cuda: bool
    seed: int
    only: list[str]
    bottom: int
    top: int
    tolerance: float
    most_products: int
    trace_tolerance: float
    probes: int
    rank: int | None
    steps: int
    density_probes: int
    json: str
    out: str
    format: list[str]
    fix_randomness: bool
    strict: bool


@dataclass(frozen=True)
class HessianRequest:
    """Everything that a command line of hessian.py asks for."""

    net: NetOptions
    data: DataOptions
    hessian: HessianOptions

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        return cls(NetOptions.of(args), DataOptions.of(args), HessianOptions.of(args))


def build_parser(description: str | None) -> Parser:
    parser = Parser(description)
    add_estimates(parser)
    options.add_model(parser, others=False)
    options.add_data(parser)
    options.add_subset(parser, test_set=False)
    group = parser.add_argument_group("hardware and output")
    add = group.add_argument
    add("--cuda", "-c", action="store_true", help="compute on the GPU")
    add(
        "--batch_size",
        type=options.positive,
        help=f"samples in memory at a time (default: {BATCH_SIZE}; on a GPU more, if they fit)",
    )
    options.add_randomness(group)
    add("--json", default="", type=output_file, metavar="FILE", help="write all numbers to this file")
    add_out(group, "the checkpoint, or without one the net", of="the figure's name")
    add_page_options(group)
    return parser


def add_estimates(parser: Parser) -> None:
    """Add the options for the matrix and for its estimates."""
    group = parser.add_argument_group("curvature")
    add, positive, default = group.add_argument, options.positive, "(default: %(default)s)"
    add("--kind", choices=KINDS, default="hessian", help=default)
    options.add_lanczos(group)
    add(
        "--params",
        default="",
        metavar="REGEX",
        help="only parameters whose names contain a match, such as one layer or an adapter (lora_)",
    )
    add("--only", nargs="+", choices=QUANTITIES, default=QUANTITIES, help="what to compute (default: all)")
    add("--top", type=positive, default=1, metavar="K", help=f"number of the largest eigenvalues {default}")
    add(
        "--bottom",
        type=positive,
        default=1,
        metavar="K",
        help=f"number of the smallest eigenvalues {default}",
    )
    add(
        "--per_layer",
        action="store_true",
        help="the extreme eigenvalues of the diagonal block of each parameter tensor too, in a table",
    )
    add(
        "--along",
        nargs="+",
        default=[],
        type=along_name,
        metavar="DIRECTION",
        help="slope and curvature along these directions too, in a table: random or random:N "
        f"(filter-normalised), {', '.join(ORIGINS)} (as --xdir of plot_surface.py), or a checkpoint, for the "
        "direction towards it",
    )
    add(
        "--trace_tolerance",
        type=options.share,
        default=TRACE_TOLERANCE,
        help=f"standard error of the trace, relative to it {default}",
    )
    add(
        "--probes",
        type=positive,
        default=MOST_PROBES,
        metavar="N",
        help=f"most random vectors for the trace {default}",
    )
    add(
        "--rank",
        type=options.not_negative,
        metavar="R",
        help="rank of Hutch++, which the trace uses; 0 is Hutchinson "
        f"(default: {RANK}, or the number of parameters if that is less)",
    )
    add("--steps", type=positive, default=STEPS, metavar="N", help=f"Lanczos steps for the density {default}")
    add(
        "--density_probes",
        type=positive,
        default=DENSITY_PROBES,
        metavar="N",
        help=f"its random vectors {default}",
    )
    add("--seed", type=options.not_negative, default=0, help=f"seed of the random vectors {default}")
