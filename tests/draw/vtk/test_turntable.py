"""The film of a turning surface: GIF, MP4, and what is said without ffmpeg."""

import os

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from losslandscape.draw.vtk import turntable
from losslandscape.draw.vtk.album import Album
from losslandscape.draw.vtk.look import Look
from losslandscape.files import h5_util
from tests.draw.vtk.shots import plane

pytestmark = pytest.mark.usefixtures("inside")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(turntable, "FRAMES", 8)


def film(size=(121, 90), **look):
    """The frames (n, height, width, 3) of a GIF, after all files were written."""
    surface = h5_util.read_surface(plane())
    turntable.export_turntable(Album([surface], look=Look(**look)), size=size)
    with Image.open("s.h5_train_loss_turntable.gif") as gif:
        assert gif.info["loop"] == 0
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB")).astype(int))
    return np.stack(frames)


@pytest.mark.slow
def test_the_surface_turns_and_keeps_its_size(renderer, monkeypatch, capsys):
    monkeypatch.setattr(turntable, "ffmpeg", lambda: None)
    frames = film(bar=False, background="transparent")
    assert frames.shape == (8, 90, 121, 3)
    assert (frames[:, 0, 0] >= 252).all()
    changes = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert changes.min() > 2
    rows = [np.ptp(np.nonzero((frame < 200).any(axis=(1, 2)))[0]) for frame in frames]
    assert max(rows) <= 90 and min(rows) > 0.5 * max(rows)
    assert capsys.readouterr().out.splitlines()[-1] == turntable.NO_MP4
    assert sorted(os.listdir()) == ["s.h5", "s.h5_train_loss_turntable.gif"]


@pytest.mark.slow
@pytest.mark.skipif(turntable.ffmpeg() is None, reason="ffmpeg is not installed")
def test_an_mp4_too_where_ffmpeg_is_installed(renderer):
    film()
    with open("s.h5_train_loss_turntable.mp4", "rb") as file:
        assert file.read(8)[4:] == b"ftyp"


@pytest.mark.slow
def test_the_same_film_has_the_same_bytes(renderer):
    def contents():
        film(size=(64, 48))
        return {name: open(name, "rb").read() for name in os.listdir() if "turntable" in name}

    assert contents() == contents()
