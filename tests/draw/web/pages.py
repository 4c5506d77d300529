"""Surfaces with pages, and what is in a page."""

import html
import json
import re
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


def data_of(page: str) -> dict[str, Any]:
    """What the script of a page draws, read as strictly as a browser reads it."""
    text = Path(page).read_text()
    start = text.index(">", text.index('id="page-data"')) + 1

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    return json.loads(text[start : text.index("</script>", start)], parse_constant=refuse)


def figure_of(page: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The traces of the first plot in a page, and the layout that its first view adds."""
    data = data_of(page)
    panel = data["panels"][0]
    return panel["traces"], panel["views"][data["view"]]["layout"]


def labels_of(page: str) -> list[str]:
    """The labels of the buttons of a page."""
    text = Path(page).read_text()
    views = re.search(r'<nav id="views".*?</nav>', text)
    return [html.unescape(label) for label in re.findall(r">([^<>]+)</(?:button|option)>", views[0])]


def first_label(page: str) -> str:
    """The label of the view that is shown first."""
    return labels_of(page)[data_of(page)["view"]]


def steps_of(page: str) -> list[dict[int, dict[str, Any]]]:
    """What each step of the slider changes, by index of the trace."""
    return [
        {
            index: {key: values[i] for key, values in step["traces"].items() if values[i] is not None}
            for i, index in enumerate(step["indices"])
        }
        for step in data_of(page)["panels"][0]["steps"]
    ]


def heights_of_views(page: str) -> dict[str, np.ndarray]:
    """The heights that each button shows, by its label; NaN in holes."""
    views = data_of(page)["panels"][0]["views"]
    heights = [numbers(view["traces"]["z"][0]) for view in views]
    return dict(zip(labels_of(page) or [""], heights, strict=True))


def numbers(nested: list) -> np.ndarray:
    return np.array(nested, float)


def trace(traces: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(trace for trace in traces if trace["name"].startswith(name))


def points_above(trace: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and z of the first half of a trace, which lies on the surface; the other half is on the floor."""
    half = len(trace["x"]) // 2
    x, y, z = (numbers(trace[axis])[:half] for axis in "xyz")
    return x, y, z
