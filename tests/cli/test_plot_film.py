"""plot_film.py: its files, and what it refuses."""

import pytest

from losslandscape.cli import plot_film
from tests.draw.small_films import shrink_films
from tests.draw.surface_files import outputs, write_bowl, write_path
from tests.helpers import run


@pytest.fixture
def small_films(inside, monkeypatch):
    shrink_films(monkeypatch)


@pytest.mark.slow
def test_files(small_films):
    plot_film.main(
        ["--surf_file", write_bowl(nx=5, ny=5), "--proj_file", write_path(), "--log", "--out", "film"]
    )
    assert outputs() == ["film.gif", "film.html"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "--surf_file"),
        (["--surf_file", "nowhere.h5"], "nowhere.h5"),
        (["--surf_file", "s.h5"], "give the path of a training (--proj_file)"),
    ],
)
def test_one_sentence_and_status_2(argv, says, inside):
    write_bowl(nx=5, ny=5)
    done = run("plot_film.py", *argv, cwd=inside)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
