"""Figures, meshes, pages and numbers say which points are interpolated."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from losslandscape.cli import h52vtp, plot_1D, plot_2D, plot_html
from losslandscape.draw import metrics_table
from losslandscape.draw.surface_metrics import measure
from losslandscape.draw.vtk.sheet import INTERPOLATED, make_sheet
from losslandscape.files import h5_util
from losslandscape.files.interpolated import with_interpolated
from tests.draw.surface_files import notes
from tests.files.refined_surfaces import bowl, refined


def told(fig: Figure) -> str:
    """Return the texts around the axes of a figure, without their line breaks."""
    return " ".join(notes(fig).split())


def write(*shape: int, loss: np.ndarray | None = None, path: str = "s.h5") -> str:
    """Write a refined surface; return the text on its interpolated points."""
    surface = refined(bowl(*shape) if loss is None else loss, path=path)
    h5_util.write_surface(surface)
    count = int(np.count_nonzero(~surface.measured("train_loss")))
    return f"{count} of {surface.size} points ({100 * count / surface.size:.0f} %) interpolated"


@pytest.mark.slow
def test_figures_of_a_plane_have_no_hole_and_name_its_interpolated_points(drawn, capsys):
    text = write(33, 33)
    plot_2D.main(["--surf_file", "s.h5"])
    assert len(drawn) == 4 and text in capsys.readouterr().out
    for fig in drawn.values():
        assert text in told(fig) and "hatched" not in told(fig)
        assert "% of the range where checked" in told(fig)


@pytest.mark.slow
def test_only_what_cannot_be_shown_is_hatched(drawn):
    loss = bowl(33, 33)
    loss[20, 20] = np.nan
    text = write(loss=loss)
    plot_2D.main(["--surf_file", "s.h5"])
    note = told(drawn["s.h5_train_loss_2dcontour"])
    assert text in note and "hatched: 1 point NaN or infinite" in note


def test_curves_name_their_interpolated_points(drawn):
    text = write(65)
    plot_1D.main(["--surf_file", "s.h5"])
    fig = drawn["s.h5_1d_train_loss"]
    assert text in told(fig)
    assert max(len(line.get_xdata()) for line in fig.axes[0].lines) == 65


def test_a_page_says_so(inside):
    text = write(33, 33)
    plot_html.main(["--surf_file", "s.h5"])
    assert text in Path("s.h5_3dsurface.html").read_text()


def test_a_mesh_has_an_array_that_is_1_at_interpolated_points(inside, capsys):
    text = write(33, 33)
    sheet = make_sheet(h5_util.as_surface("s.h5"), "train_loss")
    unmeasured = ~h5_util.read_surface("s.h5").measured("train_loss")
    assert np.array_equal(sheet.values[INTERPOLATED], unmeasured)
    h52vtp.main(["--surf_file", "s.h5"])
    assert f"{text}, to " in (out := capsys.readouterr().out) and "cut out" not in out
    assert b'Name="interpolated"' in Path("s.h5_train_loss.vtp").read_bytes()


def test_numbers_are_marked_or_left_out(inside, capsys):
    write(33, 33)
    metrics_table.report([h5_util.as_surface("s.h5")], [""], ["train_loss"], json_file="n.json")
    rows = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["sharpness within 0.1"].endswith("(interpolated)")
    assert not rows["at the centre"].endswith("(interpolated)")
    assert not {"roughness", "local minima", "points of negative curvature"} & set(rows)
    numbers = json.loads(Path("n.json").read_text())["train_loss"]["s.h5"]
    share = 1 - h5_util.read_surface("s.h5").measured("train_loss").mean()
    assert numbers["interpolated"] == pytest.approx(share)
    assert rows["points interpolated"].split()[-2] == f"{100 * share:.1f}"


def test_numbers_of_interpolated_points_are_near_the_true_ones():
    loss = bowl(33, 33)
    surface = refined(loss)
    shown = measure(with_interpolated(surface), "train_loss")
    measured = surface.get("train_loss")
    assert (shown.lowest.value, shown.highest.value) == (np.nanmin(measured), np.nanmax(measured))
    full = refined(loss, 1e-9)
    assert full.measured("train_loss").all()
    true = measure(with_interpolated(full), "train_loss")
    assert true.interpolated is None and true.roughness is not None and shown.roughness is None
    for direction, distance in true.flatness.items():
        assert shown.flatness[direction] == pytest.approx(distance, rel=0.1)


def test_a_centre_between_measured_points_is_marked():
    surface = refined(bowl(50))
    shown = with_interpolated(surface)
    centre = measure(shown, "train_loss").centre
    at = int(np.abs(surface.x).argmin())
    assert centre.interpolated == bool(shown.interpolated["train_loss"].points[at])
