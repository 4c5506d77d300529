"""Parses command lines, and refuses bad input with one sentence and exit status 2."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from losslandscape.cli.figure_options import add_out, add_page_options
from losslandscape.core.errors import InputError
from losslandscape.core.user_code import OwnCodeError
from losslandscape.files.writable import require_writable
from losslandscape.parallel.mpi4pytorch import launched

# By module name, the package to install. Only some commands import these modules.
OPTIONAL = {"plotly": "plotly", "vtkmodules": "vtk", "tensorboard": "tensorboard"}

# By the name in Python, each flag that has a different name on the command line.
FLAGS = {
    "memory": "data_memory",
    "bn_samples": "bn",
    "seed": "idx",
    "loss": "loss_name",
    "target": "model_file2",
    "directions": "dir_file",
    "name": "surf_name",
    "titles": "title",
}


class Parser(argparse.ArgumentParser):
    """A parser that refuses bad input with one sentence, which only rank 0 prints, and exit status 2.

    Options cannot be abbreviated: an abbreviation that works today would break when an option is added.
    """

    def __init__(self, description: str | None):
        _escape_unprintable()
        super().__init__(
            prog=os.path.basename(sys.argv[0]),  # newer Pythons have a different default under `python -m`
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        rank, _ = launched()
        if rank == 0:
            print(f"{self.prog}: error: {message}", file=sys.stderr, flush=True)
        raise SystemExit(2)


def _escape_unprintable() -> None:
    r"""Let standard output and error show a character outside their encoding as an escape, such as \xb1.

    Such an encoding is that of `LC_ALL=C` or `PYTHONIOENCODING=ascii`. A file name that is no text, which
    also UTF-8 cannot encode, is shown in the same way.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def as_flag(name: str, value: str) -> str:
    """Return an option as the user writes it on the command line.

    >>> as_flag("overwrite", "True"), as_flag("dir_type", "states"), as_flag("memory", "")
    ('--overwrite', '--dir_type states', '--data_memory')
    """
    flag = f"--{FLAGS.get(name, name)}"
    return flag if value in ("", "True") else f"{flag} {value}"


@contextmanager
def sentence(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Turn errors that the user can correct into one sentence and exit status 2.

    An error in the user's own code keeps its traceback. If nobody reads the output any more, as after
    `| head`, the program ends quietly with status 1.
    """
    try:
        yield
        sys.stdout.flush()
    except InputError as error:
        if isinstance(error, OwnCodeError) and launched()[0] == 0:
            print(error.trace, file=sys.stderr, end="")
        parser.error(error.sentence(as_flag))
    except ModuleNotFoundError as error:
        package = OPTIONAL.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        parser.error(f"{package} is not installed, and this needs it; pip install {package}")
    except KeyboardInterrupt:
        if launched()[1] > 1:  # `mpi4pytorch` then ends all ranks, which would wait forever
            raise
        text = f"{parser.prog}: stopped; what was saved is kept, and the same command resumes from there"
        print(text, file=sys.stderr, flush=True)
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError as error:
        if not _reader_has_gone():
            parser.error(str(error))
        raise SystemExit(1) from None
    except UnicodeEncodeError as error:  # such as TensorBoard's, for the name of a folder
        if sys.getfilesystemencoding() == "utf-8":
            raise
        name = error.object.encode(errors="surrogateescape").decode(errors="backslashreplace")
        parser.error(f"{name!a} is no text in the encoding of this system; set PYTHONUTF8=1")
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _reader_has_gone() -> bool:
    """Return whether the reader of standard output has gone; if so, close it, so that Python ends quietly."""
    try:
        print(flush=True)  # only a write raises the error
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def output_file(text: str) -> str:
    """Return the name of an output file unchanged; refuse a folder, and a name that cannot be written."""
    if os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text!r} is a folder; give the name of a file")
    try:
        require_writable(text, "give another name")
    except InputError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    return text


def add_figure_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the figures and the printed metrics of a plot command."""
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
    add_page_options(parser)


def add_comparison_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for drawing several surfaces side by side."""
    parser.add_argument(
        "--title",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="a title for each surface file (default for several: the files' names)",
    )
    add_out(parser, "the surface file, plus _compared for several", of="the figures' names")
