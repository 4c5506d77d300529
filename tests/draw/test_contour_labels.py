"""Labels on contour lines: none covers another, the centre's mark or another contour."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from losslandscape.draw.page_style import Page
from losslandscape.draw.plane_figures import plot_2d, plot_contour_trajectory
from tests.draw.surface_files import write_bowl, write_path
from tests.helpers import write_surface_file


def pieces_in_pixels(axes: Axes, lines: ContourSet) -> list[np.ndarray]:
    """The vertices (n, 2), in pixels, of each connected piece of contour lines."""
    paths = [path.transformed(axes.transData) for path in lines.get_paths()]
    pieces = [np.asarray(piece) for path in paths for piece in path.to_polygons(closed_only=False)]
    return [piece for piece in pieces if len(piece) > 1]


def is_crossed(text: Text, middle: np.ndarray, pieces: list[np.ndarray]) -> bool:
    """Whether a contour goes through a text.

    Args:
        text: the label, rotated around its middle.
        middle: the middle (2,) of the label, in pixels.
        pieces: the vertices (n, 2) of each piece of contour lines, in pixels.
    """
    rotation = text.get_rotation()
    text.set_rotation(0)
    upright = text.get_window_extent()
    text.set_rotation(rotation)
    turn_back = Affine2D().rotate_deg_around(middle[0], middle[1], -rotation)
    return any(Path(turn_back.transform(piece)).intersects_bbox(upright, filled=False) for piece in pieces)


def test_labels_do_not_collide(drawn):
    """Lines crowd around a narrow valley: there is no room for the label of each."""
    x = np.linspace(-1, 1, 61)
    values = 0.01 + 2000 * (x[None] ** 2 + 0.02 * x[:, None] ** 2) ** 1.5
    write_surface_file("s.h5", x=x, y=x, quantities={"train_loss": values})
    plot_2d("s.h5")
    fig = drawn["s.h5_train_loss_2dcontour"]
    fig.draw_without_rendering()
    boxes = [text.get_window_extent() for axes in fig.axes for text in axes.texts]
    marks = [line.get_window_extent() for axes in fig.axes for line in axes.lines]
    assert len(boxes) >= 3
    assert not any(box.overlaps(other) for i, box in enumerate(boxes) for other in [*boxes[:i], *marks])


@pytest.mark.slow
def test_no_other_contour_goes_through_a_label(drawn):
    """Contours of a range as huge as that of float64 crowd; the even ones of the other file do not."""
    x, y = np.linspace(-1, 1, 9), np.linspace(-1, 1, 7)
    huge = 10.0 ** (-300 + 249.5 * (x[None] ** 2 + y[:, None] ** 2))
    even = 1 + x[None] + 0 * y[:, None]
    for name, values, fewest in (("huge.h5", huge, 0), ("even.h5", even, 6)):
        write_surface_file(name, x=x, y=y, quantities={"train_loss": values})
        plot_2d(name)
        axes = drawn[f"{name}_train_loss_2dcontour"].axes[0]
        assert len(axes.texts) >= fewest
        pieces = pieces_in_pixels(axes, axes.collections[0])  # with a gap at the label of each
        for text in axes.texts:
            assert not is_crossed(text, axes.transData.transform(text.get_position()), pieces)


def test_labels_are_upright_on_their_lines_and_inside(drawn):
    plot_2d(write_bowl(nx=17, ny=17), page=Page("neurips"))
    axes = drawn["s.h5_train_loss_2dcontour"].axes[0]
    lines = axes.collections[0]
    assert len(axes.texts) >= 8
    for text in axes.texts:
        assert abs((text.get_rotation() + 180) % 360 - 180) <= 90
        box = text.get_window_extent()
        assert axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max)
        x, y = text.get_position()
        assert 0.2 + 8 * x**2 + 3 * y**2 == pytest.approx(float(text.get_text()), rel=0.03)
    levels = {float(text.get_text()) for text in axes.texts}
    assert set(lines.levels[:6]) <= levels  # the inner lines too


def test_no_label_lies_below_a_path(drawn):
    plot_contour_trajectory(write_bowl(nx=17, ny=17), proj_file=write_path(), page=Page("icml"))
    axes = drawn["d.h5_proj_cos.h5_train_loss_2dcontour_proj"].axes[0]
    path = axes.transData.transform(axes.lines[0].get_xydata())
    assert axes.texts
    for text in axes.texts:
        assert not is_crossed(text, axes.transData.transform(text.get_position()), [path])
