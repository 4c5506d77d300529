"""Films of a training: what is on each picture, what fits together, and the interactive page."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from losslandscape.core.errors import InputError
from losslandscape.draw import film
from losslandscape.draw.ffmpeg import ffmpeg
from losslandscape.draw.film_files import plot_film
from losslandscape.draw.film_screen import Screen
from losslandscape.draw.type_settings import rc_context
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface
from tests.draw.small_films import shrink_films
from tests.draw.surface_files import notes
from tests.draw.web.pages import data_of, figure_of, numbers, steps_of, trace

pytestmark = pytest.mark.usefixtures("inside")

X, Y = np.linspace(-15, 3, 7), np.linspace(-4, 6, 5)
PATH_X, PATH_Y = np.array([-12.0, -7, 0]), np.array([-1.2, 2.9, 0])
EPOCHS = (0, 2, 10)


@pytest.fixture(autouse=True)
def small_films(monkeypatch):
    shrink_films(monkeypatch)


def losses(k: float) -> np.ndarray:
    return 1 + k + (k + 1) * (X**2 + Y[:, None] ** 2)


def write_surface(path: str = "s.h5", k: float = 0, **changes) -> str:
    options = {"x": X, "y": Y, "dir_file": "d.h5", "quantities": {"train_loss": losses(k)}}
    h5_util.write_surface(Surface(path, **{**options, **changes}))
    return path


def write_path(path: str = "d.h5_proj_cos.h5", *, x=PATH_X, y=PATH_Y, **facts) -> str:
    h5_util.write_projection(Projection(path, x, y, **facts))
    return path


def pictures(path: str) -> list[np.ndarray]:
    frames = []
    with Image.open(path) as gif:
        assert gif.format == "GIF"
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB"), int))
    return frames


def is_path(picture: np.ndarray) -> np.ndarray:
    """Which pixels are red: no contour has this colour."""
    return (picture[..., 0] > 150) & (picture[..., 1] < 110) & (picture[..., 2] < 110)


def test_the_path_moves_over_one_surface():
    reel = film.read([write_surface()], proj_file=write_path())
    assert film.write(reel, "film.gif") == ["film.gif"]
    first, *_, last = map(is_path, pictures("film.gif"))
    assert np.median(np.nonzero(first)[1]) < np.nonzero(last)[1].max() - 20
    assert last.sum() > first.sum()
    assert sorted(os.listdir()) == ["d.h5_proj_cos.h5", "film.gif", "s.h5"]


def test_frames_between_checkpoints():
    np.testing.assert_array_equal(film.frame_times(3, between=True), [0, 0.5, 1, 1.5, 2])
    np.testing.assert_array_equal(film.frame_times(3, between=False), [0, 1, 2])


def test_a_shells_order_of_numbers_is_put_right():
    """A shell puts model_10 before model_2."""
    files = [write_surface(f"s_model_{k}.t7.h5", k) for k in EPOCHS]
    in_order = film.read(sorted(files), proj_file=write_path())
    assert [surface.path for surface in in_order.surfaces] == files
    assert [surface.path for surface in film.read(files[::-1]).surfaces] == files[::-1]


def test_surfaces_follow_one_another(capsys):
    runs = [{"command": "python plot_surface.py"}]
    files = [write_surface(f"s_model_{k}.t7.h5", k, runs=runs) for k in EPOCHS]
    plot_film(files, proj_file=write_path(epochs=np.array(EPOCHS)), out="film")
    assert len(pictures("film.gif")) == 3
    assert "saved film.html" in capsys.readouterr().out
    # The surfaces have one command, which stands once.
    assert Path("film.html").read_text().count("<code>python plot_surface.py</code>") == 1
    data, layout = figure_of("film.html")
    assert data_of("film.html")["steps"]["labels"] == ["epoch 0", "epoch 2", "epoch 10"]
    assert np.allclose(numbers(trace(data, "surface")["z"]), np.log10(losses(0)), rtol=1e-6)
    all_losses = np.stack([losses(k) for k in EPOCHS])
    ends = np.log10([all_losses.min(), all_losses.max()])
    assert [layout["coloraxis.cmin"], layout["coloraxis.cmax"]] == pytest.approx(ends)
    assert film.scale_of(film.read(files)).heights == pytest.approx((all_losses.min(), all_losses.max()))
    for number, (k, traces) in enumerate(zip(EPOCHS, steps_of("film.html"), strict=True), start=1):
        assert np.allclose(numbers(traces[0]["z"]), np.log10(losses(k)), rtol=1e-6)
        dots = traces[8]["x"]
        assert len(dots) == 2 * number + 1
        assert dots[:number] == PATH_X[:number].tolist()


def test_surfaces_of_checkpoints_of_any_name_follow_one_another():
    """As a shell lists them; the titles tell them apart though their files have one name."""
    stems = ["step=900-epoch=2", "step=1800-epoch=4", "step=90-epoch=10"]
    files = [write_surface(f"{stem}.ckpt_in_directions.h5", k) for stem, k in zip(stems, EPOCHS, strict=True)]
    assert [surface.path for surface in film.read(sorted(files)).surfaces] == files
    for step in (500, 1000, 20000):
        os.mkdir(f"checkpoint-{step}")
        write_surface(f"checkpoint-{step}/model.pt_in_directions.h5", step)
    files = [f"checkpoint-{step}/model.pt_in_directions.h5" for step in (500, 1000, 20000)]
    reel = film.read(sorted(files))
    assert [surface.path for surface in reel.surfaces] == list(reel.titles) == files
    path = write_path(epochs=np.array([500, 1000, 20000]), made_with={"unit": "step"})
    assert film.read(files, proj_file=path).titles == ["step 500", "step 1000", "step 20000"]


def test_a_film_without_a_path_and_with_holes(capsys):
    broken = losses(1)
    broken[2, 3] = np.nan
    files = [write_surface("a.h5"), write_surface("b.h5", quantities={"train_loss": broken})]
    plot_film(files, titles=["before", "after"], vmin=1, vmax=300, vlevel=30)
    assert "b.h5: train_loss: 1 point NaN or infinite." in capsys.readouterr().out
    assert len(pictures("a.h5_film.gif")) == 2
    assert data_of("a.h5_film.html")["steps"]["labels"] == ["before", "after"]
    heights = numbers(steps_of("a.h5_film.html")[1][0]["z"])
    assert np.array_equal(np.isnan(heights), np.isnan(broken))


@pytest.mark.parametrize(
    ("files", "proj_file", "says"),
    [
        (["s.h5"], "", "alone is no film"),
        (["line.h5"], "p.h5", "surface of two coordinates"),
        (["s.h5", "grid.h5"], "", "another grid"),
        (["made.h5", "made2.h5"], "", "another directions"),
        (["made.h5"], "other.h5", "another directions"),
        (["s.h5"], "nan.h5", "1 of 3 checkpoints have no place"),
        (["s.h5"], "s.h5", "not a projection file"),
        (["s.h5", "s2.h5"], "long.h5", "has 3 checkpoints where there are 2 surfaces"),
        (["nan_surface.h5"], "p.h5", "no train_loss to draw"),
    ],
)
def test_files_that_do_not_fit_together(files, proj_file, says):
    write_path("p.h5", x=PATH_X[:2], y=PATH_Y[:2])
    write_path("long.h5")
    write_path("nan.h5", x=np.array([1, np.nan, 0]))
    write_path("other.h5", made_with={"directions": "0" * 16})
    write_surface("line.h5", y=None, quantities={"train_loss": X**2})
    write_surface("grid.h5", x=X + 1)
    write_surface("made.h5", made_with={"directions": "1" * 16})
    write_surface("made2.h5", made_with={"directions": "2" * 16})
    write_surface("nan_surface.h5", quantities={"train_loss": np.full((5, 7), np.nan)})
    write_surface("s.h5")
    write_surface("s2.h5")
    with pytest.raises(InputError, match=says):
        film.read(files, proj_file=proj_file)


def test_titles_formats_and_folders_that_cannot_be():
    files = [write_surface("s.h5"), write_surface("s2.h5")]
    with pytest.raises(InputError, match="1 titles for 2 checkpoints"):
        film.read(files, titles=["one"])
    reel = film.read(files)
    with pytest.raises(InputError, match="ends in .gif or .mp4"):
        film.write(reel, "film.avi")
    with pytest.raises(InputError, match="needs ffmpeg"):
        film.write(reel, "film.mp4")
    with pytest.raises(InputError, match="'nowhere' does not exist"):
        plot_film(files, out="nowhere/film")
    assert sorted(os.listdir()) == ["s.h5", "s2.h5"]


@pytest.mark.slow
@pytest.mark.skipif(ffmpeg() is None, reason="ffmpeg is not installed")
def test_an_mp4(monkeypatch):
    monkeypatch.setattr(film, "ffmpeg", ffmpeg)
    reel = film.read([write_surface()], proj_file=write_path())
    film.write(reel, ["film.mp4", "again.mp4"])
    assert Path("film.mp4").read_bytes()[4:8] == b"ftyp"
    assert Path("film.mp4").read_bytes() == Path("again.mp4").read_bytes()


# The eye ----------------------------------------------------------------------------------------------------


def screen_of(files: list[str], **options) -> Screen:
    reel = film.read(files, **options)
    with rc_context():
        return Screen(reel, film.scale_of(reel), None)


def bar_texts(screen: Screen) -> list[str]:
    return [text.get_text() for text in screen.fig.axes[1].get_yticklabels()]


@pytest.mark.parametrize("untrained", [1, 2])
def test_checkpoints_of_little_training_do_not_set_the_scale(untrained):
    names = [f"a_{k}.h5" for k in range(untrained + 2)]
    high = [write_surface(name, quantities={"train_loss": 1e5 * losses(0)}) for name in names[:untrained]]
    files = [*high, *(write_surface(name, k) for k, name in enumerate(names[untrained:], 1))]
    scale = film.scale_of(film.read(files))
    assert scale.heights[1] < 3 * losses(2).max()
    assert film.scale_of(film.read(files), vmin=1, vmax=1e6, log=True).norm.vmax > 1e5
    label = screen_of(files).fig.axes[1].get_ylabel()
    assert label.startswith("train loss (highest: $2.6")
    calm = screen_of(files[untrained:])
    assert calm.fig.axes[1].get_ylabel() == "train loss"


def test_ticks_of_the_bar_stay():
    files = [write_surface(f"a_{k}.h5", 10.0**k) for k in (0, 1, 2)]
    screen = screen_of(files)
    first = bar_texts(screen)
    assert len(first) >= 3
    for i in (1, 2, 0):
        screen.show(i)
        screen.fig.draw_without_rendering()
        assert bar_texts(screen) == first


@pytest.mark.parametrize("y", [Y, np.linspace(-1, 1, 5)])
def test_texts_of_every_picture_have_room(y):
    """A title as long as a file's name is written in several lines; what is missing is said below."""
    broken = losses(1)
    broken[2, 3] = np.nan
    long = "checkpoint-500/resnet56_sgd_lr=0.1_bs=128_wd=0.0005_mom=0.9_save_epoch=1_ngpu=4/model_300.t7.h5"
    files = [
        write_surface("a_1.h5", y=y),
        write_surface("a_2.h5", 1e5, y=y),
        write_surface("a_3.h5", y=y, quantities={"train_loss": broken}),
    ]
    screen = screen_of(files, titles=["1", long, "epoch 300"], proj_file=write_path())
    size = screen.fig.bbox.size.tolist()
    for i in range(3):
        screen.show(i)
        screen.fig.draw_without_rendering()
        tight = screen.fig.get_tightbbox()
        assert min(*tight.min, *(screen.fig.get_size_inches() - tight.max)) >= 0
        assert screen.fig.bbox.size.tolist() == size
    assert "1 point NaN or infinite" in notes(screen.fig)
