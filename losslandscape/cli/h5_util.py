"""Report what surface, direction and projection files hold, and draw conclusions from them.

The files may be those of the published program.

    python h5_util.py FILE...
"""

from collections.abc import Callable

from losslandscape.cli import direction_report, projection_report, surface_report
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.file_report import FileReport
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util

KINDS = "surface, direction or projection"
# By a dataset that only one kind of file has, the function that reports on this kind.
REPORTS: dict[str, Callable[[str, set[str]], FileReport]] = {
    "xcoordinates": surface_report.describe,
    "proj_xcoord": projection_report.describe,
    "xdirection": direction_report.describe,
}


def main(argv: list[str] | None = None) -> None:
    parser = Parser(
        "Report what is in HDF5 files of this program or of the published one, what made them, "
        "and how to resume them."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="surface, direction or projection file")
    args = parser.parse_args(argv)
    errors = []
    with sentence(parser):
        for path in args.files:
            try:
                text = report(path)
            except (InputError, OSError) as error:
                errors.append(error)
            else:
                print(f"{text}\n")
        if errors:
            raise errors[0]


def report(path: str) -> str:
    """Return the report on a file, in several lines.

    Raises:
        InputError: the file is not a surface, direction or projection file.
    """
    names = h5_util.names(path, KINDS)
    for name, describe in REPORTS.items():
        if name in names:
            return str(describe(path, names))
    marks = ", ".join(map(repr, REPORTS))
    raise InputError(f"{path!r} is an HDF5 file, but no {KINDS} file: it has none of {marks}")
