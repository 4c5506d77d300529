"""How a figure was made: the commands that its file names in the metadata."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from losslandscape.core.provenance import command_line
from losslandscape.core.text import printable
from losslandscape.files.surface import Surface

# The field of a format's metadata for the commands.
COMMAND_FIELD = {"pdf": "Subject", "png": "Description", "svg": "Description"}
# Without a date, the same figure is the same file.
UNDATED: dict[str, dict[str, str | None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
_drawing: ContextVar[str] = ContextVar("_drawing", default="")


@contextmanager
def drawn_by(program: str, arguments: Iterable[str]) -> Iterator[None]:
    """Name this command in the metadata of the figures that are saved inside the block."""
    token = _drawing.set(command_line(program, arguments))
    try:
        yield
    finally:
        _drawing.reset(token)


def commands(*surfaces: Surface) -> list[str]:
    """Return the command of the last run that measured each surface, where its file has it."""
    last_runs = [surface.runs[-1] for surface in surfaces if surface.runs]
    return [str(run["command"]) for run in last_runs if isinstance(run, dict) and "command" in run]


def metadata(file_format: str, stem: str, made_by: Iterable[str]) -> dict[str, str | None]:
    """Return the metadata of a figure's file, for matplotlib.

    Args:
        file_format: pdf, png or svg.
        stem: of the file's path; its last part is the title.
        made_by: the commands that measured what the figure shows. The one that draws it is added.
    """
    all_commands = dict.fromkeys([*made_by, _drawing.get()])
    texts = {
        "Title": [os.path.basename(stem)],
        COMMAND_FIELD[file_format]: [line for text in all_commands for line in text.split("\n") if text],
    }
    known = {field: "\n".join(map(printable, lines)) for field, lines in texts.items() if any(lines)}
    return {**known, **UNDATED.get(file_format, {})}
