"""3-D figures: heights, what is cut or missing, and the room of boxes and texts."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mpl_toolkits.mplot3d import proj3d
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from losslandscape.draw.comparison import Comparison
from losslandscape.draw.contour_levels import choose_scale
from losslandscape.draw.page_style import Page, drawn_on
from losslandscape.draw.surface_panels import surface_figure
from losslandscape.files.surface import Surface
from tests.draw.drawn_text import drawn_texts, text_faults
from tests.draw.surface_files import notes

X, Y = np.linspace(-1, 1, 9), np.linspace(-0.5, 1, 7)
BOWL = 0.2 + 8 * X**2 + 3 * Y[:, None] ** 2


def figure(*values, x=X, y=Y, page=None, zlim=None, titles=None, **levels):
    surfaces = [Surface("", x=x, y=y, quantities={"train_loss": one}) for one in values]
    titles = titles or [""] * len(values)
    scale = choose_scale(values, **levels)
    with drawn_on(page):
        return surface_figure(Comparison(surfaces, titles, "s"), "train_loss", scale, zlim=zlim)


def faces_of(fig) -> tuple[Poly3DCollection, list[Poly3DCollection]]:
    """The faces of the first surface, and what is hatched on its floor."""
    found = [one for one in fig.axes[0].collections if isinstance(one, Poly3DCollection)]
    return found[-1], found[:-1]


def pixels_of(fig) -> np.ndarray:
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def height_numbers(fig) -> list[str]:
    fig.draw_without_rendering()
    axis = fig.axes[0].zaxis
    return [tick.label1.get_text() for tick in axis.majorTicks[: len(axis.get_majorticklocs())]]


def test_numbers_of_heights_are_whole():
    """matplotlib would write what they have in common over one of them."""
    fig = figure(1234.5 + 1e-3 * np.broadcast_to(np.linspace(0, 1, 9), (7, 9)))
    numbers = [float(text) for text in height_numbers(fig)]
    assert fig.axes[0].zaxis.get_offset_text().get_text() == ""
    assert len(set(numbers)) == len(numbers) > 3
    assert np.allclose(numbers, fig.axes[0].zaxis.get_ticklocs(), rtol=0, atol=1e-5)


def test_logarithmic_heights_are_said_and_numbered_like_the_bar():
    fig = figure(np.broadcast_to(np.geomspace(1e-3, 1e2, 9), (7, 9)), log=True)
    assert fig.axes[0].get_zlabel() == "train loss (log)"
    bar = [text.get_text() for text in fig.axes[1].get_yticklabels()]
    assert height_numbers(fig) == bar == ["0.01", "1", "100"]


def test_a_surface_ends_at_zlim():
    fig = figure(BOWL, zlim=5)
    heights = faces_of(fig)[0]._faces[..., 2]
    assert heights.max() == pytest.approx(5)
    assert fig.axes[0].get_zlim()[1] == 5
    assert "cut at 5" in notes(fig)
    assert fig.axes[1].get_ylim() == pytest.approx((BOWL.min(), 5))  # the bar ends there too


def test_a_surface_ends_at_the_highest_level_of_the_user():
    fig = figure(BOWL, vmin=1, vmax=6, vlevel=0.5)
    assert faces_of(fig)[0]._faces[..., 2].max() == pytest.approx(5.5)
    assert "cut at 5.5" in notes(fig)
    assert "cut" not in notes(figure(BOWL))


def test_the_floor_has_the_contours_and_hatches_what_is_missing():
    values = BOWL.copy()
    values[:2] = np.nan
    values[4, 4] = np.nan
    fig = figure(values)
    low = fig.axes[0].get_zlim()[0]
    assert low < BOWL.min()
    (hatched,) = faces_of(fig)[1]
    assert hatched.get_hatch()
    cells = hatched._faces
    assert (cells[..., 2] == low).all()
    assert np.prod(np.ptp(cells[..., :2], axis=1), axis=1).sum() == pytest.approx(2 * 0.5 + 0.5 * 0.5)
    assert not faces_of(figure(BOWL))[1]


def test_a_surface_is_an_image_in_vector_files(tmp_path):
    """As polygons it would have white seams, and megabytes."""
    fig = figure(BOWL)
    assert faces_of(fig)[0].get_rasterized()
    fig.savefig(tmp_path / "s.svg")
    assert (tmp_path / "s.svg").read_text().count("<path") < 500


def test_a_surface_has_no_seams():
    """No pixel of its inside is nearly white."""
    fig = figure(np.ones((7, 9)) + 0.1 * X, vmin=0, vmax=2, vlevel=0.1)
    pixels = pixels_of(fig)
    axes = fig.axes[0]
    corners = np.array([[x, y, 1 + 0.1 * x] for x in (-0.9, 0.9) for y in (-0.4, 0.9)])
    x, y, _ = proj3d.proj_transform(*corners.T, axes.get_proj())
    places = axes.transData.transform(np.column_stack([x, y]))
    weights = np.random.default_rng(0).dirichlet(np.ones(4), 3000)
    columns, rows = (weights @ places).astype(int).T
    inside = pixels[pixels.shape[0] - 1 - rows, columns]
    assert inside.min(axis=1).max() < 200


@pytest.mark.slow
@pytest.mark.parametrize("width", [3.25, 5.5, 6.75])
def test_texts_have_room(width):
    page = Page(width=width, font_size=8)
    values = np.broadcast_to(np.geomspace(1e-3, 1e4, 9), (7, 9))
    assert text_faults(figure(values, page=page, log=True), page) == []
    pair = figure(values, BOWL, page=page, titles=["with shortcut connections", "without"])
    assert text_faults(pair, page) == []


@pytest.mark.slow
@pytest.mark.parametrize("page", [Page("neurips"), Page(width=4.5, font_size=9, columns=3)])
def test_texts_of_narrow_panels_have_room(page):
    """The texts at the axes are short: long ones would take the room of the boxes, and meet."""
    fig = figure(*[BOWL] * 6, page=page, titles=list("abcdef"))
    assert text_faults(fig, page) == []
    texts = [axis.get_label_text() for axis in (fig.axes[0].xaxis, fig.axes[0].yaxis, fig.axes[0].zaxis)]
    assert texts == [r"$\alpha$", r"$\beta$", ""]


@pytest.mark.parametrize("shape", [(5, 200), (200, 5)])
def test_long_planes_have_room(shape):
    page = Page("icml")
    y, x = (np.linspace(-0.1 * n / 5, 0.1 * n / 5, n) for n in shape)
    fig = figure(-1000 + x + 0 * y[:, None], x=x, y=y, page=page)
    assert text_faults(fig, page) == []


def test_a_box_fills_its_cell():
    """The surface is not a small thing in the middle: it spans most of the width of its figure."""
    page = Page("icml")
    fig = figure(BOWL, page=page)
    texts, frame = drawn_texts(fig, page)
    pixels = pixels_of(fig)
    coloured = np.nonzero((np.ptp(pixels, axis=2) > 30).any(axis=0))[0]
    bar = fig.axes[1].get_window_extent().x0
    inside = coloured[coloured < bar - 2]
    assert np.ptp(inside) > 0.5 * frame.width


@pytest.mark.slow
@pytest.mark.parametrize("values", [2.3, np.linspace(-1e30, 1e30, 9), np.geomspace(1e-300, 1e199, 9)])
def test_odd_values(values, recwarn):
    fig = figure(np.broadcast_to(values, (7, 9)))
    fig.draw_without_rendering()
    assert not recwarn.list


def test_descending_coordinates():
    fig = figure(BOWL[:, ::-1] + X[::-1], x=X[::-1])
    corners = faces_of(fig)[0]._faces.reshape(-1, 3)
    assert corners[np.argmax(corners[:, 2]), 0] == pytest.approx(1)


def test_colours_are_those_of_the_bar():
    fig = figure(BOWL)
    fig.draw_without_rendering()
    faces = faces_of(fig)[0].get_facecolor()[:, :3]
    brightest = faces[np.argmax(faces.sum(axis=1))]
    bar = matplotlib.colormaps["viridis"](np.linspace(0, 1, 256))[:, :3]
    shares = brightest / np.maximum(bar, 1e-9)
    assert (np.ptp(shares, axis=1) < 0.05).any()  # one of them, darkened
