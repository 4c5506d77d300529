"""Pictures of surfaces: their files, their scale, and what several in one picture share."""

import os

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from tests.draw.vtk.shots import (
    BOWL,
    SMALL,
    TINY,
    X,
    Y,
    extent,
    is_drawn,
    pictures,
    plane,
    share_of_blue,
    share_of_red,
    shot,
)

pytestmark = pytest.mark.usefixtures("inside")


@pytest.mark.slow
def test_a_picture_of_each_view(renderer):
    views = ("corner", "front", "side", "top")
    plane()
    made = pictures(views=views, size=SMALL)
    assert list(made) == [f"s.h5_train_loss_{view}.png" for view in views]
    for picture in made.values():
        assert picture.shape == (240, 320, 4)
        assert 0.3 < is_drawn(picture).mean() < 0.95
        assert min(share_of_blue(picture), share_of_red(picture)) > 0.02
    in_order = list(made.values())
    for one, other in zip(in_order, in_order[1:], strict=False):
        assert np.abs(one - other).mean() > 0.02


def test_names_follow_the_vtp_file(renderer):
    plane()
    assert list(pictures(zmax=5.0, log=True)) == ["s.h5_train_loss_zmax=5.0_log_corner.png"]


def test_the_same_command_makes_the_same_bytes(renderer):
    plane()
    first = shot(look={"bar": True, "background": "white"})
    assert np.array_equal(first, shot(look={"bar": True, "background": "white"}))


def test_from_above_the_plane_is_a_map(renderer):
    """x to the right and y upwards, undistorted: a hill in the first quadrant is red, at the upper right."""
    x, y = np.linspace(-1, 1, 21), np.linspace(-0.5, 0.5, 11)
    plane(values=5 * np.exp(-20 * ((x[None] - 0.5) ** 2 + (y[:, None] - 0.25) ** 2)), x=x, y=y)
    picture = shot(views=["top"], size=(640, 480))
    height, width = extent(picture)
    assert width / height == pytest.approx(2, abs=0.03)
    rows, columns = np.nonzero(is_drawn(picture))
    box = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    redness = box[..., 0] - box[..., 2]
    top, left = np.unravel_index(np.argmax(redness), redness.shape)
    assert left / width == pytest.approx(0.75, abs=0.06)
    assert top / height == pytest.approx(0.25, abs=0.12)
    assert redness[-height // 4 :, : width // 4].max() < 0.05


def test_heights_are_scaled_to_the_plane(renderer):
    """The picture is the same whatever the unit of the loss."""
    one, other = shot(plane("a.h5")), shot(plane("b.h5", values=1e-4 * (BOWL + 0.2)))
    assert np.abs(one - other).max() < 0.03


@pytest.mark.slow
def test_several_surfaces_share_the_scale(renderer):
    """Beside a surface twice as high, one is drawn half as high and never as red. Alone it is red too."""
    plane("high.h5", values=BOWL)
    plane("low.h5", values=BOWL / 2)
    high, low = pictures("high.h5", "low.h5", views=["side"], size=SMALL).values()
    assert extent(low)[0] < 0.8 * extent(high)[0]
    assert share_of_red(low) < 0.02 < share_of_red(high)
    _, coloured = pictures(
        "high.h5", "low.h5", views=["side"], size=SMALL, look={"own_colours": True}
    ).values()
    assert np.array_equal(is_drawn(coloured), is_drawn(low))
    assert share_of_red(coloured) > 0.1


@pytest.mark.slow
def test_one_picture_has_all_surfaces_in_the_same_frame(renderer):
    files = plane("high.h5", values=BOWL), plane("low.h5", values=BOWL / 2)
    alone = pictures(*files, size=(200, 200))
    both = pictures(*files, size=(400, 200), out="both")
    assert list(both) == ["both_corner.png"]
    [row] = both.values()
    panels = np.concatenate([picture[:, is_drawn(picture).any(axis=0)] for picture in alone.values()], axis=1)
    assert np.abs(row[:, is_drawn(row).any(axis=0)] - panels).max() < 0.05


@pytest.mark.slow
def test_a_shared_bar_is_drawn_once_and_own_ones_for_each(renderer):
    files = plane("high.h5", values=BOWL), plane("low.h5", values=BOWL / 2)

    def share(**look):
        return is_drawn(shot(*files, size=(800, 240), out="both", look={"bar": True, **look})).any(axis=0)

    shared, own = share(), share(own_colours=True)
    assert runs(shared) > 3  # two surfaces, a bar and its texts
    assert runs(own) > runs(shared) + 2


def runs(columns):
    """How many groups of neighbouring columns have something in them."""
    return np.count_nonzero(np.diff(columns.astype(int), prepend=0) == 1)


def test_a_huge_range_is_drawn_as_logarithms_and_reported(renderer, capsys):
    plane(values=np.exp(20 * (X[None] ** 2 + Y[:, None] ** 2)))
    plain = shot()
    assert "huge range" in capsys.readouterr().out
    log = shot(log=True)
    assert np.array_equal(plain, log)
    cut = shot(zmax=10.0)
    assert "huge range" not in capsys.readouterr().out
    assert np.abs(cut - log).mean() > 0.02


def test_a_hole_is_empty(renderer):
    values = np.ones((7, 9)) * X[None]
    values[2:5, 3:6] = np.nan
    plane(values=values)
    picture = shot(views=["top"])
    rows, columns = np.nonzero(is_drawn(picture))
    row, column = int(rows.mean()), int(columns.mean())
    assert not is_drawn(picture)[row - 3 : row + 3, column - 3 : column + 3].any()


@pytest.mark.parametrize(
    "values", [2.3, 0.0, -5.0, 1e30, np.geomspace(1e-3, 1e30, 9), np.linspace(-1e30, 1e30, 9), BOWL + 1000]
)
def test_odd_values_end_in_a_picture(renderer, values, capfd):
    plane(values=values)
    assert is_drawn(shot(look={"bar": True})).mean() > 0.1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("shape", [(2, 2), (2, 9), (40, 5)])
def test_grids_of_few_points_fill_their_picture(renderer, shape):
    x, y = np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1])
    plane(values=x[None] ** 2 + y[:, None], x=x, y=y)
    picture = shot()
    assert max(np.array(extent(picture)) / picture.shape[:2]) > 0.85


def test_metadata_hold_the_commands(renderer):
    surface = h5_util.read_surface(plane())
    surface.runs = [{"command": "python plot_surface.py 'é\x00\udcff'"}]
    h5_util.write_surface(surface)
    pictures(command="python h52vtp.py -f s.h5")
    text = Image.open("s.h5_train_loss_corner.png").text
    assert text["Title"] == "s.h5_train_loss_corner.png"
    assert text["Description"] == "python plot_surface.py 'é??'\npython h52vtp.py -f s.h5"


@pytest.mark.parametrize("size", [(8, 600), (90000, 600)])
def test_impossible_sizes(size):
    plane()
    with pytest.raises(InputError, match=f"{size[0]}x600 pixels cannot be rendered"):
        pictures(size=size)
    assert not [name for name in os.listdir() if name.endswith(".png")]


def test_a_path_of_other_directions_is_refused():
    surface = h5_util.read_surface(plane())
    surface.made_with = {"directions": "one"}
    h5_util.write_surface(surface)
    path = Projection("p.h5", np.zeros(2), np.zeros(2), made_with={"directions": "other"})
    with pytest.raises(InputError, match=r"p\.h5"):
        pictures(size=TINY, projection=path)
