"""How every script reads its command line and refuses what it cannot use: one sentence, exit status 2, no traceback."""
import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from errors import InputError
from mpi4pytorch import launched

FIGURE_FORMATS = ("pdf", "png", "svg")


class Parser(argparse.ArgumentParser):
    """Refuses bad input with one sentence on standard error and exit status 2; of several ranks the first alone speaks.

    Options are written out whole: an abbreviation that works today would break when an option is added.
    """

    def __init__(self, description: str | None):
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def error(self, message: str) -> None:
        rank, _ = launched()
        if rank == 0:
            print(f"{self.prog}: error: {message}", file=sys.stderr, flush=True)
        raise SystemExit(2)


@contextmanager
def sentence(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Turn an `InputError`, or the operating system's refusal of a file, into `parser.error`."""
    try:
        yield
    except InputError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """`--format` of every script that draws figures; here rather than with the figures, as drawing takes a while to import."""
    parser.add_argument("--format", nargs="+", choices=FIGURE_FORMATS, default=["pdf"], help="formats of the figures (default: pdf)")
