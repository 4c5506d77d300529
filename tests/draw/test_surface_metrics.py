"""Numbers of surfaces whose shape is known, against what calculus says of them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslandscape.cli import plot_1D, plot_2D
from losslandscape.core.errors import InputError
from losslandscape.draw import convexity, figures, loss_shape, metrics_table, surface_metrics
from losslandscape.files.surface import Surface
from tests.helpers import write_surface_file

X = np.linspace(-1, 1, 81)


def surface(f, x=X, y=None, name="train_loss", **fields) -> Surface:
    """f on a grid; NaN is a result unless `measured` says otherwise."""
    x, y = np.asarray(x, float), None if y is None else np.asarray(y, float)
    values = f(x) if y is None else f(*np.meshgrid(x, y))
    measured = np.ones(values.shape, bool)
    return Surface("s.h5", x=x, y=y, quantities={name: values}, **{"measured": measured, **fields})


def bowl(x, y):
    return 0.5 + 4 * x**2 + 16 * y**2


def test_a_bowl():
    found = surface_metrics.measure(surface(bowl, y=X), "train_loss")
    assert found.centre == surface_metrics.Place(0.5, (0, 0)) == found.lowest
    assert found.highest.value == 20.5 and np.abs(found.highest.at).tolist() == [1, 1]
    assert found.sharpness == pytest.approx(
        100 * (4 * 0.01 + 16 * 0.01) / 1.5, rel=1e-6
    )  # the box's sides are lines of this grid
    # 4 x^2 = 0.5 and 16 y^2 = 0.5: twice the loss of the centre
    for direction, distance in {
        "+x": 8**-0.5,
        "-x": 8**-0.5,
        "+y": 32**-0.5,
        "-y": 32**-0.5,
        "least": 32**-0.5,
    }.items():
        assert found.flatness[direction] == pytest.approx(distance, rel=5e-3)
    assert found.negative_curvature == 0
    assert found.local_minima == 1
    assert found.barrier is None


def test_a_saddle_and_its_rotation():
    assert (
        surface_metrics.measure(surface(lambda x, y: 3 + x**2 - y**2, y=X), "train_loss").negative_curvature
        == 1
    )
    rotated = surface_metrics.measure(
        surface(lambda x, y: 3 + x * y, x=X, y=np.linspace(-5, 5, 31)), "train_loss"
    )  # no second difference but the mixed one
    assert rotated.negative_curvature == 1 and rotated.local_minima == 0


def test_half_of_a_sine_curves_down():
    found = surface_metrics.measure(
        surface(lambda x: 2 + np.sin(2 * np.pi * 4 * (x + 1e-3)), x=np.linspace(0, 1, 2001)), "train_loss"
    )
    assert found.negative_curvature == pytest.approx(
        0.5, abs=0.01
    )  # near its inflections the curvature is below rounding
    assert found.local_minima == 4


def test_a_plane_has_no_curvature_for_all_its_rounding():
    tilted = surface(
        lambda x, y: (np.float32(2.3) + np.float32(0.1) * x.astype(np.float32)).astype(np.float32), y=X
    )
    assert surface_metrics.measure(tilted, "train_loss").negative_curvature == 0


def test_minima_are_counted_away_from_the_edge():
    wells = surface(
        lambda x, y: 2 - np.exp(-40 * ((x - 0.5) ** 2 + y**2)) - np.exp(-40 * ((x + 0.5) ** 2 + y**2)), y=X
    )
    assert surface_metrics.measure(wells, "train_loss").local_minima == 2
    assert surface_metrics.measure(surface(lambda x: 3 + x), "train_loss").local_minima == 0
    assert surface_metrics.measure(surface(lambda x: np.full_like(x, 2)), "train_loss").local_minima == 0


@settings(deadline=None, max_examples=50)
@given(height=st.floats(0, 50), first=st.floats(0.1, 5), second=st.floats(0.1, 5))
def test_the_barrier_is_the_height_above_the_line(height, first, second):
    x = np.linspace(-0.5, 1.5, 81)
    values = (1 - x) * first + x * second + np.where((x > 0) & (x < 1), 4 * height * x * (1 - x), 0)
    assert loss_shape.barrier(x, values) == pytest.approx(height, abs=1e-9)


def test_only_an_interpolation_has_a_barrier():
    hill = {"f": lambda x: 1 + np.exp(-(((x - 0.5) / 0.2) ** 2)), "x": np.linspace(-0.5, 1.5, 41)}
    for fields, known in (
        ({}, True),
        ({"runs": [{"files": {"model_file": "a", "model_file2": "b"}}]}, True),
        ({"runs": [{"files": {"model_file": "a"}}]}, False),
    ):
        assert (surface_metrics.measure(surface(**hill, **fields), "train_loss").barrier is not None) == known
    assert surface_metrics.measure(surface(lambda x: 1 + x**2), "train_loss").barrier is None


def test_a_loss_near_zero_has_risen_at_a_fifth():
    """Twice nearly nothing is nearly nothing: the floor of 0.1 counts."""
    found = surface_metrics.measure(surface(lambda x: 1e-6 + x**2), "train_loss")
    assert found.flatness["+x"] == pytest.approx(0.2**0.5, rel=1e-3)


def test_flat_up_to_the_edge():
    found = surface_metrics.measure(surface(lambda x, y: 1 + 0 * x, y=X), "train_loss")
    assert set(found.flatness.values()) == {math.inf}
    assert found.sharpness == 0


def test_nan_counts_as_risen_and_what_is_not_measured_as_unknown():
    def cliff(x):
        return np.where(x > 0.3, np.nan, 1.0)

    found = surface_metrics.measure(surface(cliff), "train_loss")
    assert found.flatness["+x"] == pytest.approx(0.3, abs=0.03) and found.flatness["-x"] == math.inf
    assert (
        surface_metrics.measure(
            surface(lambda x: np.where(np.abs(x) > 0.04, np.inf, 1.0)), "train_loss"
        ).sharpness
        == math.inf
    )
    unknown = surface_metrics.measure(
        surface(lambda x: np.where(x > 0.3, -1.0, 1.0), measured=X <= 0.3), "train_loss"
    )
    assert unknown.flatness == {"+x": None, "-x": math.inf}
    assert (
        surface_metrics.measure(
            surface(lambda x: np.where(np.abs(x) > 0.04, -1.0, 1.0), measured=np.abs(X) <= 0.04), "train_loss"
        ).sharpness
        is None
    )


def test_a_net_that_diverged_is_not_flat_nor_connected():
    x = np.linspace(-0.5, 1.5, 41)
    lost = surface(lambda x: np.where(x > 0.99, np.nan, 1 + x**2), x=x)
    assert surface_metrics.measure(lost, "train_loss").barrier is None
    centre = surface_metrics.measure(surface(lambda x: np.where(np.abs(x) < 1e-9, np.nan, 1.0)), "train_loss")
    assert centre.sharpness is centre.flatness is None


def test_points_that_a_number_does_not_depend_on_may_be_missing():
    some = np.abs(X) <= 0.1 + 1e-9
    assert surface_metrics.measure(
        surface(lambda x: np.where(some, 1 + x**2, -1.0), measured=some), "train_loss"
    ).sharpness == pytest.approx(0.5)
    axes = (np.abs(X) < 1e-9)[:, None] | (np.abs(X) < 1e-9)[None]
    cross = surface(lambda x, y: np.where(axes, bowl(x, y), -1.0), y=X, measured=axes)
    assert surface_metrics.measure(cross, "train_loss").flatness["+x"] == pytest.approx(8**-0.5, rel=5e-3)


def test_values_that_count_as_infinite_are_not_told(capsys):
    metrics_table.report([surface(lambda x: np.full_like(x, 1e250))], [""], ["train_loss"])
    assert "lowest" not in capsys.readouterr().out


def test_the_sharpness_needs_the_box_within_the_grid():
    assert (
        surface_metrics.measure(
            surface(lambda x: 1 + x**2, x=np.linspace(-0.05, 0.05, 11)), "train_loss"
        ).sharpness
        is None
    )


@pytest.mark.parametrize("constant", [2.5, 0.1, 1e-3, 1234.567])
def test_a_constant_rises_nowhere_for_all_its_rounding(constant):
    axis = np.linspace(-1, 1, 51)
    assert loss_shape.sharpness((axis, axis), np.full((51, 51), constant)) == 0
    assert loss_shape.barrier(np.linspace(-0.5, 1.5, 41), np.full(41, constant)) == 0
    assert loss_shape.sharpness((axis, axis), constant * (1 + 1e-9 * axis + 0 * axis[:, None])) > 0


def test_the_sharpness_needs_points_within_the_box():
    for points, known in (
        (21, True),
        (20, True),
        (19, False),
        (3, False),
    ):  # of 20, the centre lies between two
        found = surface_metrics.measure(
            surface(lambda x: 1 + x**2, x=np.linspace(-1, 1, points)), "train_loss"
        )
        assert (found.sharpness is not None) == known


def test_axes_that_go_down_and_grids_that_are_not_square():
    up = surface_metrics.measure(
        surface(bowl, x=np.linspace(-1, 1, 21), y=np.linspace(-0.5, 0.5, 31)), "train_loss"
    )
    down = surface_metrics.measure(
        surface(bowl, x=np.linspace(1, -1, 21), y=np.linspace(0.5, -0.5, 31)), "train_loss"
    )
    assert up.sharpness == pytest.approx(down.sharpness) and up.flatness == pytest.approx(down.flatness)
    assert up.centre == down.centre


@pytest.mark.parametrize(
    ("x", "y"), [([0.0], None), ([0.0], [0.0]), (X, [0.0]), ([0.3], None), ([0, 0, 0], [1, 2]), (X, [-1, 1])]
)
def test_odd_grids_tell_what_they_can(x, y, capsys):
    one = surface((lambda x: 1 + x**2) if y is None else bowl, x=x, y=y)
    found = surface_metrics.measure(one, "train_loss")
    assert found.lowest.value <= found.highest.value
    metrics_table.report([one], [""], ["train_loss"])
    assert "lowest" in capsys.readouterr().out


def test_accuracy_has_no_sharpness():
    found = surface_metrics.measure(surface(bowl, y=X, name="train_acc"), "train_acc")
    assert found.centre.value == 0.5 and found.sharpness is found.flatness is found.local_minima is None


def test_an_unknown_quantity():
    with pytest.raises(InputError, match="no quantity 'test_loss'"):
        surface_metrics.measure(surface(bowl, y=X), "test_loss")


@pytest.mark.parametrize("seed", range(3))
def test_json_has_what_is_printed(tmp_path, monkeypatch, capsys, seed):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "save", lambda *_, **__: [])
    values = np.random.default_rng(seed).lognormal(0, 2, (9, 9))
    values[0, 0], values[8, 8] = np.nan, np.inf
    write_surface_file(
        "plane.h5", x=np.linspace(-1, 1, 9), y=np.linspace(-1, 1, 9), quantities={"train_loss": values}
    )
    plot_2D.main(["-f", "plane.h5", "--json", "plane.json"])
    written = json.loads((tmp_path / "plane.json").read_text())
    assert written["train_loss"]["plane.h5"]["centre"] == {
        "value": pytest.approx(values[4, 4]),
        "at": [0, 0],
        "se": None,
    }
    assert written["definitions"] == {
        "sharpness_radius": 0.1,
        "rise_factor": 2,
        "rise_floor": 0.1,
        "curved_down": 0.1,
    }
    said = capsys.readouterr().out
    assert f"lowest                        {np.nanmin(values):.4g}" in said
    assert (
        "NaN" not in (tmp_path / "plane.json").read_text()
        and "Infinity" not in (tmp_path / "plane.json").read_text()
    )


def test_columns_of_several_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "save", lambda *_, **__: [])
    for name, factor in (("a.h5", 1), ("b.h5", 5)):
        write_surface_file(name, x=X, quantities={"train_loss": 1 + factor * X**2})
    plot_1D.main(["-f", "a.h5", "b.h5", "--title", "flat", "sharp", "--format", "png", "--json", "m.json"])
    lines = capsys.readouterr().out.splitlines()
    (head,) = (line for line in lines if line.startswith("train_loss"))
    assert head.split() == ["train_loss", "flat", "sharp"]
    (sharpness,) = (line for line in lines if line.startswith("sharpness"))
    assert [float(number) for number in sharpness.split()[-2:]] == pytest.approx([0.5, 2.5], rel=1e-3)


# Standard errors, spread, convexity -----------------------------------------------------------------------------------------


def sampled_line(samples=400, seed=0):
    """Per-sample losses of an interpolation with a barrier: mean, its standard error, and that of the difference from the centre, and the losses."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-0.5, 1.5, 21)
    losses = (
        rng.gamma(2, 1, (samples, 1))
        + rng.gamma(1, 1, (samples, 1)) * np.exp(-(((x - 0.5) / 0.2) ** 2))
        + 0.3 * rng.normal(size=(samples, 1)) * x**2
    )
    at_zero = losses[:, [5]]
    means = losses.mean(axis=0)
    quantities = {
        "train_loss": means,
        "train_loss_se": losses.std(axis=0, ddof=1) / samples**0.5,
        "train_loss_diff_se": (losses - at_zero).std(axis=0, ddof=1) / samples**0.5,
    }
    return Surface("s.h5", x=x, y=None, quantities=quantities, measured=np.ones(21, bool)), losses


