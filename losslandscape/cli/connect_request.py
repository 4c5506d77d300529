"""The command line of connect.py: its parser, and its values in frozen dataclasses."""

import argparse
from dataclasses import dataclass, replace
from typing import Self

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser
from losslandscape.cli.figure_options import add_page_options
from losslandscape.cli.option_types import BN_SAMPLES, bn_samples
from losslandscape.cli.request import DataOptions, HardwareOptions, NetOptions, Options
from losslandscape.core.errors import InputError
from losslandscape.measure.loss_measure import Measuring
from losslandscape.nets.curve import BEZIER, KINDS
from losslandscape.trajectory.connection import POINTS
from losslandscape.trajectory.curve_training import CurvePlan

DEFAULT = CurvePlan()


@dataclass(frozen=True)
class ConnectOptions(Options):
    """The options of the curve, of its training and of the measurement along it."""

    curve: str
    bends: int
    epochs: int
    lr: float
    momentum: float
    weight_decay: float
    seed: int
    batch_size: int | None
    points: int
    bn: int | None
    errors: bool
    precision: str
    data_memory: int | None
    allow_nan: bool
    fix_randomness: bool
    strict: bool
    loss_name: str
    out: str
    overwrite: bool
    wait: bool
    plot: bool
    show: bool
    log: bool
    format: list[str]

    def plan(self) -> CurvePlan:
        """Return how the bends are trained."""
        return CurvePlan(
            kind=self.curve,
            bends=self.bends,
            epochs=self.epochs,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size or DEFAULT.batch_size,
            seed=self.seed,
        )

    def measuring(self, *, has_norms: bool) -> Measuring:
        """Return how the loss is measured; batch norms are estimated anew unless the user says otherwise."""
        default = BN_SAMPLES if has_norms else 0
        return Measuring(
            batch_size=self.batch_size,
            precision=self.precision,
            memory=self.data_memory,
            bn_samples=default if self.bn is None else self.bn,
            errors=self.errors,
            allow_nan=self.allow_nan,
            fix_randomness=self.fix_randomness,
        )


@dataclass(frozen=True)
class ConnectRequest:
    """Everything that a command line of connect.py asks for."""

    hardware: HardwareOptions
    data: DataOptions
    net: NetOptions
    connect: ConnectOptions

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        data = replace(DataOptions.of(args), test_set=None)  # test data too, if there is some
        return cls(HardwareOptions.of(args), data, NetOptions.of(args), ConnectOptions.of(args))

    def require_possible(self) -> None:
        """Raise `InputError` unless two different checkpoints and the beginning of names are given."""
        files = self.net.files()
        for flag in ("model_file", "model_file2"):
            if flag not in files:
                raise InputError("a curve joins two nets", f"give a checkpoint as {{{flag}}}")
        if files["model_file"] == files["model_file2"]:
            fault = f"--model_file and --model_file2 are both {self.net.model_file}"
            raise InputError(f"{fault}, and a curve joins two nets", "give another {model_file2}")
        if not self.connect.out:
            raise InputError("the results need a place", "give the beginning of their names as {out}")


def build_parser(description: str | None) -> Parser:
    parser = Parser(description)
    group = parser.add_argument_group("hardware")
    options.add_launch(group)
    options.add_data(parser)
    options.add_subset(parser, test_set=False)
    options.add_model(parser, others=False)
    group = parser.add_argument_group("curve and training")
    group.add_argument("--model_file2", default="", metavar="FILE", help="checkpoint of the net at t = 1")
    _add_training(group)
    group = parser.add_argument_group("measuring")
    _add_measuring(group)
    group = parser.add_argument_group("output")
    _add_output(group)
    return parser


def _add_training(group: argparse._ArgumentGroup) -> None:
    add, default = group.add_argument, "(default: %(default)s)"
    text = f"a Bezier curve, or a chain of straight lines {default}"
    add("--curve", choices=KINDS, default=BEZIER, help=text)
    text = f"points between the two nets that are trained {default}"
    add("--bends", type=options.positive, default=DEFAULT.bends, metavar="N", help=text)
    text = f"number of the last epoch; more continue an earlier training {default}"
    add("--epochs", type=options.positive, default=DEFAULT.epochs, metavar="E", help=text)
    text = f"learning rate of the first half; it then falls to a hundredth {default}"
    add("--lr", type=options.not_negative_number, default=DEFAULT.lr, help=text)
    text = f"of SGD {default}"
    add("--momentum", type=options.not_negative_number, default=DEFAULT.momentum, help=text)
    text = f"W of a penalty W/2 |weights|^2 of the net at t {default}"
    kind = options.not_negative_number
    add("--weight_decay", type=kind, default=DEFAULT.weight_decay, metavar="W", help=text)
    text = f"samples in a step, and when measuring (default: {DEFAULT.batch_size}, and the fastest)"
    add("--batch_size", type=options.positive, metavar="N", help=text)
    text = f"seed of the order of samples and of t {default}"
    add("--seed", type=options.not_negative, default=DEFAULT.seed, help=text)


def _add_measuring(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    text = "number of t from 0 to 1 (default: %(default)s)"
    add("--points", type=options.positive, default=POINTS, metavar="N", help=text)
    text = "recompute, recompute:N or stored: as for plot_surface.py (default: recompute, if there are any)"
    add("--bn", type=bn_samples, metavar="HOW", help=text)
    text = "standard errors of the loss, and of its difference from t = 0, over the samples"
    add("--errors", action="store_true", help=text)
    text = "GiB of data that may stay on the GPU (default: half of its free memory)"
    add("--data_memory", type=options.gibibytes, metavar="GIB", help=text)
    add("--allow_nan", action="store_true", help="continue where the loss at t = 0 is not finite")
    options.add_precision(group)
    options.add_randomness(group)


def _add_output(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    text = "beginning of the names of all files: PREFIX.t7, PREFIX.h5 and so on"
    add("--out", default="", metavar="PREFIX", help=text)
    add("--overwrite", action="store_true", help="start again; old files are kept as FILE.old")
    add("--wait", action="store_true", help="wait for another run that writes the files")
    add("--plot", action="store_true", help="draw the loss along curve and line, in one figure")
    add("--show", action="store_true", help="open the figures in windows as well")
    add("--log", action="store_true", help="logarithmic loss")
    add_page_options(group)
