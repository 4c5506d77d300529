"""docs/language-models.md: its commands as they are written, with little training and on coarse grids."""

import glob
import importlib
import importlib.util
import re
import runpy
import shlex
import shutil
import sys

import pytest

from losslandscape.cli import plot_surface
from losslandscape.files import h5_util
from tests.helpers import REPO

PAGE = (REPO / "docs" / "language-models.md").read_text()
NEEDS = ("transformers", "peft", "accelerate")
COARSE = {"--x": "--x=-1:1:3", "--y": "--y=-1:1:3", "--samples": "2"}

pytestmark = [
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, NEEDS)),
        reason="transformers, peft or accelerate is not installed",
    ),
    pytest.mark.filterwarnings("ignore"),
]


def commands() -> list[list[str]]:
    """The words of each command of the page, after `python`."""
    text = PAGE.replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^ {4,}(?:mpirun -n 2 )?python (.*)", text, re.M)]


def coarse(words: list[str]) -> list[str]:
    """A command of plot_surface.py on a coarse grid."""
    words = [COARSE.get(word.split("=")[0], word) if "=" in word else word for word in words]
    place = words.index("--samples") + 1
    words[place] = COARSE["--samples"]
    if "--axes" in words:
        words += [COARSE["--x"], COARSE["--y"]]
    return [*words, "--format", "png"]


def as_shell(word: str) -> list[str]:
    """The files that a pattern of a command means, or the word itself."""
    return glob.glob(word) if "*" in word else [word]


@pytest.mark.slow
def test_the_page_as_it_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").mkdir()
    shutil.copy(REPO / "examples" / "language_models.py", tmp_path / "examples")
    example, *others = [words for words in commands() if "--cuda" not in words]
    monkeypatch.setattr(sys, "argv", ["", "4"])
    runpy.run_path(example[0], run_name="__main__")
    exec(re.search(r"```python\n(.*?)```", PAGE, re.S)[1], {})
    capsys.readouterr()
    for script, *words in others:
        if script == "plot_surface.py":
            words = coarse(words)
        words = [name for word in words for name in as_shell(word.replace("=32.h5", "=2.h5"))]
        importlib.import_module(f"losslandscape.cli.{script.removesuffix('.py')}").main(words)
    printed = capsys.readouterr().out
    assert re.search(r"^train \(2\d\d samples\): loss [\d.]+, perplexity [\d.]+$", printed, re.M)
    assert printed.count("147,456 of 147,776 parameters") == 1
    assert "they move, the base does not" in printed
    surfaces = list(tmp_path.rglob("*samples=2.h5"))
    assert len(surfaces) == 3
    for path in surfaces:
        surface = h5_util.read_surface(str(path))
        assert surface.names == ["train_loss", "train_perplexity"]
        assert "in bfloat16" in surface.made_with["model"] and not surface.missing(surface.names).size
    assert len(list(tmp_path.rglob("*perplexity_2dcontour.pdf"))) == 2


def test_commands_for_gpus_have_known_options():
    several = [words for words in commands() if "--cuda" in words]
    assert [words[0] for words in several] == ["plot_surface.py"]
    args = plot_surface.build_parser().parse_args(several[0][1:])
    assert (args.ngpu, args.loss_name, args.x) == (2, "next_token", (-1.0, 1.0, 11))


def test_numbers_of_the_page_are_those_of_the_example():
    assert "`--context N`" in PAGE and "(here 64)" in PAGE
    assert "LENGTH, CHARACTERS, WORDS = 16, 64," in (REPO / "examples" / "language_models.py").read_text()
