"""The nets in a plane: marked and named in figures, pages and lit pictures, and the curve between two."""

import numpy as np
import pytest

from losslandscape.draw.plane_figures import plot_2d, plot_contour_trajectory
from losslandscape.draw.web.surface_page import write_surface_page
from losslandscape.files import h5_util
from losslandscape.files.projection import CURVE, Projection
from losslandscape.files.surface import Place, Surface, places_fact
from tests.draw.drawn_text import text_faults
from tests.draw.web.pages import figure_of, points_above, trace

NETS = [Place("small_batch", 0, 0), Place("large batch", 9.5, 0), Place("bend", 4, 2.5)]


@pytest.fixture
def plane(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    x, y = np.linspace(-2, 12, 29), np.linspace(-2, 5, 15)
    loss = 0.1 + (x - 5) ** 2 / 20 + (y[:, None] - 1) ** 2
    surface = Surface("s.h5", x=x, y=y, quantities={"train_loss": loss}, made_with=places_fact(NETS))
    h5_util.write_surface(surface)
    return surface.path


def test_figures(plane, drawn):
    plot_2d(plane)
    for kind in ("2dcontour", "2dcontourf", "2dheat"):
        fig = drawn[f"s.h5_train_loss_{kind}"]
        axes = fig.axes[0]
        places = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"]
        assert np.array_equal(places, [net[1:] for net in NETS])
        texts = [text.get_text() for text in axes.texts]
        assert {r"small_batch", "large batch", "bend"} <= {text.replace("\\", "") for text in texts}
        assert axes.get_aspect() == 1 and "distance" in axes.get_xlabel()
        assert text_faults(fig) == []


def test_names_of_near_nets_do_not_meet(plane, drawn):
    surface = h5_util.read_surface(plane)
    near = [Place("a first net", 4.5, 0), Place("a second net", 6, 0), Place("far", 5, 4)]
    surface.made_with |= places_fact(near)
    plot_2d(surface)
    for fig in (drawn["s.h5_train_loss_2dheat"], drawn["s.h5_train_loss_2dcontourf"]):
        assert text_faults(fig) == []


def test_a_net_outside_the_grid_has_no_mark(plane, drawn):
    surface = h5_util.read_surface(plane)
    surface.made_with |= places_fact([*NETS[:2], Place("far", 40, 2)])
    plot_2d(surface)
    axes = drawn["s.h5_train_loss_2dheat"].axes[0]
    assert len([line for line in axes.lines if line.get_marker() == "o"]) == 2
    assert axes.get_xlim()[1] < 13


def test_a_curve_between_nets(plane, drawn):
    t = np.linspace(0, 1, 51)
    x, y = 2 * t * (1 - t) * 4 + t**2 * 9.5, 2 * t * (1 - t) * 2.5
    h5_util.write_projection(Projection("p.h5", x, y, made_with={"method": CURVE}))
    plot_contour_trajectory(plane, proj_file="p.h5")
    (fig,) = drawn.values()
    lines = {line.get_label(): line.get_xydata() for line in fig.axes[0].lines}
    assert np.array_equal(lines["curve"], np.column_stack([x, y]))
    assert np.array_equal(lines["straight line"], [[0, 0], [9.5, 0]])
    assert not {"first checkpoint", "trajectory"} & set(lines)
    assert np.allclose(fig.axes[0].get_xlim(), (-2, 12))


def test_a_page(plane):
    traces, _ = figure_of(write_surface_page(plane))
    for net in NETS:
        x, y, _ = points_above(trace(traces, net.name))
        assert np.nanmean(x[:17]) == pytest.approx(net.x, abs=0.1)
        assert np.nanmean(y[:17]) == pytest.approx(net.y, abs=0.1)
    assert "centre (the minimiser)" not in {one.get("name") for one in traces}


def test_lit_pictures_have_a_ball_at_each_net(plane):
    pytest.importorskip("vtkmodules")
    from losslandscape.draw.vtk import lit_scene, marks, polydata
    from losslandscape.draw.vtk.sheet import make_sheet

    sheet = make_sheet(h5_util.read_surface(plane), "train_loss")
    transform = lit_scene.scaling(polydata.make_polydata(sheet), 0.0, 20.0, 0.5)
    ground = marks.Ground(sheet, transform, np.inf)
    (mark,) = marks.minimiser_marks(ground, NETS)
    (one,) = marks.minimiser_marks(ground)
    assert mark.shape.GetNumberOfPoints() == 3 * one.shape.GetNumberOfPoints()
    width = mark.shape.GetBounds()[1] - mark.shape.GetBounds()[0]
    assert width == pytest.approx(9.5 / 14 + 2 * marks.END_RADIUS, abs=0.01)  # in widths of the plane
