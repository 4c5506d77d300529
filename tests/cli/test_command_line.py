"""What every command does with a stop by its user, and where the output takes only few characters."""

import io
import sys

import numpy as np
import pytest

from losslandscape.cli import command_line
from losslandscape.parallel import mpi4pytorch
from tests.helpers import run, write_surface_file


def test_ctrl_c_ends_without_a_traceback(capsys, monkeypatch):
    for variable in (name for names in mpi4pytorch.LAUNCHERS.values() for name in names):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SystemExit) as ended, command_line.sentence(command_line.Parser("x")):
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert "the same command resumes" in capsys.readouterr().err


ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "strict ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
SPEAKERS = [  # what each command prints has characters that ASCII lacks
    ("plot_1D.py", "--surf_file", "é/s.h5", "é/../é/s.h5", "--out", "é/both", "--format", "svg"),
    ("plot_1D.py", "--help"),
    ("h5_util.py", "é/s.h5"),
    ("h5_util.py", "€.h5"),
]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_encoding_of_the_output_ends_in_a_traceback(encoding, inside):
    (inside / "é").mkdir()
    quantities = {name: np.arange(1.0, 4) for name in ("train_loss", "train_loss_se", "train_loss_diff_se")}
    write_surface_file("é/s.h5", x=np.linspace(-1, 1, 3), quantities=quantities, dir_file="€")
    for script, *flags in SPEAKERS:
        done = run(script, *flags, cwd=inside, env=ENCODINGS[encoding])
        assert done.returncode == (2 if "€.h5" in flags else 0), done.stderr
        assert "Traceback" not in done.stderr and (done.stdout + done.stderr).isascii()
    assert (inside / "é" / "both_1d_train_loss.svg").exists()


def test_what_an_encoding_lacks_is_printed_as_an_escape(monkeypatch):
    for errors in ("strict", "surrogateescape"):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", errors=errors))
        command_line.Parser("x")
        print("± \udcc3", flush=True)
        assert written.getvalue() == b"\\xb1 \\udcc3\n"


def test_a_name_that_a_library_cannot_encode_ends_in_a_sentence(capsys, monkeypatch):
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    with pytest.raises(SystemExit) as ended, command_line.sentence(command_line.Parser("x")):
        "\udcc3\udca9/logs".encode()  # as TensorBoard does
    assert ended.value.code == 2
    assert "'\\xe9/logs' is no text in the encoding of this system" in capsys.readouterr().err
    monkeypatch.undo()
    with pytest.raises(UnicodeEncodeError), command_line.sentence(command_line.Parser("x")):
        "\udcff".encode()
