"""Pictures of surfaces: what is in them, and their scale."""

import os

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from losslandscape.core.errors import InputError
from losslandscape.draw.vtk import export, window
from losslandscape.files import h5_util
from tests.draw.vtk.planes import write_plane

X, Y = np.linspace(-1, 1, 9), np.linspace(-0.5, 1, 7)
BOWL = 8 * X[None] ** 2 + 3 * Y[:, None] ** 2
SMALL, TINY = (320, 240), (160, 120)


@pytest.fixture(autouse=True)
def small(inside, monkeypatch):
    """An empty folder, and few points, which is enough for small pictures."""
    monkeypatch.setattr(export, "MIN_PICTURE_POINTS", 100)


@pytest.fixture
def renderer():
    try:
        window.usable_kind()
    except InputError as error:
        pytest.skip(str(error))


def plane(path="s.h5", *, values=BOWL + 0.2, x=X, y=Y):
    return write_plane(path, x, y, values=values)


def pictures(*files, size=TINY, **options):
    """Pictures by name; colours as floats from 0 to 1."""
    surfaces = [h5_util.read_surface(file) for file in files or ("s.h5",)]
    paths = export.export_png(surfaces, size=size, **options)
    return {path: np.asarray(Image.open(path).convert("RGB")) / 255.0 for path in paths}


def plane_of(picture):
    """The part of a picture that is left of the colour bar."""
    return picture[:, : int(0.88 * picture.shape[1])]


def is_drawn(picture):
    return (plane_of(picture) < 0.995).any(axis=2)


def share_of_blue(picture):
    colours = plane_of(picture)[is_drawn(picture)]
    return np.mean(colours[:, 2] > colours[:, 0] + 0.05)


def share_of_red(picture):
    colours = plane_of(picture)[is_drawn(picture)]
    return np.mean(colours[:, 0] > colours[:, 2] + 0.05)


def extent(picture):
    """Height and width of what is drawn, in pixels."""
    rows, columns = np.nonzero(is_drawn(picture))
    return np.ptp(rows) + 1, np.ptp(columns) + 1


@pytest.mark.slow
def test_a_picture_of_each_view(renderer):
    views = ("corner", "front", "side", "top")
    plane()
    made = pictures(views=views, size=SMALL)
    assert list(made) == [f"s.h5_train_loss_{view}.png" for view in views]
    for picture in made.values():
        assert picture.shape == (240, 320, 3)
        assert (picture[:5] == 1).all()  # white around it
        assert 0.15 < is_drawn(picture).mean() < 0.9
        assert min(share_of_blue(picture), share_of_red(picture)) > 0.03
    in_order = list(made.values())
    for one, other in zip(in_order, in_order[1:], strict=False):
        assert np.abs(one - other).mean() > 0.02


def test_names_follow_the_vtp_file(renderer):
    plane()
    assert list(pictures(zmax=5.0, log=True)) == ["s.h5_train_loss_zmax=5.0_log_corner.png"]


def test_from_above_the_plane_is_a_map(renderer):
    """x to the right and y upwards, undistorted: a hill in the first quadrant is red, at the upper right."""
    x, y = np.linspace(-1, 1, 21), np.linspace(-0.5, 0.5, 11)
    plane(values=5 * np.exp(-20 * ((x[None] - 0.5) ** 2 + (y[:, None] - 0.25) ** 2)), x=x, y=y)
    picture = pictures(views=["top"], size=(640, 480))["s.h5_train_loss_top.png"]
    height, width = extent(picture)
    assert width / height == pytest.approx(2, abs=0.03)
    rows, columns = np.nonzero(is_drawn(picture))
    box = plane_of(picture)[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    redness = box[..., 0] - box[..., 2]
    top, left = np.unravel_index(np.argmax(redness), redness.shape)
    assert left / width == pytest.approx(0.75, abs=0.06)
    assert top / height == pytest.approx(0.25, abs=0.12)
    assert redness[-height // 4 :, : width // 4].max() < 0


def test_the_light_shines(renderer):
    """Points of a ring have one height and so one colour: what differs between a bowl's walls is light."""
    x = np.linspace(-1, 1, 41)
    plane(values=x[None] ** 2 + x[:, None] ** 2, x=x, y=x)
    picture = plane_of(pictures(views=["top"], size=(400, 300))["s.h5_train_loss_top.png"])
    rows, columns = np.nonzero(is_drawn(picture))
    radius = np.ptp(rows) / 4
    angles = np.linspace(0, 2 * np.pi, 60)
    ring_rows = (rows.mean() - radius * np.sin(angles)).astype(int)
    ring_columns = (columns.mean() + radius * np.cos(angles)).astype(int)
    brightness = picture[ring_rows, ring_columns].mean(axis=-1)
    assert np.ptp(brightness) > 0.15


def test_heights_are_scaled_to_the_plane(renderer):
    """The picture is the same whatever the unit of the loss."""
    plane("a.h5")
    plane("b.h5", values=1e-4 * (BOWL + 0.2))
    [one], [other] = pictures("a.h5").values(), pictures("b.h5").values()
    assert np.abs(plane_of(one) - plane_of(other)).max() < 0.03


def test_several_surfaces_share_the_scale(renderer):
    """Beside a surface twice as high, one is drawn half as high and never as red. Alone it is red too."""
    plane("high.h5", values=BOWL)
    plane("low.h5", values=BOWL / 2)
    high, low = pictures("high.h5", "low.h5", views=["side"], size=SMALL).values()
    assert extent(low)[0] < 0.8 * extent(high)[0]
    assert share_of_red(low) < 0.1 < share_of_red(high)
    assert np.array_equal(high[:, 285:], low[:, 285:])  # the colour bar
    [alone] = pictures("low.h5", views=["side"], size=SMALL).values()
    assert share_of_red(alone) > 0.1


def test_a_huge_range_is_drawn_as_logarithms_and_reported(renderer, capsys):
    plane(values=np.exp(20 * (X[None] ** 2 + Y[:, None] ** 2)))
    plain = pictures()["s.h5_train_loss_corner.png"]
    assert "huge range" in capsys.readouterr().out
    log = pictures(log=True)["s.h5_train_loss_log_corner.png"]
    assert np.array_equal(plain, log)
    cut = pictures(zmax=10.0)["s.h5_train_loss_zmax=10.0_corner.png"]
    assert "huge range" not in capsys.readouterr().out
    assert np.abs(cut - log).mean() > 0.02


def test_a_hole_is_white(renderer):
    values = np.ones((7, 9)) * X[None]
    values[2:5, 3:6] = np.nan
    plane(values=values)
    picture = pictures(views=["top"])["s.h5_train_loss_top.png"]
    rows, columns = np.nonzero(is_drawn(picture))
    row, column = int(rows.mean()), int(columns.mean())
    assert (picture[row - 3 : row + 3, column - 3 : column + 3] == 1).all()


@pytest.mark.parametrize(
    "values", [2.3, 0.0, -5.0, 1e30, np.geomspace(1e-3, 1e30, 9), np.linspace(-1e30, 1e30, 9)]
)
def test_odd_values_end_in_a_picture(renderer, values, capfd):
    plane(values=values)
    picture = pictures()["s.h5_train_loss_corner.png"]
    assert is_drawn(picture).mean() > 0.1
    assert capfd.readouterr().err == ""


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
