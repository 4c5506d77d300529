"""Pictures of surfaces, drawn off screen: what is in them, and that no display is needed."""

import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from losslandscape.cli import h52vtp
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from tests.helpers import command, write_surface_file

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from losslandscape.draw.vtk import rendering  # noqa: E402

X, Y = np.linspace(-1, 1, 9), np.linspace(-0.5, 1, 7)
SMALL = (320, 240)
TINY = ["--size", "160x120"]


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(h52vtp, "FINE", 100)  # enough for small pictures


@pytest.fixture
def renderer():
    """Skips the test where nothing can be rendered."""
    try:
        rendering._usable_window()
    except InputError as error:
        pytest.skip(str(error))


def surface(path="s.h5", *, values=None, x=X, y=Y):
    loss = (
        0.2 + 8 * x[None] ** 2 + 3 * y[:, None] ** 2
        if values is None
        else np.broadcast_to(values, (len(y), len(x)))
    )
    write_surface_file(path, x=x, y=y, quantities={"train_loss": loss})
    return path


def pictures(*flags, files=("s.h5",)):
    """The pictures that the script makes, by name; colours as floats from 0 to 1."""
    h52vtp.main(["-f", *files, "--png", *flags])
    return {
        name: np.asarray(Image.open(name).convert("RGB")) / 255.0
        for name in sorted(os.listdir())
        if name.endswith(".png")
    }


def plane_of(picture):
    """The part of a picture that is left of the colour bar."""
    return picture[:, : int(0.88 * picture.shape[1])]


def drawn(picture):
    return (plane_of(picture) < 0.995).any(axis=2)


def shares(picture):
    """How much of what is drawn is blue, and how much is red."""
    colours = plane_of(picture)[drawn(picture)]
    return np.mean(colours[:, 2] > colours[:, 0] + 0.05), np.mean(colours[:, 0] > colours[:, 2] + 0.05)


def test_a_picture_of_each_view(renderer):
    surface()
    made = pictures("--view", "corner", "front", "side", "top", "--size", "{}x{}".format(*SMALL))
    assert list(made) == [f"s.h5_train_loss_{view}.png" for view in ("corner", "front", "side", "top")]
    assert os.path.exists("s.h5_train_loss.vtp")
    for picture in made.values():
        assert picture.shape == (240, 320, 3)
        assert (picture[:5] == 1).all()  # white around it
        assert 0.15 < drawn(picture).mean() < 0.9
        assert min(shares(picture)) > 0.03
    for one, other in zip(made.values(), list(made.values())[1:], strict=False):
        assert np.abs(one - other).mean() > 0.02


def test_names_follow_the_vtp_file(renderer):
    surface()
    assert list(pictures(*TINY, "--zmax", "5", "--log")) == ["s.h5_train_loss_zmax=5.0_log_corner.png"]


