"""figure.py: its files, and its options."""

import subprocess
import sys

import pytest
from PIL import Image

from losslandscape.cli import figure
from tests.draw.surface_files import outputs, write_bowl
from tests.helpers import REPO

pytestmark = pytest.mark.usefixtures("inside")


def test_a_figure_and_its_source():
    figure.main([write_bowl("a.h5", 5, 5), "--kinds", "curve", "--paper", "icml", "--out", "fig_1"])
    assert outputs() == ["fig_1.pdf", "fig_1.png", "fig_1.tex"]
    assert Image.open("fig_1.png").width == 975  # 3.25 inches at 300 dots per inch
    source = open("fig_1.tex").read()
    assert r"\begin{figure}[t]" in source and r"\label{fig:fig_1}" in source
    assert source.startswith("% python figure.py a.h5 --kinds curve")


def test_a_wide_figure_spans_both_columns():
    files = [write_bowl("a.h5", 5, 5), write_bowl("b.h5", 5, 5)]
    figure.main([*files, "--kinds", "curve", "--paper", "icml", "--format", "png"])
    source = open("figure.tex").read()
    assert r"\begin{figure*}[t]" in source and r"\includegraphics{figure.png}" in source


def test_one_sentence_on_a_fault(capsys):
    with pytest.raises(SystemExit) as end:
        figure.main(["none.h5"])
    assert end.value.code == 2
    assert "none.h5" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_the_script_starts_it():
    script = REPO / "script" / "figure.py"
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--kinds" in done.stdout
