"""Pages of surfaces: what their JSON and their texts hold."""

from pathlib import Path

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw.web import contours
from losslandscape.draw.web.surface_page import write_surface_page
from losslandscape.files import h5_util
from tests.draw.web.pages import (
    LABELS,
    VIEWS,
    bowl,
    bowl_height,
    data_of,
    figure_of,
    first_label,
    heights_of_views,
    labels_of,
    numbers,
    points_above,
    trace,
    write_path,
    write_plane,
)

pytestmark = pytest.mark.usefixtures("inside")


def test_every_quantity_is_in_the_page_as_measured():
    page = write_surface_page(write_plane())
    traces, _ = figure_of(page)
    heights = heights_of_views(page)
    surface = h5_util.read_surface("s.h5")
    assert list(heights) == VIEWS
    for name, view in LABELS.items():
        assert np.allclose(heights[view], surface.get(name), rtol=1e-6, atol=0)
    assert np.allclose(heights["log test loss"], np.log10(surface.get("test_loss")), rtol=1e-6)
    drawn = trace(traces, "surface")
    assert np.array_equal(drawn["x"], surface.x) and np.array_equal(drawn["y"], surface.y)
    values = data_of(page)["panels"][0]["values"]
    for name, label in LABELS.items():
        assert np.allclose(numbers(values[label]), surface.get(name), rtol=1e-4)


def test_the_extreme_and_the_centre_are_marked():
    page = write_surface_page(write_plane())
    traces, _ = figure_of(page)
    x, y, loss = bowl(9, 7)
    row, column = np.unravel_index(np.argmin(loss), loss.shape)
    mark = trace(traces, "lowest train loss")
    ring_x, ring_y, _ = points_above(mark)
    assert np.mean(ring_x[1:]) == pytest.approx(x[column], abs=1e-3)
    assert np.mean(ring_y[1:]) == pytest.approx(y[row], abs=1e-3)
    assert f"train loss = {loss[row, column]:.5g}" in mark["hovertemplate"]
    view = data_of(page)["panels"][0]["views"][VIEWS.index("train accuracy (%)")]
    best = [text for text in view["traces"]["hovertemplate"] if text and "highest train accuracy" in text]
    assert len(best) == 2  # of the ring and of its pole
    assert f"train accuracy (%) = {100 * np.exp(-loss[row, column]):.5g}" in best[0]
    assert trace(traces, "centre")["showlegend"]


def test_a_trajectory_lies_on_the_surface_and_ends_at_its_edge(capsys):
    path = write_path([2, 0.5, 0.2, 0], [0.9, 0.5, 0.1, 0])
    page = write_surface_page(write_plane(nx=41, ny=31), proj_file=path)
    note = "1 of 4 checkpoints of d.h5_proj_cos.h5 lie outside"
    assert note in capsys.readouterr().out
    assert note in Path(page).read_text()
    traces, _ = figure_of(page)
    line, dots = trace(traces, "trajectory"), trace(traces, "checkpoints")
    x, y, z = points_above(line)
    assert np.array_equal(np.isfinite(z), x <= 1)
    assert x[np.isfinite(z)].max() > 0.95
    above = z - bowl_height(x, y)
    height = np.ptp(heights_of_views(page)["train loss"])
    assert np.nanmin(above) > 0 and np.nanmax(above) < 0.06 * height
    assert dots["z"][0] is None and None not in dots["z"][1:4]
    assert dots["customdata"][1][-1] == "checkpoint 2 of 4"
    assert float(dots["customdata"][3][0]) == pytest.approx(0.2, rel=1e-4)


def test_a_projection_whose_directions_are_unknown_is_to_be_checked(capsys):
    path = write_path([0.5, 0], [0.5, 0], "other.h5")
    page = write_surface_page(write_plane(names=["train_loss"]), proj_file=path)
    note = "check that other.h5 was projected on them"
    assert note in capsys.readouterr().out and note in Path(page).read_text()


def test_contours_lie_where_the_surface_has_their_value():
    traces, _ = figure_of(write_surface_page(write_plane(nx=81, ny=61, names=["train_loss"])))
    lines = trace(traces, "contours")
    x, y, z = points_above(lines)
    assert np.nanmax(np.abs(z - bowl_height(x, y))) < 0.15
    assert len(np.unique(z[np.isfinite(z)])) == contours.COUNTS[0]
    floor = numbers(lines["z"])[len(z) :]
    assert len(np.unique(floor[np.isfinite(floor)])) == 1


def test_an_ordinary_range_opens_linear():
    page = write_surface_page(write_plane(names=["train_loss"]))
    assert first_label(page) == "train loss"
    assert "is cut off at" not in Path(page).read_text()


def test_a_huge_range_opens_as_a_logarithm_and_is_cut_off_without():
    values = np.geomspace(1e-3, 1e30, 63).reshape(7, 9)
    page = write_surface_page(write_plane(values=values, names=["train_loss"]))
    heights = heights_of_views(page)
    assert first_label(page) == "log train loss"
    notes = [view["notes"] for view in data_of(page)["panels"][0]["views"]]
    assert "is cut off at" in notes[0][0] and not notes[1]  # the logarithm shows all
    assert np.allclose(heights["log train loss"], np.log10(values), atol=1e-6)
    top = heights["train loss"].max()
    assert np.array_equal(heights["train loss"] < top, values < top)
    assert np.isclose(np.mean(values <= top), 0.75, atol=0.02)


