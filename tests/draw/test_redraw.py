"""Figures that are drawn again as a surface grows, and what goes to TensorBoard."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from losslandscape.cli import plot_1D, plot_2D
from losslandscape.core.errors import InputError
from losslandscape.draw import mesh, redraw
from losslandscape.draw.contour_levels import choose_scale
from losslandscape.files import h5_util
from tests.helpers import REPO, succeed, write_surface_file

X = np.linspace(-1, 1, 9)


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr(redraw, "LOOK_SECONDS", 0.05)


def write(points: int, path="s.h5", ny=None) -> None:
    """A surface of which so many points are measured."""
    y = None if ny is None else np.linspace(-1, 1, ny)
    values = 1 + X**2 if y is None else 1 + X[None] ** 2 + y[:, None] ** 2
    measured = np.arange(values.size).reshape(values.shape) < points
    write_surface_file(
        path, x=X, y=y, quantities={"train_loss": np.where(measured, values, -1)}, measured=measured
    )


def test_it_draws_at_every_change_and_ends_when_all_is_there():
    stages = iter([3, 6, 9])
    write(0)
    drawn = []

    def draw():
        drawn.append(len(h5_util.read_surface("s.h5").missing(["train_loss"])))
        write(next(stages, 9))

    redraw.draw(draw, ["s.h5"], watch=True)
    assert drawn == [9, 6, 3, 0]


def test_a_file_that_is_not_there_yet_is_waited_for(capsys):
    tries = []

    def draw():
        tries.append(1)
        if len(tries) == 1:
            write(9)
            raise InputError("there is no surface file 's.h5'")

    redraw.draw(draw, ["s.h5"], watch=True)
    assert len(tries) == 2
    assert "waiting: there is no surface file 's.h5'" in capsys.readouterr().out


def test_what_can_never_be_drawn_ends_it():
    write(9)
    with pytest.raises(SystemExit) as stopped:
        plot_2D.main(["-f", "s.h5", "--watch"])
    assert stopped.value.code == 2


def test_ctrl_c_ends_it(capsys):
    write(3)

    def draw():
        raise KeyboardInterrupt

    redraw.draw(draw, ["s.h5"], watch=True)
    assert "watching ended" in capsys.readouterr().out


def test_without_watch_it_draws_once():
    drawn = []
    redraw.draw(lambda: drawn.append(1), ["nowhere.h5"], watch=False)
    assert drawn == [1]


def test_a_real_process_follows_a_growing_file():
    write(4)
    with subprocess.Popen(
        [sys.executable, REPO / "plot_1D.py", "-f", "s.h5", "--watch", "--format", "png"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if "saved s.h5_1d_train_loss.png" in line:
                break
        time.sleep(1.2)
        write(9)
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert "saved s.h5_1d_train_loss.png" in rest


def events(folder: str) -> EventAccumulator:
    found = EventAccumulator(folder, size_guidance={"images": 0, "tensors": 0})
    found.Reload()
    return found


def test_tensorboard_gets_figures_and_meshes():
    write(9, "line.h5")
    write(63, "plane.h5", ny=7)
    plot_1D.main(["-f", "line.h5", "--tensorboard", "log", "--format", "png"])
    plot_2D.main(["-f", "plane.h5", "--tensorboard", "log", "--format", "png"])
    found = events("log")
    assert sorted(found.Tags()["images"]) == [
        "line.h5_1d_loss_acc",
        "line.h5_1d_train_loss",
        *(f"plane.h5_train_loss_{kind}" for kind in ("2dcontour", "2dcontourf", "2dheat", "3dsurface")),
    ]
    assert found.Images("plane.h5_train_loss_2dheat")[0].encoded_image_string.startswith(b"\x89PNG")
    assert any(tag.startswith("plane.h5/train_loss") for tag in found.Tags()["tensors"])


def test_a_mesh_is_the_surface():
    write(63, ny=7)
    surface = h5_util.read_surface("s.h5")
    vertices, colours, faces = mesh.surface_mesh(
        surface, "train_loss", choose_scale([surface.get("train_loss")])
    )
    assert vertices.shape == colours.shape == (63, 3) and faces.shape == (2 * 8 * 6, 3)
    x, y = np.meshgrid(X, np.linspace(-1, 1, 7))
    np.testing.assert_allclose(vertices[:, :2], np.stack([x.ravel(), y.ravel()], axis=1), atol=1e-6)
    np.testing.assert_allclose(
        vertices[:, 2], (x**2 + y**2).ravel() - 1, atol=1e-6
    )  # from 0 to 2, moved to -1 to 1
    edges_of_faces = {
        tuple(sorted(pair)) for face in faces.tolist() for pair in zip(face, face[1:] + face[:1], strict=True)
    }
    assert all(abs(a // 9 - b // 9) <= 1 and abs(a % 9 - b % 9) <= 1 for a, b in edges_of_faces)


def test_a_mesh_leaves_holes_out():
    values = np.ones((5, 9))
    values[2, 4] = np.nan
    write_surface_file("s.h5", x=X, y=np.arange(5.0), quantities={"train_loss": values})
    vertices, _, faces = mesh.surface_mesh(h5_util.read_surface("s.h5"), "train_loss", choose_scale([values]))
    assert len(faces) == 2 * (8 * 4 - 4)
    assert 2 * 9 + 4 not in faces
    assert np.isfinite(vertices).all()


def test_plots_without_the_flag_leave_no_log(tmp_path):
    write(9)
    succeed("plot_1D.py", "-f", "s.h5", "--format", "png", cwd=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_projection_is_watched_with_its_surface():
    write(3)
    drawn = []

    def draw():
        drawn.append(1)
        if len(drawn) == 1:
            Path("d.h5_proj_cos.h5").write_text("the path, one checkpoint longer")
        else:
            write(9)

    redraw.draw(draw, ["s.h5"], watch=True, others=["d.h5_proj_cos.h5"])
    assert len(drawn) == 3  # the projection has changed, the surface has changed, all is there


def test_a_projection_alone_is_watched_until_ctrl_c(capsys):
    Path("p.h5").write_text("1")
    drawn = []

    def draw():
        drawn.append(1)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        Path("p.h5").write_text("12")

    redraw.draw(draw, [], watch=True, others=["p.h5"])
    assert len(drawn) == 2 and "watching ended" in capsys.readouterr().out
