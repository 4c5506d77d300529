"""The layout of a report on a file: a title, a table of facts, and sections.

A module for each kind of file writes the report.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from losslandscape.core.text import printable

Rows = dict[str, str]
OURS = {"measured", "made_with"}  # datasets that only this program writes


@dataclass(frozen=True)
class FileReport:
    """A report on one file.

    Args:
        title: the first line, which names the file and its kind.
        facts: the facts on the contents, by name.
        sections: by title, either facts by name or a list of lines. Empty sections are not shown.
    """

    title: str
    facts: Rows
    sections: dict[str, Rows | list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [self.title, *table(self.facts)]
        for title, content in self.sections.items():
            if content:
                lines.append(title)
                lines += table(content) if isinstance(content, dict) else map(_item, content)
        return "\n".join(map(printable, lines))


def table(rows: Rows) -> list[str]:
    """Return a line per row, with the names and the values in columns."""
    width = max(map(len, rows), default=0)
    return [f"  {name:{width}}  {value}" for name, value in rows.items()]


def _item(line: str) -> str:
    """Return an indented line with a dash, unless the line is already indented."""
    return line if line.startswith("  ") else f"  - {line}"


def author(names: set[str]) -> str:
    """Return in words which program made a file with these dataset names."""
    return "made by this program" if names & OURS else "made by the published program"


def place(point: tuple[float, ...]) -> str:
    """Return the coordinates of a point as text.

    >>> place((0.5, -1.0))
    'x=0.5 y=-1'
    """
    return " ".join(f"{axis}={coordinate:g}" for axis, coordinate in zip("xy", point, strict=False))


def count(number: int, thing: str) -> str:
    """Return a number and its noun.

    >>> count(1, "point"), count(2, "point")
    ('1 point', '2 points')
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def percent(shares: Iterable[float]) -> str:
    """Return shares of a whole as percentages.

    >>> percent([0.5, 0.25])
    '50.00 %, 25.00 %'
    """
    return ", ".join(f"{100 * share:.2f} %" for share in shares)
