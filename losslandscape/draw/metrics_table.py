"""The numbers of surface_metrics.py as a table for people, and as JSON for programs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from losslandscape.draw import surface_metrics
from losslandscape.draw.surface_metrics import CURVED_DOWN, HIGHER_THAN_ANY, Convexity, Metrics, Place, Spread
from losslandscape.files.atomic_file import replacing

DEFINITIONS = {
    "sharpness_radius": surface_metrics.SHARPNESS_RADIUS,
    "rise_factor": surface_metrics.RISE_FACTOR,
    "rise_floor": surface_metrics.RISE_FLOOR,
    "curved_down": CURVED_DOWN,
}
EIGENVALUES = "min_eig/max_eig"


def tell(
    surfaces: Sequence,
    titles: Sequence[str],
    names: Sequence[str],
    *,
    json_file: str = "",
    spread: bool = False,
) -> None:
    """Print the metrics of quantities of surfaces, a column each, and write them to a JSON file if one is named.

    Where surfaces have Hessian eigenvalues, their ratio is told as well; with `spread`, the mean and the spread of each number too.
    """
    columns = {
        title or os.path.basename(surface.path): surface
        for surface, title in zip(surfaces, titles, strict=True)
    }
    shown = list(columns) if len(surfaces) > 1 else list(titles)
    found = {
        name: {
            title: surface_metrics.measure(surface, name)
            for title, surface in columns.items()
            if _has(surface, name)
        }
        for name in names
    }
    for name, metrics in found.items():
        _print_columns(name, shown, [_rows(metrics[title]) if title in metrics else {} for title in columns])
    ratios = {
        title: one
        for title, surface in columns.items()
        if {"min_eig", "max_eig"} <= set(surface.names) and (one := surface_metrics.convexity(surface))
    }
    _print_columns(
        EIGENVALUES, shown, [_convexity_rows(ratios[title]) if title in ratios else {} for title in columns]
    )
    whole = {name: {title: asdict(one) for title, one in metrics.items()} for name, metrics in found.items()}
    whole |= {EIGENVALUES: {title: asdict(one) for title, one in ratios.items()}} if ratios else {}
    spreads = _tell_spread(list(surfaces), names) if spread and len(surfaces) > 1 else {}
    if json_file:
        _write(json_file, {**whole, **({"spread": spreads} if spreads else {})})


def tell_spread(surfaces: Sequence, names: Sequence[str], *, json_file: str = "") -> None:
    """Print the mean and the spread of each metric over surfaces, such as random planes through one minimum, and write them to a JSON file if one is named."""
    spreads = _tell_spread(surfaces, names)
    if json_file:
        _write(json_file, {"surfaces": [surface.path for surface in surfaces], "spread": spreads})


def _tell_spread(surfaces: Sequence, names: Sequence[str]) -> dict[str, dict[str, dict[str, object]]]:
    spreads = {}
    for name in names:
        having = [surface for surface in surfaces if _has(surface, name)]
        if having:
            found = surface_metrics.summarise(having, name)
            _print_table(
                [f"{name}, {len(surfaces)} surfaces", "mean", "deviation", "least", "greatest", "known in"],
                [[word, *_spread_cells(word, one), f"{one.known}"] for word, one in found.items()],
            )
            spreads[name] = {word: asdict(one) for word, one in found.items()}
    return spreads


def _has(surface, name: str) -> bool:
    return name in surface.names and bool((np.abs(surface.get(name)) < HIGHER_THAN_ANY).any())


def _rows(metrics: Metrics) -> dict[str, str]:
    places = {"at the centre": metrics.centre, "lowest": metrics.lowest, "highest": metrics.highest}
    rows = {word: _cell(word, value) for word, value in surface_metrics.numbers(metrics)}
    rows |= {word: _place(place, where=word != "at the centre") for word, place in places.items() if place}
    if metrics.barrier_se is not None:
        rows["barrier"] += f" ± {metrics.barrier_se:.2g}"
    return rows


def _convexity_rows(found: Convexity) -> dict[str, str]:
    rows = {} if found.centre is None else {"|ratio| at the centre": _number(found.centre)}
    return {
        **rows,
        "|ratio| in the median": _number(found.median),
        f"points of ratio below -{CURVED_DOWN:g}": f"{100 * found.curved_down:.1f} %",
    }


def _place(place: Place, *, where: bool) -> str:
    error = "" if place.se is None else f" ± {place.se:.2g}"
    return f"{_number(place.value)}{error}" + (
        f" at {', '.join(f'{c:g}' for c in place.at)}" if where else ""
    )


def _spread_cells(word: str, spread: Spread) -> list[str]:
    return [
        "" if value is None else _cell(word, value)
        for value in (spread.mean, spread.std, spread.least, spread.greatest)
    ]


def _cell(word: str, value: float) -> str:
    if word.startswith("flatness") and math.isinf(value):
        return "beyond the grid"
    return f"{100 * value:.1f} %" if word.startswith("points") else _number(value)


def _number(value: float) -> str:
    return "infinite" if value >= HIGHER_THAN_ANY else f"{value:.4g}"


def _print_columns(name: str, titles: Sequence[str], columns: Sequence[dict[str, str]]) -> None:
    """A table with a column a surface; nothing if no surface has a row."""
    words = dict.fromkeys(word for column in columns for word in column)
    if words:
        _print_table(
            [name, *titles], [[word, *(column.get(word, "") for column in columns)] for word in words]
        )


def _print_table(head: list[str], lines: list[list[str]]) -> None:
    table = [head, *lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _write(path: str, content: dict[str, object]) -> None:
    with replacing(path) as part:
        Path(part).write_text(json.dumps(_plain({"definitions": DEFINITIONS, **content}), indent=1) + "\n")
    print(f"saved {path}")


def _plain(value: object) -> object:
    """JSON has no infinity: it is told in words."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return "infinity" if isinstance(value, float) and value >= HIGHER_THAN_ANY else value