def test_a_height_can_be_asked_for():
    page = write_surface_page(write_plane(), zmax=3, name="test_loss")
    heights = heights_of_views(page)
    loss = h5_util.read_surface("s.h5").get("test_loss")
    assert np.allclose(heights["test loss"], np.minimum(loss, 3))
    assert heights["train accuracy (%)"].max() > 3
    assert np.allclose(heights["log test loss"].max(), np.log10(3))
    for view in data_of(page)["panels"][0]["views"]:
        assert any("is cut off at 3;" in note for note in view["notes"]) == ("loss" in view["bar"]["title"])


def test_holes_stay_holes():
    values = bowl(9, 7)[2] - 2
    values[2, 3], values[3, 4], values[5, 5] = np.nan, np.inf, 1e30
    page = write_surface_page(write_plane(values=values))
    heights = heights_of_views(page)
    assert np.array_equal(np.isnan(heights["train loss"]), ~np.isfinite(values))
    assert np.array_equal(np.isnan(heights["log train loss"]), ~(np.isfinite(values) & (values > 0)))
    assert np.nanmax(heights["train loss"]) < 20
    text = Path(page).read_text()
    assert "test loss, train loss: 2 points NaN or infinite." in text
    assert f"is zero or negative at {np.count_nonzero(values <= 0)} points" in text


def test_a_growing_file_shows_the_finest_grid_that_is_complete():
    measured = np.zeros((17, 17), bool)
    measured[::4, ::4] = measured[:6:2, ::2] = True
    values = np.where(measured, bowl(17, 17)[2], -1)
    page = write_surface_page(write_plane(nx=17, ny=17, names=["train_loss"], values=values))
    traces, _ = figure_of(page)
    drawn = trace(traces, "surface")
    assert np.array_equal(drawn["x"], np.linspace(-1, 1, 17)[::4])
    assert np.allclose(numbers(drawn["z"]), values[::4, ::4], rtol=1e-6, atol=0)
    waiting = np.count_nonzero(~measured)
    text = Path(page).read_text()
    assert f"{waiting} of 289 points ({100 * waiting / 289:.0f} %) not computed yet" in text
    assert "5×5 points are shown" in text


@pytest.mark.parametrize(
    ("nx", "ny", "values"),
    [(3, 7, None), (9, 7, 2.0), (9, 7, 0.0), (5, 4, 1e250), (5, 4, -1e250), (5, 4, 1e37), (9, 7, 1e-300)],
)
def test_odd_surfaces_are_drawn(nx, ny, values):
    traces, layout = figure_of(write_surface_page(write_plane(nx=nx, ny=ny, values=values)))
    low, high = layout["scene.zaxis.range"]
    assert low < high
    assert np.nanmax(np.abs(numbers(trace(traces, "surface")["z"]))) <= 1e30


@pytest.mark.slow
@pytest.mark.parametrize("rough", [False, True])
def test_a_page_of_51x51_points_is_under_6_mb(rough):
    values = np.exp(np.random.default_rng(0).normal(size=(51, 51))) if rough else None
    path = write_path(np.linspace(1, 0, 300), np.linspace(1, 0, 300))
    page = write_surface_page(write_plane(nx=51, ny=51, values=values), proj_file=path)
    assert Path(page).stat().st_size < 6e6


def test_an_error_leaves_the_old_page():
    write_surface_page(write_plane(names=["train_loss"]))
    before = Path("s.h5_3dsurface.html").read_bytes()
    Path("s.h5").unlink()
    with pytest.raises(InputError):
        write_surface_page(write_plane(values=np.nan, names=["train_loss"]))
    assert Path("s.h5_3dsurface.html").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["s.h5", "s.h5_3dsurface.html"]


def test_an_offset_is_written_once_and_does_not_make_steps():
    values = 1000 + 1e-3 * bowl(9, 7)[2]
    traces, layout = figure_of(write_surface_page(write_plane(values=values, names=["train_loss"])))
    assert layout["scene.zaxis.title.text"] == "train loss − 1000"
    assert np.allclose(numbers(trace(traces, "surface")["z"]) + 1000, values, rtol=0, atol=1e-8)
    assert max(map(len, layout["scene.zaxis.ticktext"])) <= 6
    assert labels_of("s.h5_3dsurface.html") == []  # the logarithm would look the same


def test_points_without_a_value_are_hatched_below():
    values = bowl(9, 7)[2] - 2
    values[2, 3] = np.nan
    page = write_surface_page(write_plane(values=values, names=["train_loss"]))
    strokes = trace(figure_of(page)[0], "no value")
    assert strokes["showlegend"] and len(strokes["x"]) == 4 * 3
    of_log = data_of(page)["panels"][0]["views"][1]["traces"]
    assert len(of_log["x"][2]) > 4 * 3  # where the loss is negative as well
    whole = write_surface_page(write_plane(names=["train_loss"]))
    assert not trace(figure_of(whole)[0], "no value")["showlegend"]


@pytest.mark.slow
def test_a_page_of_three_surfaces_is_under_6_mb():
    names = ["train_loss", "train_acc"]
    files = [write_plane(f"{name}.h5", nx=51, ny=51, names=names) for name in "abc"]
    assert Path(write_surface_page(files)).stat().st_size < 6e6
