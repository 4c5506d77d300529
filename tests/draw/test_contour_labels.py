"""Labels on contour lines: none covers another, the centre's mark or another contour."""

import numpy as np
import pytest

from losslandscape.draw.contour_labels import is_crossed, pieces_in_pixels
from losslandscape.draw.plane_figures import plot_2d
from tests.helpers import write_surface_file


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
