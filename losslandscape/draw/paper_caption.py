"""Writes the caption of a figure of a paper: what its panels show, and the facts and numbers of each net."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from losslandscape.draw import surface_facts, surface_metrics
from losslandscape.draw.drawable import describe_missing
from losslandscape.draw.labels import label
from losslandscape.draw.loss_shape import RISE_FACTOR, RISE_FLOOR, SHARPNESS_RADIUS
from losslandscape.draw.metrics_table import cell
from losslandscape.files.surface import Surface

# Of the printed numbers: the first words of those in the caption, and what the caption calls them.
NUMBERS = {
    "at the centre": "{} at the centre",
    "highest": "highest {}",
    "sharpness": f"sharpness (within {SHARPNESS_RADIUS:g})",
    "flatness radius +x": "flatness radius along +α",
    "flatness radius -x": "flatness radius along \N{MINUS SIGN}α",
    "flatness radius least": "flatness radius",
    "points of negative curvature": "negative curvature at",
    "local minima": "local minima",
    "barrier": "barrier",
}


FLATNESS = (
    f"The flatness radius is the distance from the centre at which the loss first is {RISE_FACTOR:g} times "
    f"that at the centre, or {RISE_FACTOR * RISE_FLOOR:g} if that is more."
)


@dataclass(frozen=True)
class Shown:
    """What some panels of a figure show.

    Args:
        what: a clause without the panels, such as "contours of the train loss".
        letters: of the panels; empty if they have none.
    """

    what: str
    letters: Sequence[str]

    def __str__(self) -> str:
        return f"{self.what} {panels(self.letters)}".strip()


def panels(letters: Sequence[str]) -> str:
    """Return letters of successive panels in brackets.

    >>> panels(["a"]), panels(["a", "b"]), panels(["c", "d", "e"])
    ('(a)', '(a, b)', '(c\N{EN DASH}e)')
    """
    if not letters:
        return ""
    inside = ", ".join(letters) if len(letters) < 3 else f"{letters[0]}\N{EN DASH}{letters[-1]}"
    return f"({inside})"


def caption(
    surfaces: Sequence[Surface],
    titles: Sequence[str],
    name: str,
    shown: Sequence[Shown],
    notes: Sequence[str],
) -> list[str]:
    """Return the sentences of a caption.

    Args:
        surfaces: lines and planes.
        titles: one per surface.
        name: the quantity.
        shown: what the panels show, in their order.
        notes: further sentences on how to read the panels.
    """
    pairs = list(zip(_distinct(surfaces, titles), surfaces, strict=True))
    nets = list(dict.fromkeys(title for title in titles if title))
    what = label(name)
    first = f"{what} of {_listed(nets)}." if nets else f"{what}."
    facts = {
        "Loss": surface_facts.loss,
        "Data": lambda surface: surface_facts.data(surface, name),
        "Grid": surface_facts.grid,
        "Directions": surface_facts.directions,
    }
    sentences = [first, "; ".join(map(str, shown)) + "."]
    sentences += list(notes)
    sentences += [_fact(word, pairs, tell) for word, tell in facts.items()]
    told = [_capital(sentence) for sentence in sentences if sentence]
    told += filter(None, (_missing(title, surface, name) for title, surface in pairs))
    numbers = list(filter(None, (_numbers(title, surface, name) for title, surface in pairs)))
    if any("flatness radius" in text for text in numbers):
        told.append(FLATNESS)
    return told + numbers


def _fact(word: str, pairs: Sequence[tuple[str, Surface]], tell: Callable[[Surface], str]) -> str:
    """Return a sentence on a fact of all surfaces, once if it is the same."""
    by_text: dict[str, list[str]] = {}
    for title, surface in pairs:
        by_text.setdefault(tell(surface), []).append(title)
    if len(by_text) == 1:
        text = next(iter(by_text))
        return f"{word}: {text}." if text else ""
    known = [f"{text} ({_listed(list(dict.fromkeys(titles)))})" for text, titles in by_text.items() if text]
    return f"{word}: {'; '.join(known)}." if known else ""


def _missing(title: str, surface: Surface, name: str) -> str:
    missing = describe_missing(surface, name)
    return _of(title, f"{missing}.") if missing else ""


def _numbers(title: str, surface: Surface, name: str) -> str:
    parts = []
    for words, value in surface_metrics.numbers(surface_metrics.measure(surface, name)):
        is_side = words.startswith("flatness radius") and surface.y is not None and "least" not in words
        called = next((text for start, text in NUMBERS.items() if words.startswith(start)), "")
        if called and not is_side:
            unit = " of points" if words.startswith("points") else ""
            parts.append(f"{called.format(label(name))} {cell(words, value)}{unit}")
    return _of(title, f"{', '.join(parts)}.") if parts else ""


def _of(title: str, text: str) -> str:
    return f"{title}: {text}" if title else text


def _distinct(surfaces: Sequence[Surface], titles: Sequence[str]) -> list[str]:
    """Return titles that tell a line and a plane of the same net apart."""
    kinds = ["line" if surface.y is None else "plane" for surface in surfaces]
    return [
        f"{title}, {kind}" if list(titles).count(title) > 1 else title
        for title, kind in zip(titles, kinds, strict=True)
    ]


def _listed(texts: Sequence[str]) -> str:
    """Return texts as in "one, two and three"."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _capital(sentence: str) -> str:
    """Return a sentence with a capital letter, unless it begins with the title of a net."""
    return sentence[0].upper() + sentence[1:]
