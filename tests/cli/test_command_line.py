"""What every command does with a stop by its user."""

import pytest

from losslandscape.cli import command_line
from losslandscape.parallel import mpi4pytorch


def test_ctrl_c_ends_without_a_traceback(capsys, monkeypatch):
    for variable in (name for names in mpi4pytorch.LAUNCHERS.values() for name in names):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SystemExit) as ended, command_line.sentence(command_line.Parser("x")):
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert "the same command resumes" in capsys.readouterr().err
