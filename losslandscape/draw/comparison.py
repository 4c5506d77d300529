"""Holds surfaces that are drawn side by side, with their titles, and saves their figures."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from losslandscape.core.errors import InputError
from losslandscape.core.text import legible
from losslandscape.draw import figures
from losslandscape.draw.figure_metadata import commands
from losslandscape.draw.labels import escape_mathematics
from losslandscape.files.surface import Surface


@dataclass(frozen=True)
class Comparison:
    """Surfaces that are drawn side by side, with their titles and the names of their figures.

    Args:
        surfaces: one or more, from left to right.
        titles: one per surface; a single surface may have an empty one.
        stem: the beginning of the figures' file names.
        show: whether to open the figures in windows.
        formats: the formats of the figures' files.
    """

    surfaces: Sequence[Surface]
    titles: Sequence[str]
    stem: str
    show: bool = False
    formats: str | Sequence[str] = ("pdf",)

    @classmethod
    def of(
        cls,
        surfaces: Sequence[Surface],
        *,
        titles: Sequence[str] = (),
        out: str = "",
        show: bool = False,
        formats: str | Sequence[str] = ("pdf",),
    ) -> "Comparison":
        """Return a comparison; without `titles` or `out`, titles or stem come from the names of the surfaces.

        Raises:
            InputError: the titles are not one per surface, two are equal, or one has a faulty formula.
        """
        names = [surface.called for surface in surfaces]
        if titles and len(titles) != len(names):
            raise InputError(
                f"there are {len(titles)} titles for {len(names)} surface files",
                "give one for each ({titles})",
            )
        titles = list(map(legible, titles))
        _require_readable(titles)
        stem = out or (names[0] if len(names) == 1 else f"{names[0]}_compared")
        titles = titles or _default_titles(list(map(legible, names)))
        _require_different(titles)
        return cls(surfaces, titles, stem, show=show, formats=formats)

    def __iter__(self) -> Iterator[tuple[Surface, str]]:
        """Yield each surface with its title."""
        return zip(self.surfaces, self.titles, strict=True)

    def notes(self, describe: Callable[..., str | None], *args: object) -> list[str]:
        """Return the text of `describe(surface, *args)` for each surface that has one, after its title."""
        texts = [(title, describe(surface, *args)) for surface, title in self]
        return [titled(title, text) for title, text in texts if text]

    def save(self, fig: Figure, ending: str) -> list[str]:
        """Write a figure as `<stem>_<ending>` with the commands that measured the surfaces."""
        return figures.save(fig, f"{self.stem}_{ending}", self.formats, made_by=commands(*self.surfaces))


def titled(title: str, text: str) -> str:
    """Return a text after the title of its panel, if the panel has one."""
    return f"{title}: {text}" if title else text


def _default_titles(names: list[str]) -> list[str]:
    """Return an empty title for one surface, else names, without their folders if these still differ."""
    if len(names) == 1:
        return [""]
    short = [os.path.basename(name) for name in names]
    return [escape_mathematics(name) for name in (names if len(set(short)) < len(short) else short)]


def _require_readable(titles: Iterable[str]) -> None:
    for title in titles:
        try:
            MathTextParser("agg").parse(title)
        except ValueError as error:
            raise InputError(
                f"the title {title!r} has mathematics between its $ that cannot be read",
                "write \\$ for a dollar sign",
            ) from error


def _require_different(titles: Sequence[str]) -> None:
    for title in titles:
        if titles.count(title) > 1:
            raise InputError(
                f"two surfaces have the title {title!r}", "give each a title of its own ({titles})"
            )