def test_standard_errors_go_with_the_numbers():
    line, losses = sampled_line()
    found = surface_metrics.measure(line, "train_loss")
    errors = losses.std(axis=0, ddof=1) / 20
    assert found.centre.se == pytest.approx(errors[5])
    assert found.highest.se == pytest.approx(errors[losses.mean(axis=0).argmax()])
    assert surface_metrics.measure(line, "train_loss_se").centre.se is None


def test_the_error_of_a_barrier_is_at_least_that_of_a_bootstrap():
    line, losses = sampled_line()
    found = surface_metrics.measure(line, "train_loss")
    rng = np.random.default_rng(1)
    drawn = [
        loss_shape.barrier(line.x, losses[rng.integers(0, len(losses), len(losses))].mean(axis=0))
        for _ in range(300)
    ]
    assert np.std(drawn) < found.barrier_se * 1.1
    assert found.barrier_se < 2 * np.std(drawn)


def test_errors_are_printed_behind_the_numbers(capsys):
    line, _ = sampled_line()
    metrics_table.report([line], [""], ["train_loss"])
    rows = {row.split("  ")[0]: row for row in capsys.readouterr().out.splitlines()}
    found = surface_metrics.measure(line, "train_loss")
    assert f"{found.centre.value:.4g} ± {found.centre.se:.2g}" in rows["at the centre"]
    assert f" ± {found.highest.se:.2g} at 0.5" in rows["highest"]
    assert rows["barrier"].endswith(f"{found.barrier:.4g} ± {found.barrier_se:.2g}")


