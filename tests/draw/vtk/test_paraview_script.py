"""The script for ParaView: what it holds, and what ParaView makes of it."""

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from losslandscape.cli import h52vtp
from tests.draw.vtk.shots import plane, rough_plane

pytestmark = pytest.mark.usefixtures("inside")


def look_of(script):
    with open(script) as file:
        source = file.read()
    compile(source, script, "exec")
    return json.loads(re.search(r'json\.loads\("""(.*?)"""\)', source, re.DOTALL)[1])


def test_the_script_lies_beside_its_file_and_holds_the_look():
    h52vtp.main(["-f", plane(), "--paraview", "--height", "0.5", "--background", "black"])
    assert sorted(os.listdir()) == ["s.h5", "s.h5_train_loss.vtp", "s.h5_train_loss_paraview.py"]
    look = look_of("s.h5_train_loss_paraview.py")
    assert look["scale"][2] * 11 == pytest.approx(0.5)  # heights from 0.2 to 11.2
    assert look["background"] == [0, 0, 0]
    assert look["ceiling"] is None
    heights = look["colours"][::4]
    assert len(heights) == 256 and 0.2 <= min(heights) < max(heights) <= 11.2


def test_a_cut_surface_loses_its_lid():
    h52vtp.main(["-f", plane(), "--paraview", "--zmax", "5"])
    ceiling = look_of("s.h5_train_loss_zmax=5.0_paraview.py")["ceiling"]
    assert 4.99 < ceiling < 5


def test_a_name_with_quotes_makes_a_script(tmp_path):
    os.mkdir('it\'s a "name"')
    os.chdir('it\'s a "name"')
    h52vtp.main(["-f", plane("a \"b' {c}.h5"), "--paraview"])
    look_of("a \"b' {c}.h5_train_loss_paraview.py")


@pytest.mark.nightly
@pytest.mark.skipif(not shutil.which("pvpython"), reason="ParaView is not installed")
def test_paraview_shows_the_same_picture(renderer, tmp_path):
    """Its mesh is coarser and its colours are blended otherwise, so that edges differ."""
    flags = ["--log", "--interp", "200", "--no_bar", "--size", "400x300"]
    h52vtp.main(["-f", rough_plane(), "--paraview", "--png", *flags])
    xvfb = ["xvfb-run", "-a"] if shutil.which("xvfb-run") else []
    script = "rough.h5_train_loss_log_paraview.py"
    subprocess.run([*xvfb, "pvpython", script, "paraview.png"], check=True, timeout=300)
    with Image.open("paraview.png") as image:
        theirs = np.asarray(image.convert("RGB").resize((400, 300))) / 255
    ours = np.asarray(Image.open("rough.h5_train_loss_log_corner.png").convert("RGB")) / 255
    assert np.abs(theirs - ours).mean() < 0.04
    assert np.abs((theirs < 0.99).any(axis=2).mean() - (ours < 0.99).any(axis=2).mean()) < 0.02
