"""The commands in the metadata of figures."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from losslandscape.cli import plot_1D, plot_2D
from losslandscape.draw import figures
from losslandscape.draw.figure_metadata import commands, drawn_by
from losslandscape.draw.line_figures import plot_1d
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from tests.draw.surface_files import outputs, write_bowl, write_path

pytestmark = pytest.mark.usefixtures("inside")

MEASURED = "python plot_surface.py --model_file 'é my.t7'"
MEASURED_BEFORE = "python plot_surface.py --overwrite"


def write_measured(path: str, nx: int = 5, ny: int | None = None, *, last: str = MEASURED) -> str:
    """Write a surface whose file has its runs."""
    surface = h5_util.read_surface(write_bowl(path, nx, ny, names=("train_loss",)))
    surface.runs = [{"command": MEASURED_BEFORE}, {"command": last}]
    h5_util.write_surface(surface)
    return path


def title_and_commands(path: str) -> tuple[str, list[str]]:
    """What the metadata of a figure's file say."""
    if path.endswith(".png"):
        text = Image.open(path).text
        return text["Title"], text.get("Description", "").splitlines()
    if path.endswith(".svg"):
        find = ElementTree.parse(path).findtext  # finds the first: matplotlib's own title comes later
        return find(".//{*}title"), (find(".//{*}description") or "").splitlines()
    content = Path(path).read_bytes()
    return pdf_text(content, b"Title"), pdf_text(content, b"Subject").splitlines()


def pdf_text(content: bytes, key: bytes) -> str:
    """A text of a PDF's information: in brackets, with escapes, and with a mark if it is UTF-16."""
    _, found, rest = content.partition(b"/" + key + b" (")
    if not found:
        return ""
    escapes = {b"n": b"\n", b"r": b"\r"}
    text, position = b"", 0
    while rest[position : position + 1] != b")":
        letter = rest[position : position + 1]
        if letter == b"\\":
            position += 1
            letter = rest[position : position + 1]
            letter = escapes.get(letter, letter)
        text += letter
        position += 1
    return text.decode("utf-16") if text.startswith(b"\xfe\xff") else text.decode("latin-1")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["pdf", "png", "svg"])
def test_commands_that_measured_and_drew(suffix):
    line = ["-f", write_measured("line.h5"), "--loss_max", "7", "--format", suffix]
    plane = ["-f", write_measured("plane.h5", 5, 1), "--format", suffix]
    path = ["--proj_file", write_path(), "--format", suffix]
    for main, program, argv, stem, measured in (
        (plot_1D.main, "plot_1D.py", line, "line.h5_1d_train_loss", [MEASURED]),
        (plot_2D.main, "plot_2D.py", plane, "plane.h5_train_loss_2dheat", [MEASURED]),
        (plot_2D.main, "plot_2D.py", path, "d.h5_proj_cos.h5", []),
    ):
        main(argv)
        drawing = " ".join(["python", program, *argv])
        assert title_and_commands(f"{stem}.{suffix}") == (stem, [*measured, drawing])


def test_equal_commands_stand_once():
    with drawn_by("plot_1D.py", ["--prefix", "run"]):
        figures.save(figures.new_figure(), "a", "png", made_by=["one", "two", "one"])
    assert title_and_commands("a.png")[1] == ["one", "two", "python plot_1D.py --prefix run"]


def test_the_last_run_of_each_surface_measured_it():
    line = {"x": [0.0], "y": None}
    surfaces = [
        Surface("", **line, runs=[{"command": "first"}, {"command": "last"}]),
        Surface("", **line),
        Surface("", **line, runs=[{"time": "of a run without a command"}]),
    ]
    assert commands(*surfaces) == ["last"]


@pytest.mark.slow
def test_python_has_no_command_line():
    """Neither after a command in the same process."""
    plot_1D.main(["-f", write_measured("s.h5"), "--format", "png"])
    plot_1d("s.h5", formats="png")
    assert title_and_commands("s.h5_1d_train_loss.png")[1] == [MEASURED]
    figures.save(figures.new_figure(), "t", ("pdf", "png", "svg"))
    assert [title_and_commands(name)[1] for name in ("t.pdf", "t.png", "t.svg")] == [[], [], []]


def test_commands_of_any_characters():
    figures.save(figures.new_figure(), "a", ["pdf", "png", "svg"], made_by=["python \x00\x1b\udcff(\\) <&>"])
    for name in outputs():
        assert title_and_commands(name)[1] == ["python ???(\\) <&>"]