def test_a_negative_loss_has_no_relative_numbers():
    found = surface_metrics.measure(surface(lambda x: -30 + x**2), "train_loss")
    assert found.sharpness is found.flatness is None
    assert found.local_minima == 1 and found.lowest.value == -30


def test_mean_and_spread_over_planes(tmp_path, capsys):
    planes = [surface(lambda x, y, c=c: 0.5 + c * x**2 + 2 * c * y**2, y=X) for c in (1.0, 2.0, 6.0)]
    found = surface_metrics.summarise(planes, "train_loss")
    heights = [0.5 + 3 * c for c in (1, 2, 6)]
    assert found["highest"] == surface_metrics.Spread(
        3, pytest.approx(np.mean(heights)), pytest.approx(np.std(heights, ddof=1)), 3.5, 18.5
    )
    assert found["flatness radius +x"].mean == pytest.approx(
        np.mean([(0.5 / c) ** 0.5 for c in (1, 2, 6)]), rel=5e-3
    )
    metrics_table.report_spread(planes, ["train_loss"], json_file=str(tmp_path / "m.json"))
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("highest"))
    assert row.split() == ["highest", "9.5", f"{np.std(heights, ddof=1):.4g}", "3.5", "18.5", "3"]
    assert json.loads((tmp_path / "m.json").read_text())["spread"]["train_loss"]["highest"][
        "mean"
    ] == pytest.approx(9.5)


