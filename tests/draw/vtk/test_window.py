"""Rendering needs no display, and a machine that cannot render is no crash."""

import os
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pytest

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from losslandscape.cli import h52vtp
from losslandscape.core.errors import InputError
from losslandscape.draw.vtk import window
from tests.draw.vtk.planes import write_plane
from tests.helpers import REPO, run

EGL = Path("/usr/lib/x86_64-linux-gnu/libEGL.so.1")
TINY = ["--png", "--size", "160x120"]


@pytest.fixture
def no_window_known():
    """Each test looks for a usable window anew."""
    window.usable_kind.cache_clear()
    yield
    window.usable_kind.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("display", [None, "nowhere:0"])
def test_no_display_is_needed_and_none_is_mentioned(inside, monkeypatch, display):
    try:
        window.usable_kind()
    except InputError as error:
        pytest.skip(str(error))
    write_plane()
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", display)
    done = run("h52vtp.py", "-f", "s.h5", *TINY, cwd=inside, own_process=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "saved s.h5_train_loss.vtp\nsaved s.h5_train_loss_corner.png\n"


def test_a_machine_that_cannot_render_is_refused(inside, no_window_known, monkeypatch, capfd):
    """A window that cannot be made ends the process that tries it, not the program; the VTP file is there."""
    monkeypatch.setitem(window.KINDS, sys.platform, ("vtkNoSuchWindow",))
    write_plane()
    with pytest.raises(SystemExit) as stopped:
        h52vtp.main(["-f", "s.h5", "--png"])
    assert stopped.value.code == 2
    [sentence] = capfd.readouterr().err.strip().splitlines()
    assert "cannot render pictures" in sentence
    assert sorted(os.listdir()) == ["s.h5", "s.h5_train_loss.vtp"]


@pytest.mark.slow
@pytest.mark.skipif(not EGL.exists(), reason="takes the driver from EGL, which is not here")
@pytest.mark.skipif(bool(find_library("OSMesa")), reason="OSMesa, which is here, needs no driver")
def test_a_graphics_system_without_driver_does_not_crash_the_program(inside):
    write_plane()
    environment = {"__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent"}
    done = run("h52vtp.py", "-f", "s.h5", "--png", cwd=inside, env=environment)
    assert done.returncode == 2
    [sentence] = done.stderr.strip().splitlines()
    assert "cannot render pictures" in sentence


@pytest.mark.slow
def test_nets_are_compiled_after_a_picture(inside):
    """In one process, as in a notebook, a picture and then torch.compile, which loads Triton."""
    write_plane()
    code = (
        "import torch\n"
        "from losslandscape.cli import h52vtp\n"
        f"h52vtp.main(['-f', 's.h5', *{TINY}])\n"
        "torch.compile(torch.nn.Linear(2, 2), backend='eager')(torch.ones(1, 2))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
