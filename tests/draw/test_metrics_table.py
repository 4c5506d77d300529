"""The metrics as tables and as JSON."""

import json
from pathlib import Path

import numpy as np
import pytest

from losslandscape.draw import metrics_table, surface_metrics
from losslandscape.files.surface import Surface
from tests.draw.surface_files import X

pytestmark = pytest.mark.usefixtures("inside")


def line(values: np.ndarray, path: str = "s.h5", **quantities) -> Surface:
    return Surface(path, x=X, y=None, quantities={"train_loss": values, **quantities})


def rows(capsys) -> dict[str, str]:
    """The printed lines, by their first cells."""
    lines = capsys.readouterr().out.splitlines()
    return {line.split("  ")[0]: line for line in lines}


def test_json_has_what_is_printed(capsys):
    values = np.random.default_rng(0).lognormal(0, 2, (9, 9))
    values[0, 0], values[8, 8] = np.nan, np.inf
    surface = Surface("plane.h5", x=X, y=X, quantities={"train_loss": values})
    metrics_table.report([surface], [""], ["train_loss"], json_file="plane.json")
    text = Path("plane.json").read_text()
    content = json.loads(text)
    centre = {"value": pytest.approx(values[4, 4]), "at": [0, 0], "se": None, "interpolated": False}
    assert content["train_loss"]["plane.h5"]["centre"] == centre
    definitions = {"sharpness_radius": 0.1, "rise_factor": 2, "rise_floor": 0.1, "curved_down": 0.1}
    assert content["definitions"] == definitions
    assert rows(capsys)["lowest"].startswith(f"lowest                        {np.nanmin(values):.4g}")
    assert "NaN" not in text and "Infinity" not in text


def test_infinity_is_a_word():
    metrics_table.report([line(np.ones(9))], [""], ["train_loss"], json_file="flat.json")
    flatness = json.loads(Path("flat.json").read_text())["train_loss"]["s.h5"]["flatness"]
    assert flatness == {"+x": "infinity", "-x": "infinity"}


def test_no_row_for_a_side_that_the_grid_does_not_have(capsys):
    one_sided = Surface("s.h5", x=np.linspace(0, 1, 9), y=None, quantities={"train_loss": np.ones(9)})
    metrics_table.report([one_sided], [""], ["train_loss"], json_file="side.json")
    printed = capsys.readouterr().out
    assert "flatness radius +x" in printed and "flatness radius -x" not in printed
    flatness = json.loads(Path("side.json").read_text())["train_loss"]["s.h5"]["flatness"]
    assert flatness == {"+x": "infinity"}


def test_a_column_per_surface(capsys):
    x = np.linspace(-1, 1, 81)
    surfaces = [
        Surface(f"{factor}.h5", x=x, y=None, quantities={"train_loss": 1 + factor * x**2})
        for factor in (1, 5)
    ]
    metrics_table.report(surfaces, ["flat", "sharp"], ["train_loss"])
    printed = rows(capsys)
    assert printed["train_loss"].split() == ["train_loss", "flat", "sharp"]
    sharpness = printed["sharpness within 0.1"].split()[-2:]
    assert [float(number) for number in sharpness] == pytest.approx([0.5, 2.5], rel=1e-3)


def test_a_quantity_of_some_surfaces_leaves_cells_empty(capsys):
    surfaces = [line(1 + X**2, "a.h5"), line(2 + X**2, "b.h5", penalty=np.full(9, 0.25))]
    metrics_table.report(surfaces, ["a", "b"], ["penalty"])
    assert rows(capsys)["at the centre"].split() == ["at", "the", "centre", "0.25"]


def test_errors_are_printed_behind_the_numbers(capsys):
    x = np.linspace(-0.5, 1.5, 9)
    values = 1 + np.exp(-(((x - 0.5) / 0.2) ** 2))
    errors = {"train_loss_se": np.full(9, 0.012), "train_loss_diff_se": np.full(9, 0.03)}
    surface = Surface("s.h5", x=x, y=None, quantities={"train_loss": values, **errors})
    metrics_table.report([surface], [""], ["train_loss"])
    printed = rows(capsys)
    metrics = surface_metrics.measure(surface, "train_loss")
    assert printed["at the centre"].endswith(f"{metrics.centre.value:.4g} ± 0.012")
    assert " ± 0.012 at 0.5" in printed["highest"]
    assert printed["barrier"].endswith(f"{metrics.barrier:.4g} ± {metrics.barrier_se:.2g}")


def test_values_that_count_as_infinite_are_not_printed(capsys):
    metrics_table.report([line(np.full(9, 1e250))], [""], ["train_loss"])
    assert "lowest" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("x", "y"), [([0.0], None), ([0.0], [0.0]), (X, [0.0]), ([0.3], None), ([0, 0, 0], [1, 2]), (X, [-1, 1])]
)
def test_odd_grids_have_some_numbers(x, y, capsys):
    shape = (len(x),) if y is None else (len(y), len(x))
    surface = Surface(
        "s.h5", x=x, y=y, quantities={"train_loss": 1 + np.arange(np.prod(shape)).reshape(shape)}
    )
    metrics_table.report([surface], [""], ["train_loss"])
    assert "lowest" in capsys.readouterr().out


def test_mean_and_spread_over_surfaces(capsys):
    planes = []
    for c in (1.0, 2.0, 6.0):
        values = 0.5 + c * X[None] ** 2 + 2 * c * X[:, None] ** 2
        planes.append(Surface(f"{c}.h5", x=X, y=X, quantities={"train_loss": values}))
    metrics_table.report_spread(planes, ["train_loss"], json_file="m.json")
    deviation = np.std([3.5, 6.5, 18.5], ddof=1)
    assert rows(capsys)["highest"].split() == ["highest", "9.5", f"{deviation:.4g}", "3.5", "18.5", "3"]
    spread = json.loads(Path("m.json").read_text())["spread"]["train_loss"]
    assert spread["highest"]["mean"] == pytest.approx(9.5)


def test_a_flatness_beyond_the_grid_in_a_spread(capsys):
    metrics_table.report_spread([line(np.full(9, 0.5))], ["train_loss"])
    assert "beyond the grid" in capsys.readouterr().out