def test_a_number_that_is_infinite_in_one_plane_has_no_mean(capsys):
    found = surface_metrics.summarise(
        [surface(lambda x: 0.5 + x**2), surface(lambda x: 0.5 + 0 * x)], "train_loss"
    )["flatness radius +x"]
    assert found.mean is found.std is None and found.greatest == math.inf
    metrics_table.report_spread([surface(lambda x: 0.5 + 0 * x)], ["train_loss"])
    assert "beyond the grid" in capsys.readouterr().out


def curvature(low, high, **fields):
    return Surface(
        "e.h5",
        x=X,
        y=None,
        quantities={"min_eig": low, "max_eig": high},
        **{"measured": np.ones(81, bool), **fields},
    )


def test_convexity():
    low = np.where(np.abs(X) < 0.5, 0.2, -3.0)
    found = convexity.convexity(curvature(low, np.full(81, 10.0)))
    assert found.centre == pytest.approx(0.02) and found.median == pytest.approx(0.3)
    assert found.curved_down == pytest.approx(np.mean(low < 0))


def test_convexity_of_what_is_known_alone():
    measured = X < -0.6
    low, high = np.where(measured, -5.0, 1.0), np.where(measured, 10.0, -1.0)
    high[0], high[1] = 0, np.nan
    found = convexity.convexity(curvature(low, high, measured=measured))
    assert found == convexity.Convexity(None, 0.5, 1.0)
    assert convexity.convexity(curvature(np.ones(81), np.zeros(81))) is None


def test_a_point_that_curves_down_everywhere_is_negative():
    assert (convexity.eigenvalue_ratio(curvature(np.full(81, -8.0), np.full(81, -2.0))) == -4).all()
