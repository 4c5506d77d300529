"""Films of a training: what is on each picture, what fits together, and what a browser makes of the page."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from losslandscape.cli import plot_film
from losslandscape.core.errors import InputError
from losslandscape.draw import film, film_files, film_screen
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface
from tests.draw.web.pages import figure_of, frames_of, numbers, trace
from tests.helpers import run

X, Y = np.linspace(-15, 3, 7), np.linspace(-4, 6, 5)
PATH = np.array([-12.0, -7, 0]), np.array([-1.2, 2.9, 0])


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(film_screen, "DPI", 40)
    monkeypatch.setattr(film, "SECONDS", 1)
    monkeypatch.setattr(film, "LAST_SECONDS", 0)
    monkeypatch.setattr(film, "FRAMES_PER_SECOND", 5)
    monkeypatch.setattr(film.shutil, "which", lambda _: None)


def values(k: float) -> np.ndarray:
    return 1 + k + (k + 1) * (X**2 + Y[:, None] ** 2)


def surface(path: str = "s.h5", k: float = 0, **given) -> str:
    h5_util.write_surface(
        Surface(path, **{"x": X, "y": Y, "dir_file": "d.h5", "quantities": {"train_loss": values(k)}} | given)
    )
    return path


def projection(path: str = "d.h5_proj_cos.h5", *, x=PATH[0], y=PATH[1], **given) -> str:
    h5_util.write_projection(Projection(path, x, y, **given))
    return path


def pictures(path: str) -> list[np.ndarray]:
    with Image.open(path) as gif:
        assert gif.format == "GIF"
        found = []
        for i in range(gif.n_frames):
            gif.seek(i)
            found.append(np.asarray(gif.convert("RGB"), int))
        return found


def red(picture: np.ndarray) -> np.ndarray:
    """Where the path is: its colour is in no contour."""
    return (picture[..., 0] > 150) & (picture[..., 1] < 110) & (picture[..., 2] < 110)


def test_the_path_moves_over_one_surface():
    reel = film.read([surface()], proj_file=projection())
    assert film.write(reel, "film.gif") == ["film.gif"]
    first, *_, last = pictures("film.gif")
    assert np.median(np.nonzero(red(first))[1]) < np.nonzero(red(last))[1].max() - 20
    assert red(last).sum() > red(first).sum()
    assert sorted(os.listdir()) == ["d.h5_proj_cos.h5", "film.gif", "s.h5"]
    np.testing.assert_array_equal(film.frame_times(3, between=True), [0, 0.5, 1, 1.5, 2])


def test_surfaces_follow_one_another_in_the_order_of_their_numbers(capsys):
    """A shell puts model_10 before model_2."""
    files = [
        surface(f"s_model_{k}.t7.h5", k, runs=[{"command": "python plot_surface.py"}]) for k in (0, 2, 10)
    ]
    assert [one.path for one in film.read(sorted(files), proj_file=projection()).surfaces] == files
    assert [one.path for one in film.read(files[::-1]).surfaces] == files[::-1]
    plot_film.main(
        [
            "--surf_file",
            *sorted(files),
            "--proj_file",
            projection(epochs=np.array([0, 2, 10])),
            "--out",
            "film",
        ]
    )
    assert len(pictures("film.gif")) == 3
    assert "saved film.html" in capsys.readouterr().out
    assert Path("film.html").read_text().count("<code>python plot_surface.py</code>") == 1  # of one run, once
    data, layout = figure_of("film.html")
    steps = layout["sliders"][0]["steps"]
    assert [step["label"] for step in steps] == ["epoch 0", "epoch 2", "epoch 10"]
    heights = numbers(trace(data, "surface")["z"])
    assert np.allclose(heights, np.log10(values(0)), rtol=1e-6)
    ends = np.log10([min(map(np.min, map(values, (0, 2, 10)))), max(map(np.max, map(values, (0, 2, 10))))])
    assert [layout["coloraxis"]["cmin"], layout["coloraxis"]["cmax"]] == pytest.approx(ends)
    frames = frames_of("film.html")
    for k, frame in zip((0, 2, 10), frames, strict=True):
        drawn = dict(zip(frame["traces"], frame["data"], strict=True))
        assert np.allclose(numbers(drawn[0]["z"]), np.log10(values(k)), rtol=1e-6)
        dots = drawn[5]
        assert len(dots["x"]) == 2 * (frames.index(frame) + 1) + 1
        assert dots["x"][: frames.index(frame) + 1] == PATH[0][: frames.index(frame) + 1].tolist()
    assert film.scale_of(film.read(files)).heights == pytest.approx((10 ** ends[0], 10 ** ends[1]))


def test_a_film_without_a_path_and_with_holes(capsys):
    broken = values(1)
    broken[2, 3] = np.nan
    files = [surface("a.h5"), surface("b.h5", quantities={"train_loss": broken})]
    film_files.plot_film(files, titles=["before", "after"], vmin=1, vmax=300, vlevel=30)
    assert "b.h5: train_loss: 1 point NaN or infinite." in capsys.readouterr().out
    assert len(pictures("a.h5_film.gif")) == 2
    _, layout = figure_of("a.h5_film.html")
    assert [step["label"] for step in layout["sliders"][0]["steps"]] == ["before", "after"]
    drawn = frames_of("a.h5_film.html")[1]["data"][0]
    assert np.array_equal(np.isnan(numbers(drawn["z"])), np.isnan(broken))


def test_what_makes_no_film():
    projection("p.h5", x=PATH[0][:2], y=PATH[1][:2])
    projection("nan.h5", x=np.array([1, np.nan, 0]))
    projection("other.h5", made_with={"directions": "0" * 16})
    surface("line.h5", y=None, quantities={"train_loss": X**2})
    surface("grid.h5", x=X + 1)
    surface("made.h5", made_with={"directions": "1" * 16})
    surface("made2.h5", made_with={"directions": "2" * 16})
    surface("nan_surface.h5", quantities={"train_loss": np.full((5, 7), np.nan)})
    surface("s.h5")
    surface("s2.h5")
    for files, proj_file, says in (
        (["s.h5"], "", "alone is no film"),
        (["line.h5"], "p.h5", "surface of two coordinates"),
        (["s.h5", "grid.h5"], "", "another grid"),
        (["made.h5", "made2.h5"], "", "another directions"),
        (["made.h5"], "other.h5", "another directions"),
        (["s.h5"], "nan.h5", "1 of 3 checkpoints have no place"),
        (["s.h5"], "s.h5", "not a projection file"),
        (["s.h5", "s2.h5"], projection(), "has 3 checkpoints where there are 2 surfaces"),
        (["nan_surface.h5"], "p.h5", "no train_loss to draw"),
    ):
        with pytest.raises(InputError, match=says):
            film.read(files, proj_file=proj_file)
    with pytest.raises(InputError, match="1 titles for 2 checkpoints"):
        film.read(["s.h5", "s2.h5"], titles=["one"])
    with pytest.raises(InputError, match="ends in .gif or .mp4"):
        film.write(film.read(["s.h5"], proj_file="p.h5"), "film.avi")
    with pytest.raises(InputError, match="needs ffmpeg"):
        film.write(film.read(["s.h5"], proj_file="p.h5"), "film.mp4")
    with pytest.raises(InputError, match="'nowhere' does not exist"):
        film_files.plot_film(["s.h5", "s2.h5"], out="nowhere/film")
    assert not [name for name in os.listdir() if name.startswith("film") or "_film" in name]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_an_mp4(monkeypatch):
    monkeypatch.setattr(film.shutil, "which", lambda name: name)
    film.write(film.read([surface()], proj_file=projection()), "film.mp4")
    assert Path("film.mp4").read_bytes()[4:8] == b"ftyp"


def test_one_sentence_and_status_2(tmp_path):
    done = run("plot_film.py", "--surf_file", "nowhere.h5", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "nowhere.h5" in done.stderr
