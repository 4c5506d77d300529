"""What the reports on files share: rows of a table, lines under a title, a place, a number of things."""

Rows = dict[str, str]
OURS = {"measured", "made_with"}  # datasets that the published program does not write


def author(names: set[str]) -> str:
    """Which program made a file that has datasets of these names."""
    return "made by this program" if names & OURS else "made by the published program"


def place(point: tuple[float, ...]) -> str:
    """
    >>> place((0.5, -1.0))
    'x=0.5 y=-1'
    """
    return " ".join(f"{axis}={coordinate:g}" for axis, coordinate in zip("xy", point, strict=False))


def count(number: int, thing: str) -> str:
    """
    >>> count(1, "point"), count(2, "point")
    ('1 point', '2 points')
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def table(rows: Rows) -> list[str]:
    """A line a row, names and values in columns."""
    width = max(map(len, rows), default=0)
    return [f"  {name:{width}}  {value}" for name, value in rows.items()]


def section(title: str, lines: list[str]) -> list[str]:
    """Lines under a title; nothing if there are none."""
    return [title, *(line if line.startswith("  ") else f"  - {line}" for line in lines)] if lines else []
