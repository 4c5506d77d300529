"""Prints the metrics of surfaces as tables, and writes them as JSON."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from losslandscape.draw import loss_shape, surface_metrics
from losslandscape.draw.convexity import CURVED_DOWN, EIGENVALUES, Convexity, convexity
from losslandscape.draw.grid_values import HIGHER_THAN_ANY
from losslandscape.draw.surface_metrics import Metrics, Place, Spread
from losslandscape.files.atomic_file import replacing
from losslandscape.files.surface import Surface

DEFINITIONS = {
    "sharpness_radius": loss_shape.SHARPNESS_RADIUS,
    "rise_factor": loss_shape.RISE_FACTOR,
    "rise_floor": loss_shape.RISE_FLOOR,
    "curved_down": CURVED_DOWN,
}
RATIO = "/".join(EIGENVALUES)
# The beginnings of the numbers that may rest on interpolated points, if a surface has some.
BETWEEN_POINTS = ("sharpness", "flatness", "barrier")
INTERPOLATED = " (interpolated)"
SPREAD_COLUMNS = ("mean", "deviation", "least", "greatest", "known in")


def report(
    surfaces: Sequence[Surface],
    titles: Sequence[str],
    names: Sequence[str],
    *,
    json_file: str = "",
    spread: bool = False,
) -> None:
    """Print the metrics of surfaces: a table per quantity, with a column per surface.

    The last table is for the ratio of Hessian eigenvalues, if a surface has both eigenvalues.

    Args:
        surfaces: lines or planes.
        titles: one title per surface; an empty title stands for the file name.
        names: the quantities.
        json_file: a JSON file to write the metrics to.
        spread: whether to also print mean and spread of each metric over several surfaces.
    """
    columns = {}
    for surface, title in zip(surfaces, titles, strict=True):
        columns[title or os.path.basename(surface.path)] = surface
    head = list(columns) if len(surfaces) > 1 else list(titles)
    content: dict[str, object] = {}
    for name in names:
        with_values = {title: surface for title, surface in columns.items() if _has_values(surface, name)}
        metrics = {title: surface_metrics.measure(surface, name) for title, surface in with_values.items()}
        _print_columns(name, head, [_rows(metrics.get(title)) for title in columns])
        content[name] = {title: asdict(one) for title, one in metrics.items()}
    ratios = {title: _convexity(surface) for title, surface in columns.items()}
    _print_columns(RATIO, head, [_convexity_rows(one) for one in ratios.values()])
    known = {title: asdict(one) for title, one in ratios.items() if one}
    if known:
        content[RATIO] = known
    if spread and len(surfaces) > 1:
        spreads = _print_spread(list(surfaces), names)
        if spreads:
            content["spread"] = spreads
    if json_file:
        _write(json_file, content)


def report_spread(surfaces: Sequence[Surface], names: Sequence[str], *, json_file: str = "") -> None:
    """Print mean and spread of each metric over surfaces, such as random planes through one minimum.

    Args:
        surfaces: lines or planes.
        names: the quantities.
        json_file: a JSON file to write the spreads to.
    """
    spreads = _print_spread(surfaces, names)
    if json_file:
        _write(json_file, {"surfaces": [surface.path for surface in surfaces], "spread": spreads})


def _print_spread(
    surfaces: Sequence[Surface], names: Sequence[str]
) -> dict[str, dict[str, dict[str, object]]]:
    """Print a table per quantity; return the content of the tables for JSON."""
    content = {}
    for name in names:
        with_values = [surface for surface in surfaces if _has_values(surface, name)]
        if not with_values:
            continue
        spreads = surface_metrics.summarise(with_values, name)
        lines = [[words, *_spread_cells(words, one)] for words, one in spreads.items()]
        _print_table([f"{name}, {len(surfaces)} surfaces", *SPREAD_COLUMNS], lines)
        content[name] = {words: asdict(one) for words, one in spreads.items()}
    return content


def _has_values(surface: Surface, name: str) -> bool:
    return name in surface.names and bool((np.abs(surface.get(name)) < HIGHER_THAN_ANY).any())


def _convexity(surface: Surface) -> Convexity | None:
    return convexity(surface) if set(EIGENVALUES) <= set(surface.names) else None


def _rows(metrics: Metrics | None) -> dict[str, str]:
    """Return the cells of a column, by the labels of their rows."""
    if metrics is None:
        return {}
    rows = {words: cell(words, value) for words, value in surface_metrics.numbers(metrics)}
    if metrics.centre:
        rows["at the centre"] = _with_error(metrics.centre)
    rows["lowest"] = _with_error_and_place(metrics.lowest)
    rows["highest"] = _with_error_and_place(metrics.highest)
    if metrics.barrier_se is not None:
        rows["barrier"] += f" ± {metrics.barrier_se:.2g}"
    if metrics.interpolated is not None:
        for words in rows:
            if words.startswith(BETWEEN_POINTS):
                rows[words] += INTERPOLATED
    return rows


def _convexity_rows(shape: Convexity | None) -> dict[str, str]:
    if shape is None:
        return {}
    centre = {} if shape.centre is None else {"|ratio| at the centre": _number(shape.centre)}
    return {
        **centre,
        "|ratio| in the median": _number(shape.median),
        f"points of ratio below -{CURVED_DOWN:g}": _percent(shape.curved_down),
    }


def _with_error(place: Place) -> str:
    error = "" if place.se is None else f" ± {place.se:.2g}"
    return f"{_number(place.value)}{error}{INTERPOLATED if place.interpolated else ''}"


def _with_error_and_place(place: Place) -> str:
    return f"{_with_error(place)} at {', '.join(f'{coordinate:g}' for coordinate in place.at)}"


def _spread_cells(words: str, spread: Spread) -> list[str]:
    values = spread.mean, spread.std, spread.least, spread.greatest
    return ["" if value is None else cell(words, value) for value in values] + [str(spread.known)]


def cell(words: str, value: float) -> str:
    """Return a metric as text; `words` is its description in `surface_metrics.numbers`."""
    if words.startswith("flatness") and math.isinf(value):
        return "beyond the grid"
    return _percent(value) if words.startswith("points") else _number(value)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _number(value: float) -> str:
    return "infinite" if value >= HIGHER_THAN_ANY else f"{value:.4g}"


def _print_columns(name: str, head: Sequence[str], columns: Sequence[Mapping[str, str]]) -> None:
    """Print a table with a column per surface, unless it has no row."""
    words = dict.fromkeys(word for column in columns for word in column)
    if words:
        _print_table([name, *head], [[word, *(column.get(word, "") for column in columns)] for word in words])


def _print_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    table = [head, *lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _write(path: str, content: Mapping[str, object]) -> None:
    text = json.dumps(_plain({"definitions": DEFINITIONS, **content}), indent=1)
    with replacing(path) as part:
        Path(part).write_text(f"{text}\n")
    print(f"saved {path}")


def _plain(value: object) -> object:
    """Return a value for JSON, which cannot store infinity: the text "infinity" replaces it."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return "infinity" if isinstance(value, float) and value >= HIGHER_THAN_ANY else value
