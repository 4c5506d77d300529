"""What the user wants to see in figures: texts, marks, colours."""

import numpy as np
import pytest
from matplotlib.contour import ContourSet

from losslandscape.core.errors import InputError
from losslandscape.draw.figure_details import Details
from losslandscape.draw.plane_figures import plot_2d
from tests.draw.surface_files import write_bowl


@pytest.mark.parametrize("text", ["as measured on a GPU", ""])
def test_the_footnote_of_the_user_replaces_ours(drawn, text):
    plot_2d(write_bowl(nx=7, ny=5, names=("train_loss",), values=2.3), details=Details(footnote=text))
    for fig in drawn.values():
        assert fig.get_supxlabel() == text


def test_texts_marks_and_colours(drawn):
    details = Details(xlabel="along a", ylabel="along b", cmap="magma", centre=False, contour_labels=False)
    plot_2d(write_bowl(nx=7, ny=5), details=details)
    for kind in ("2dcontour", "2dcontourf", "2dheat"):
        axes = drawn[f"s.h5_train_loss_{kind}"].axes[0]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("along a", "along b")
        assert axes.collections[0].get_cmap().name == "magma"
        assert not axes.lines
        assert not axes.texts


def test_lines_over_filled_contours(drawn):
    plot_2d(write_bowl(nx=7, ny=5), details=Details(lines=True))
    filled, lines = drawn["s.h5_train_loss_2dcontourf"].axes[0].collections
    assert isinstance(lines, ContourSet) and filled.filled and not lines.filled
    assert np.array_equal(filled.levels, lines.levels)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cmap": "nice"}, "no colour map 'nice'; give one of its names, such as viridis"),
        ({"zoom": (0.0,)}, "the part 0 has no size"),
        ({"zoom": (1, 0, 0, 1)}, "the part 1:0:0:1 has no size"),
    ],
)
def test_impossible_details(options, says):
    with pytest.raises(InputError, match=says):
        Details(**options)