def test_from_above_the_plane_is_a_map(renderer):
    """x to the right and y upwards, undistorted: a hill in the first quadrant is at the upper right, red, on blue."""
    x, y = np.linspace(-1, 1, 21), np.linspace(-0.5, 0.5, 11)
    surface(values=5 * np.exp(-20 * ((x[None] - 0.5) ** 2 + (y[:, None] - 0.25) ** 2)), x=x, y=y)
    picture = pictures("--view", "top", "--size", "640x480")["s.h5_train_loss_top.png"]
    rows, columns = np.nonzero(drawn(picture))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert width / height == pytest.approx(2, abs=0.03)
    box = plane_of(picture)[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    redness = box[..., 0] - box[..., 2]
    top, left = np.unravel_index(np.argmax(redness), redness.shape)
    assert left / width == pytest.approx(0.75, abs=0.06)
    assert top / height == pytest.approx(0.25, abs=0.12)
    assert redness[-height // 4 :, : width // 4].max() < 0


def test_the_light_shines(renderer):
    """The same colour everywhere on the bar: what differs between a bowl's walls is light."""
    x = np.linspace(-1, 1, 41)
    surface(values=x[None] ** 2 + x[:, None] ** 2, x=x, y=x)
    picture = plane_of(pictures("--view", "top", "--size", "400x300")["s.h5_train_loss_top.png"])
    rows, columns = np.nonzero(drawn(picture))
    middle, radius = (rows.mean(), columns.mean()), np.ptp(rows) / 4
    angles = np.linspace(0, 2 * np.pi, 60)
    ring = [
        picture[int(middle[0] - radius * np.sin(a)), int(middle[1] + radius * np.cos(a))].mean()
        for a in angles
    ]
    assert np.ptp(ring) > 0.15


def test_heights_are_scaled_to_the_plane(renderer):
    """The picture is the same whatever the unit of the loss."""
    surface("a.h5")
    surface("b.h5", values=1e-4 * (8 * X[None] ** 2 + 3 * Y[:, None] ** 2 + 0.2))
    one, other = (
        pictures(*TINY, files=["a.h5"])["a.h5_train_loss_corner.png"],
        pictures(*TINY, files=["b.h5"])["b.h5_train_loss_corner.png"],
    )
    assert np.abs(plane_of(one) - plane_of(other)).max() < 0.03


def test_several_surfaces_share_the_scale(renderer):
    """A surface of half the height is drawn half as high, and never as red, beside the higher one; alone it fills the picture."""
    bowl = 8 * X[None] ** 2 + 3 * Y[:, None] ** 2
    surface("high.h5", values=bowl)
    surface("low.h5", values=bowl / 2)
    flags = ["--view", "side", "--size", "{}x{}".format(*SMALL)]
    together = pictures(*flags, files=["high.h5", "low.h5"])
    high, low = (together[f"{name}.h5_train_loss_side.png"] for name in ("high", "low"))
    extent = {name: np.ptp(np.nonzero(drawn(picture))[0]) for name, picture in (("high", high), ("low", low))}
    assert extent["low"] < 0.8 * extent["high"]
    assert shares(low)[1] < 0.1 < shares(high)[1]
    assert np.array_equal(high[:, 285:], low[:, 285:])  # the colour bar
    alone = pictures(*flags, files=["low.h5"])["low.h5_train_loss_side.png"]
    assert shares(alone)[1] > 0.1


def test_a_huge_range_is_drawn_as_logarithms_and_said(renderer, capsys):
    values = np.exp(20 * (X[None] ** 2 + Y[:, None] ** 2))
    surface(values=values)
    plain = pictures(*TINY)["s.h5_train_loss_corner.png"]
    assert "huge range" in capsys.readouterr().out
    log = pictures(*TINY, "--log")["s.h5_train_loss_log_corner.png"]
    assert np.array_equal(plain, log)
    cut = pictures(*TINY, "--zmax", "10")["s.h5_train_loss_zmax=10.0_corner.png"]
    assert "huge range" not in capsys.readouterr().out
    assert np.abs(cut - log).mean() > 0.02


def test_a_hole_is_white(renderer):
    values = np.ones((7, 9)) * X[None]
    values[2:5, 3:6] = np.nan
    surface(values=values)
    picture = pictures("--view", "top", *TINY)["s.h5_train_loss_top.png"]
    rows, columns = np.nonzero(drawn(picture))
    assert (
        picture[
            int(rows.mean()) - 3 : int(rows.mean()) + 3, int(columns.mean()) - 3 : int(columns.mean()) + 3
        ]
        == 1
    ).all()


@pytest.mark.parametrize(
    "values", [2.3, 0.0, -5.0, 1e30, np.geomspace(1e-3, 1e30, 9), np.linspace(-1e30, 1e30, 9)]
)
def test_odd_values_end_in_a_picture(renderer, values, capfd):
    surface(values=values)
    picture = pictures(*TINY)["s.h5_train_loss_corner.png"]
    assert drawn(picture).mean() > 0.1
    assert capfd.readouterr().err == ""


def test_ticks_are_round_values_at_their_heights():
    ticks = h52vtp._ticks(0.2, 9.7, log=False)
    assert [name for _, name in ticks] == ["2", "4", "6", "8"]
    assert [height for height, _ in ticks] == [2, 4, 6, 8]
    ticks = h52vtp._ticks(np.log(0.11), np.log(5e5), log=True)
    assert [name for _, name in ticks] == ["0.1", "1", "10", "100", "1000", "10000", "100000"]
    assert np.allclose([np.exp(height) - 0.1 for height, _ in ticks], [0.1, 1, 10, 100, 1e3, 1e4, 1e5])
    assert len(h52vtp._ticks(-2, 70, log=True)) <= 8
    assert len(h52vtp._ticks(np.log(0.5), np.log(0.9), log=True)) >= 3
    assert h52vtp._ticks(np.log(2.4), np.log(2.4), log=True) == [(np.log(2.4), "2.3")]


def test_metadata_tell_the_commands(renderer):
    data = h5_util.read_surface(surface())
    data.runs = [{"command": "python plot_surface.py 'é\x00\udcff'"}]
    h5_util.write_surface(data)
    pictures(*TINY)
    text = Image.open("s.h5_train_loss_corner.png").text
    assert text["Title"] == "s.h5_train_loss_corner.png"
    assert (
        text["Description"] == "python plot_surface.py 'é??'\npython h52vtp.py -f s.h5 --png --size 160x120"
    )


@pytest.mark.parametrize("display", [None, "nowhere:0"])
def test_no_display_is_needed_and_nothing_is_said_of_it(renderer, display):
    surface()
    environment = {
        name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    done = subprocess.run(
        [*command("h52vtp.py"), "-f", "s.h5", "--png", *TINY],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment | ({"DISPLAY": display} if display else {}),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "saved s.h5_train_loss.vtp\nsaved s.h5_train_loss_corner.png\n"


def test_a_machine_that_cannot_render_says_so(monkeypatch, capfd):
    """A window that cannot be made ends the process that tries it, not the program; the VTP file is there."""
    monkeypatch.setattr(
        rendering, "WINDOWS", dict.fromkeys(("linux", "darwin", "win32"), ("vtkNoSuchWindow",))
    )
    rendering._usable_window.cache_clear()
    surface()
    with pytest.raises(SystemExit) as stopped:
        h52vtp.main(["-f", "s.h5", "--png"])
    rendering._usable_window.cache_clear()
    assert stopped.value.code == 2
    sentence = capfd.readouterr().err.strip().splitlines()
    assert len(sentence) == 1
    assert "cannot render pictures" in sentence[0]
    assert sorted(os.listdir()) == ["s.h5", "s.h5_train_loss.vtp"]


@pytest.mark.skipif(
    not os.path.exists("/usr/lib/x86_64-linux-gnu/libEGL.so.1"),
    reason="takes the driver from EGL, which is not here",
)
def test_a_graphics_system_without_driver_does_not_crash_the_program():
    surface()
    done = subprocess.run(
        [*command("h52vtp.py"), "-f", "s.h5", "--png"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent"},
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "cannot render pictures" in done.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--size", "8x600"], "8x600 pixels cannot be rendered"),
        (["--size", "90000x600"], "90000x600 pixels cannot be rendered"),
    ],
)
def test_impossible_sizes(flags, says, capsys):
    surface()
    with pytest.raises(SystemExit) as stopped:
        h52vtp.main(["-f", "s.h5", "--png", *flags])
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err
