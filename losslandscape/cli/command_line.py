"""How every script reads its command line and refuses what it cannot use: one sentence, exit status 2, no traceback."""

import argparse
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from losslandscape.core.errors import InputError
from losslandscape.core.user_code import OwnCodeError
from losslandscape.files.file_names import FIGURE_FORMATS
from losslandscape.parallel.mpi4pytorch import launched

# Packages that only some commands need, by the name that is imported: what to install.
OPTIONAL = {"plotly": "plotly", "vtkmodules": "vtk", "tensorboard": "tensorboard"}

# Flags whose name in Python is another one.
FLAGS = {
    "memory": "data_memory",
    "bn_samples": "bn",
    "seed": "idx",
    "loss": "loss_name",
    "target": "model_file2",
}


class Parser(argparse.ArgumentParser):
    """Refuses bad input with one sentence on standard error and exit status 2; of several ranks the first alone speaks.

    Options are written out whole: an abbreviation that works today would break when an option is added.
    """

    def __init__(self, description: str | None):
        super().__init__(
            prog=os.path.basename(sys.argv[0]),  # also under `python -m`, where newer Pythons say otherwise
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> None:
        rank, _ = launched()
        if rank == 0:
            print(f"{self.prog}: error: {message}", file=sys.stderr, flush=True)
        raise SystemExit(2)


def as_flag(name: str, value: str) -> str:
    """An option as the command line writes it; `name` is that of the Python interface where both have it."""
    return f"--{FLAGS.get(name, name)}{'' if value in ('', 'True') else f' {value}'}"


@contextmanager
def sentence(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Turn an `InputError`, or the operating system's refusal of a file, into `parser.error`; an error in the user's code comes with its traceback.

    A reader of the output that has gone, as `| head` does, ends the program quietly with status 1.
    """
    try:
        yield
        sys.stdout.flush()
    except OwnCodeError as error:
        if launched()[0] == 0:
            print(error.trace, file=sys.stderr, end="")
        parser.error(error.sentence(as_flag))
    except InputError as error:
        parser.error(error.sentence(as_flag))
    except ModuleNotFoundError as error:
        package = OPTIONAL.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        parser.error(f"{package} is not installed, and this needs it; pip install {package}")
    except KeyboardInterrupt:
        if launched()[1] > 1:  # the ranks end together, or those that wait for this one never
            raise
        print(
            f"{parser.prog}: stopped; what was saved stays, and the same command goes on from there",
            file=sys.stderr,
            flush=True,
        )
        raise SystemExit(128 + signal.SIGINT) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _reader_has_gone():
            raise SystemExit(1) from None
        parser.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _reader_has_gone() -> bool:
    """Whether nobody reads the standard output any more; what is left of it then goes nowhere, so that Python does not complain as it ends."""
    try:
        print(flush=True)  # only writing tells
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def finite(text: str) -> float:
    """A number that has a place on an axis."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def output_file(text: str) -> str:
    """The name of a file that can be written when all is computed, or empty."""
    folder = os.path.dirname(text) or "."
    if not os.path.isdir(folder):
        raise argparse.ArgumentTypeError(
            f"{text!r}: the folder {folder!r} is not there; make it, or give another name"
        )
    if os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text!r} is a folder; give the name of a file")
    return text


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """`--format` of every script that draws figures; here rather than with the figures, as drawing takes a while to import."""
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FIGURE_FORMATS,
        default=["pdf"],
        help="formats of the figures (default: pdf)",
    )


def add_figure_options(parser: argparse.ArgumentParser) -> None:
    """What the plot scripts do with their figures."""
    parser.add_argument("--show", action="store_true", help="open the figures in windows as well")
    parser.add_argument(
        "--watch", action="store_true", help="draw again whenever a surface file grows, until it is complete"
    )
    parser.add_argument(
        "--tensorboard",
        default="",
        metavar="LOGDIR",
        help="add the figures, and 3-D surfaces as meshes, to a TensorBoard log as well",
    )
    parser.add_argument(
        "--json",
        default="",
        type=output_file,
        metavar="FILE",
        help="write the numbers that are printed to this file",
    )
    add_format_option(parser)


def add_comparison_options(parser: argparse.ArgumentParser) -> None:
    """How several surfaces stand side by side."""
    parser.add_argument(
        "--title",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="a title for each surface file (default for several: the files' names)",
    )
    parser.add_argument(
        "--out",
        default="",
        metavar="STEM",
        help="what the figures' names begin with (default: the surface file, or for several the first "
        "with _compared)",
    )
