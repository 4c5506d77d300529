"""Surfaces with pages, and what is in a page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from tests.helpers import write_surface_file

LABELS = {
    "train_loss": "train loss",
    "train_acc": "train accuracy (%)",
    "test_loss": "test loss",
    "test_acc": "test accuracy (%)",
}
VIEWS = [
    "train loss",
    "log train loss",
    "train accuracy (%)",
    "test loss",
    "log test loss",
    "test accuracy (%)",
]


def bowl(nx: int, ny: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and a loss that no two points have in common."""
    x, y = np.linspace(-1, 1, nx), np.linspace(-0.5, 1, ny)
    return x, y, bowl_height(x[None], y[:, None])


def bowl_height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.2 + 8 * x**2 + 3 * y**2 + x


def write_plane(
    path: str = "s.h5", nx: int = 9, ny: int = 7, *, names=tuple(LABELS), values: object = None
) -> str:
    """Write a bowl, or other losses; percentages fall with the distance from the centre."""
    x, y, loss = bowl(nx, ny)
    losses = loss if values is None else np.broadcast_to(values, loss.shape)
    quantities = {name: 100 * np.exp(-loss) if name.endswith("acc") else losses for name in names}
    if "test_loss" in quantities:
        quantities["test_loss"] = losses + 0.5
    write_surface_file(path, x=x, y=y, quantities=quantities, dir_file="d.h5")
    return path


def write_path(x, y, path: str = "d.h5_proj_cos.h5", *, epochs: np.ndarray | None = None) -> str:
    """Write a projection of checkpoints."""
    h5_util.write_projection(Projection(path, np.array(x, float), np.array(y, float), epochs=epochs))
    return path


def figure_of(page: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The traces and the layout in a page, read as strictly as a browser reads them."""
    text = Path(page).read_text()
    start = text.rindex("Plotly.newPlot(")
    traces, end = _json_after(text, "[", start)
    layout, _ = _json_after(text, "{", end)
    return traces, layout


def frames_of(page: str) -> list[dict[str, Any]]:
    """The frames in a page."""
    text = Path(page).read_text()
    return _json_after(text, "[", text.rindex("Plotly.addFrames("))[0]


def _json_after(text: str, bracket: str, start: int) -> tuple[Any, int]:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    return json.JSONDecoder(parse_constant=refuse).raw_decode(text, text.index(bracket, start))


def heights_of_views(layout: dict[str, Any]) -> dict[str, np.ndarray]:
    """The heights that each button shows, by its label; NaN in holes."""
    buttons = layout["updatemenus"][0]["buttons"]
    return {button["label"]: numbers(button["args"][0]["z"][0]) for button in buttons}


def numbers(nested: list) -> np.ndarray:
    return np.array(nested, float)


def trace(traces: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(trace for trace in traces if trace["name"].startswith(name))


def points_above(trace: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and z of the first half of a trace, which lies on the surface; the other half is on the floor."""
    half = len(trace["x"]) // 2
    x, y, z = (numbers(trace[axis])[:half] for axis in "xyz")
    return x, y, z
