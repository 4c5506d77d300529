"""Light and colours in pictures: nothing burnt or dead, smooth edges, a tight crop, a cut without lid."""

import numpy as np
import pytest

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from tests.draw.vtk.shots import BOWL, drawn, extent, is_drawn, pictures, plane, rough_plane, shot

pytestmark = pytest.mark.usefixtures("inside")


@pytest.mark.parametrize("cmap", ["turbo", "coolwarm", "viridis", "Greys", "RdBu"])
@pytest.mark.parametrize("elevation", [35.0, -35.0])
def test_no_pixel_of_the_surface_is_burnt_to_white(renderer, cmap, elevation):
    picture = shot(rough_plane(), log=True, size=(300, 240), look={"cmap": cmap, "elevation": elevation})
    assert np.mean((drawn(picture) >= 252 / 255).all(axis=1)) == 0


@pytest.mark.parametrize("elevation", [42.0, 10.0, -35.0])
def test_no_pixel_of_the_surface_is_dead(renderer, elevation):
    """Light side, shade, and underside keep a saturated colour; none is black, grey or brown-grey."""
    colours = drawn(shot(rough_plane(), log=True, size=(300, 240), look={"elevation": elevation}))
    value, chroma = colours.max(axis=1), np.ptp(colours, axis=1)
    assert np.quantile(value, 0.02) > 0.35
    assert np.quantile(chroma / value, 0.02) > 0.5
    assert value.min() > 0.15


def test_all_colours_from_deep_blue_to_red(renderer):
    red, green, blue = drawn(shot(rough_plane(), log=True, size=(300, 240), look={"elevation": 60.0})).T
    hues = [
        (blue > 1.3 * red) & (blue > green),
        (green > red) & (green > blue),
        (red > 1.8 * green) & (red > 2 * blue),
    ]
    assert min(hue.mean() for hue in hues) > 0.02


def test_the_light_comes_from_one_side(renderer):
    """Points of a ring have one height and so one colour: what differs between a bowl's walls is light."""
    x = np.linspace(-1, 1, 41)
    plane(values=x[None] ** 2 + x[:, None] ** 2, x=x, y=x)
    picture = shot(size=(400, 300), look={"elevation": 89.0})
    rows, columns = np.nonzero(is_drawn(picture))
    radius = np.ptp(rows) / 4
    angles = np.linspace(0, 2 * np.pi, 60)
    ring_rows = (rows.mean() - radius * np.sin(angles)).astype(int)
    ring_columns = (columns.mean() + radius * np.cos(angles)).astype(int)
    brightness = picture[ring_rows, ring_columns, :3].mean(axis=-1)
    assert np.ptp(brightness) > 0.1
    upper_left, lower_right = np.cos(angles - 2.36) > 0.8, np.cos(angles - 2.36) < -0.8
    assert (
        brightness[lower_right].mean() > brightness[upper_left].mean() + 0.1
    )  # the wall that faces the light


def test_a_narrow_valley_lies_in_soft_shadow(renderer):
    """Two surfaces of the same heights: ambient occlusion darkens the floor of a trench, not of a plain."""
    x = np.linspace(-1, 1, 41)
    plain, trench = np.where(np.abs(x) > 0.9, 1.0, 0.0), np.where(np.abs(x) > 0.08, 1.0, 0.0)

    def floor(values):
        plane(values=values * np.ones((41, 1)), x=x, y=x)
        picture = shot(size=(300, 300), look={"elevation": 89.0})
        return picture[140:160, 148:152, :3].mean()

    assert floor(trench) < 0.95 * floor(plain)


def test_from_above_light_is_flat_and_there_are_isolines(renderer):
    plane()
    colours = drawn(shot(views=["top"], size=(400, 300)))
    lines = (colours < 0.4).all(axis=1)
    assert 0.01 < lines.mean() < 0.2
    side = shot(views=["side"], size=(400, 300))
    assert not (drawn(side) < 0.25).all(axis=1).any()


def test_isolines_of_steep_slopes_are_whole(renderer):
    """On a steep ramp, isolines are columns that are dark from the top to the bottom."""
    x = np.linspace(-1, 1, 21)
    plane(values=50 * x[None] * np.ones((21, 1)), x=x, y=x)
    picture = shot(views=["top"], size=(300, 300), look={"height": 5.0})
    dark = (picture[..., :3] < 0.35).all(axis=2) & is_drawn(picture)
    lines = dark.sum(axis=0) > 0.9 * extent(picture)[0]
    assert np.count_nonzero(lines) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("size", [(600, 1200), (2400, 800), (200, 200)])
def test_edges_are_smooth_and_the_surface_fills_the_frame(renderer, size):
    picture = shot(rough_plane(), log=True, size=size)
    alpha = picture[..., 3]
    rows, columns = np.diff(alpha > 0.5, axis=0), np.diff(alpha > 0.5, axis=1)
    outline = np.count_nonzero(rows) + np.count_nonzero(columns)
    between = np.count_nonzero((alpha > 0.1) & (alpha < 0.9))
    assert between > 0.3 * outline
    assert 0.85 <= max(np.array(extent(picture)) / alpha.shape) <= 1
    assert not is_drawn(picture)[[0, -1]].any() and not is_drawn(picture)[:, [0, -1]].any()


def test_the_cut_has_an_open_rim_without_a_lid(renderer):
    """Seen from above, nothing is drawn where the loss is above zmax; there is no step at the edge."""
    x = np.linspace(-1, 1, 21)
    plane(values=8 * (x[None] ** 2 + x[:, None] ** 2), x=x, y=x)
    picture = shot(zmax=2.0, views=["top"], size=(300, 300))
    height, width = extent(picture)
    assert width == pytest.approx(height, abs=2)
    assert is_drawn(picture).sum() == pytest.approx(np.pi / 4 * width**2, rel=0.02)


def test_zoom_height_azimuth_and_elevation(renderer):
    plane(values=BOWL)
    normal = shot()
    assert extent(shot(look={"zoom": 0.5}))[1] == pytest.approx(extent(normal)[1] / 2, abs=2)
    assert is_drawn(shot(look={"zoom": 3.0})).mean() > is_drawn(normal).mean()
    flat, high = (shot(look={"height": height, "elevation": 0.0}) for height in (0.2, 1.5))
    assert np.divide(*extent(flat)) < 0.3 < 1 < np.divide(*extent(high))
    assert np.abs(normal - shot(look={"azimuth": 40.0})).mean() > 0.02
    assert np.array_equal(shot(look={"azimuth": -90.0, "elevation": 90.0}), shot(views=["top"]))


def test_backgrounds(renderer):
    plane()
    clear = shot()
    for name, colour in (
        ("white", [1, 1, 1]),
        ("#102030", [16 / 255, 32 / 255, 48 / 255]),
        ("red", [1, 0, 0]),
    ):
        [picture] = pictures(look={"background": name}).values()
        alpha = clear[..., 3:]
        assert np.allclose(picture, clear[..., :3] * alpha + np.array(colour) * (1 - alpha), atol=0.005)
