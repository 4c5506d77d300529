"""The paths of several trainings in one plane: their places, figures, film and pages, and bad input."""

import re

import numpy as np
import pytest
import torch

from losslandscape.cli import plot_2D, plot_film, plot_html, plot_trajectory
from losslandscape.cli.landscapes import _path_places
from losslandscape.draw import film, film_screen, training_paths
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface

FOLDER = "a/PCA_weights_save_epoch=1_with_b"
FILES = [f"{FOLDER}/directions.h5_{name}_proj_cos.h5" for name in "ab"]
NET = """
from torch import nn
def net(width=3):
    return nn.Linear(width, 2)
"""


@pytest.fixture(autouse=True)
def trainings(inside):
    """Folders `a` and `b` with four checkpoints each of a net of 8 parameters; they start at one place."""
    (inside / "net.py").write_text(NET)
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(8, generator=generator)
    for folder in "ab":
        (inside / folder).mkdir()
        place = start.clone()
        for epoch in range(4):
            state = {"weight": place[:6].reshape(2, 3).clone(), "bias": place[6:].clone()}
            torch.save({"state_dict": state}, inside / folder / f"model_{epoch}.t7")
            place = place + torch.randn(8, generator=generator)


def rows(folder: str) -> np.ndarray:
    states = [torch.load(f"{folder}/model_{epoch}.t7")["state_dict"] for epoch in range(4)]
    return np.array([np.r_[one["weight"].numpy().ravel(), one["bias"].numpy()] for one in states], float)


def project(*flags: str) -> None:
    place = ["--model", "net.py:net", "--max_epoch", "3", "--format", "png"]
    plot_trajectory.main([*place, "--model_folder", "a", "b", *flags])


@pytest.fixture
def projected(monkeypatch):
    with monkeypatch.context() as undrawn:
        undrawn.setattr("losslandscape.draw.trajectory_figures.draw", lambda *_, **__: None)
        project()


def write_surface(**facts: str) -> None:
    x = np.linspace(-6, 6, 7)
    made_with = {"directions": h5_util.read_projection(FILES[0]).made_with["directions"], **facts}
    values = {"train_loss": 1 + x[:, None] ** 2 + x**2}
    h5_util.write_surface(Surface("s.h5", x=x, y=x, quantities=values, dir_file="d.h5", made_with=made_with))


def fault(capsys, main, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_the_plane_is_that_of_the_principal_components_of_all_checkpoints(projected):
    a, b = rows("a"), rows("b")
    joined = np.concatenate([a, b])
    _, _, axes = np.linalg.svd(joined - joined.mean(axis=0), full_matrices=False)
    for file, its, name in zip(FILES, (a, b), "ab", strict=True):
        path = h5_util.read_projection(file)
        for ours, expected in zip((path.x, path.y), axes[:2] @ (its - a[-1]).T, strict=True):
            np.testing.assert_allclose(ours * np.sign(ours @ expected), expected, atol=1e-5)
        assert path.name == name and path.epochs.tolist() == [0, 1, 2, 3]
    assert _path_places(FILES).shape == (2, 8)  # which the range of a surface holds
    assert h5_util.read_projection(FILES[0]).x[-1] == 0  # the origin is the last checkpoint of the first
    first, second = map(h5_util.read_projection, FILES)
    assert (first.x[0], first.y[0]) == pytest.approx((second.x[0], second.y[0]), abs=1e-6)


def test_names_and_figure(inside):
    project("--names", "large", "small")
    folder = inside / "a" / "PCA_weights_save_epoch=1_with_small"
    names = {file.name for file in folder.iterdir()}
    files = {f"directions.h5_{name}_proj_cos.h5" for name in ("large", "small")}
    assert names == {"directions.h5", *files, "directions.h5_large_proj_cos.h5_compared.png"}


def test_figures_and_page_on_a_surface(projected, inside):
    write_surface()
    plot_2D.main(["--surf_file", "s.h5", "--proj_file", *FILES, "--format", "svg", "--out", "figure"])
    drawn = (inside / "figure_train_loss_2dcontour_proj.svg").read_text()
    for colour in ("#d62728", "#1f77b4"):  # of the first and of the second path
        assert colour in drawn
    plot_html.main(["--surf_file", "s.h5", "--proj_file", *FILES, "--out", "page"])
    page = (inside / "page_3dsurface.html").read_text()
    assert "trajectory a" in page and "trajectory b" in page


def test_the_film_moves_all_paths_by_epoch(projected):
    """A training of fewer epochs waits at its last checkpoint."""
    write_surface()
    short = h5_util.read_projection(FILES[1])
    kept = [0, 2]
    h5_util.write_projection(
        Projection("b.h5", short.x[kept], short.y[kept], epochs=np.array([0, 2]), made_with=short.made_with)
    )
    reel = film.read(["s.h5"], proj_file=[FILES[0], "b.h5"])
    assert list(reel.titles) == [f"epoch {epoch}" for epoch in range(4)]
    a, b = training_paths.progress(reel.paths)
    assert (a.tolist(), b.tolist()) == ([0, 1, 2, 3], [0, 0.5, 1, 1])
    screen = film_screen.Screen(reel, film.scale_of(reel), None)
    screen.show(1.5)
    (*_, end_a), (*_, end_b) = screen._lines
    first = reel.paths[0]
    assert end_a.get_xdata() == pytest.approx([(first.x[1] + first.x[2]) / 2])
    assert end_b.get_xdata() == pytest.approx([0.25 * short.x[0] + 0.75 * short.x[2]])


def test_a_path_of_another_plane_is_refused(projected, capsys):
    plot_trajectory.main(["--model", "net.py:net", "--model_folder", "b", "--max_epoch", "3"])
    other = "b/PCA_weights_save_epoch=1/directions.h5_proj_cos.h5"
    write_surface()
    for main, flags in (
        (plot_2D.main, []),
        (plot_film.main, ["-f", "s.h5"]),
        (plot_html.main, ["-f", "s.h5"]),
    ):
        message = fault(capsys, main, *flags, "--proj_file", FILES[0], other)
        assert re.search("another .*directions .there", message)


def test_bad_input(capsys, inside):
    flags = ["--model", "net.py:net", "--max_epoch", "3", "--model_folder", "a", "b"]
    message = fault(capsys, plot_trajectory.main, *flags, "--names", "one")
    assert re.search("2 folders and 1 names", message)
    message = fault(capsys, plot_trajectory.main, *flags, "--names", "one", "one")
    assert "two trainings have the name 'one'" in message
    (inside / "b" / "model_2.t7").unlink()
    assert "b/model_2.t7: epoch 2 is missing" in fault(capsys, plot_trajectory.main, *flags)
    state = {"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}
    torch.save({"state_dict": state}, inside / "b" / "model_2.t7")
    assert "b/model_2.t7" in fault(capsys, plot_trajectory.main, *flags)
