"""Metadata of figure files, which name the commands that made the figure."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from losslandscape.core.provenance import command_line
from losslandscape.core.text import printable
from losslandscape.files.surface import Surface

# The metadata field that holds the commands, for each format.
COMMAND_FIELD = {"pdf": "Subject", "png": "Description", "svg": "Description", "eps": "Creator"}
# Without a date, drawing the same figure again writes the same bytes.
UNDATED: dict[str, dict[str, str | None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
_drawing: ContextVar[str] = ContextVar("_drawing", default="")


@contextmanager
def drawn_by(program: str, arguments: Iterable[str]) -> Iterator[None]:
    """Put this command into the metadata of every figure that is saved inside the block."""
    token = _drawing.set(command_line(program, arguments))
    try:
        yield
    finally:
        _drawing.reset(token)


def drawing_command() -> str:
    """Return the command of the innermost `drawn_by`; empty without one."""
    return _drawing.get()


def commands(*surfaces: Surface) -> list[str]:
    """Return the command of the last run of each surface, if its file records that command."""
    last_runs = [surface.runs[-1] for surface in surfaces if surface.runs]
    return [str(run["command"]) for run in last_runs if isinstance(run, dict) and "command" in run]


def metadata(file_format: str, stem: str, made_by: Iterable[str]) -> dict[str, str | None]:
    """Return the metadata of a figure's file, for matplotlib.

    Args:
        file_format: pdf, png, svg or eps.
        stem: the file's path without its extension; its last part is the title.
        made_by: the commands that measured what the figure shows. The command that draws the figure is added.
    """
    all_commands = dict.fromkeys([*made_by, _drawing.get()])
    texts = {
        "Title": [os.path.basename(stem)],
        COMMAND_FIELD[file_format]: [line for text in all_commands for line in text.split("\n") if text],
    }
    fields = {field: "\n".join(map(printable, lines)) for field, lines in texts.items() if any(lines)}
    return {**fields, **UNDATED.get(file_format, {})}
