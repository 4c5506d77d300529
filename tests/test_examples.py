"""Each example trains and is measured as its docstring says, on a coarse grid; so is the guide's."""

import ast
import importlib.util
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from losslandscape.cli import evaluation, plot_surface
from losslandscape.core import user_code
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from tests.helpers import REPO, mpirun

NEEDS = {"vit_digits": "timm", "gpt_text": "transformers"}
QUANTITIES = {
    "autoencoder": {"loss"},
    "gpt_text": {"loss", "perplexity"},
    "physics_informed": {"loss", "residual", "boundary", "error"},
    "regression_mlp": {"loss"},
    "segmentation": {"loss", "pixel_acc"},
    "vit_digits": {"loss", "acc"},
}
COARSE = ["--x=-0.5:0.5:3", "--y=-0.5:0.5:3"]
FEW = ["--data_split", "15", "--batch_size", "100"]
IN_ONE_JOB = """
import json, sys
from losslandscape.cli import plot_surface
for argv in json.loads(sys.argv[1]):
    plot_surface.main(argv)
"""
LONGEST = 75  # lines of an example


def installed(name: str) -> bool:
    return name not in NEEDS or importlib.util.find_spec(NEEDS[name]) is not None


def unless_missing(name: str):
    reason = f"{NEEDS.get(name)} is not installed (requirements/nets.txt)"
    return pytest.param(name, marks=pytest.mark.skipif(not installed(name), reason=reason))


def documented(name: str) -> list[str]:
    """The flags of the docstring's plot_surface.py command, for a coarse grid and little data, no figures."""
    doc = ast.get_docstring(ast.parse((REPO / "examples" / f"{name}.py").read_text()))
    [line] = re.findall(r"python plot_surface\.py (.*)", doc.replace("\\\n", " "))
    words = [word for word in shlex.split(line) if word != "--plot"]
    return [*words, *COARSE, *(FEW if "--test_set" in words else [])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The working folder of all tests here, with examples/ in it and a checkpoint of each."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(
        REPO / "examples", folder / "examples", ignore=shutil.ignore_patterns("*.pt*", "__pycache__")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in filter(installed, QUANTITIES):
            patch.setattr(sys, "argv", ["", "1"])
            runpy.run_path(f"examples/{name}.py", run_name="__main__")
        yield folder


@pytest.fixture(scope="module")
def of_two_ranks(folder):
    """A surface of each example by two ranks, all in one job."""
    jobs = [[*documented(name), "--surf_file", f"{name}_2.h5"] for name in filter(installed, QUANTITIES)]
    done = subprocess.run(
        [*mpirun(2), sys.executable, "-c", IN_ONE_JOB, json.dumps(jobs)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def keep_half(path: str) -> None:
    """Remove every second point from a surface file."""
    whole = h5_util.read_surface(path)
    kept = (np.arange(whole.x.size * whole.y.size) % 2 == 0).reshape(whole.shape)
    half = Surface(
        path,
        x=whole.x,
        y=whole.y,
        dir_file=whole.dir_file,
        made_with=whole.made_with,
        runs=whole.runs,
        quantities={name: np.where(kept, whole.get(name), -1.0) for name in whole.names},
    )
    h5_util.write_surface(half)


@pytest.mark.slow
@pytest.mark.parametrize("name", [unless_missing(name) for name in QUANTITIES])
def test_one_rank_two_ranks_and_a_resumed_run_agree(name, folder, of_two_ranks, capsys):
    flags = [*documented(name), "--surf_file", f"{name}_1.h5"]
    plot_surface.main(flags)
    alone = h5_util.read_surface(f"{name}_1.h5")
    parts = ("train", "test") if "--test_set" in flags else ("train",)
    assert set(alone.names) == {f"{part}_{value}" for part in parts for value in QUANTITIES[name]}
    assert all(np.isfinite(alone.get(quantity)).all() for quantity in alone.names)

    keep_half(f"{name}_1.h5")
    plot_surface.main(flags)
    assert "4 of 9 points to measure" in capsys.readouterr().out
    for other in (f"{name}_1.h5", f"{name}_2.h5"):
        surface = h5_util.read_surface(other)
        for quantity in alone.names:
            np.testing.assert_allclose(
                surface.get(quantity), alone.get(quantity), rtol=1e-5, err_msg=f"{other} {quantity}"
            )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), [("physics_informed", "train"), ("segmentation", "test")])
def test_own_loss_at_the_centre_is_what_the_example_computes(name, part, folder, of_two_ranks):
    """Over all samples at once, so also where a batch's weight is not its number of samples."""
    net = user_code.load(f"examples/{name}.py:net")()
    net.load_state_dict(torch.load(f"examples/{name}.pt", weights_only=True))
    data = user_code.load(f"examples/{name}.py:data")()
    samples = data[1][:] if part == "test" else data[:]
    mean, _, more = user_code.load(f"examples/{name}.py:loss")(net.eval(), samples)
    surface = h5_util.read_surface(f"{name}_2.h5")
    more.pop("samples", None)
    for value, expected in {"loss": mean, **more}.items():
        assert surface.get(f"{part}_{value}")[1, 1] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", QUANTITIES)
def test_an_example_is_short_and_says_how_to_run_it(name):
    text = (REPO / "examples" / f"{name}.py").read_text()
    assert text.count("\n") <= LONGEST
    assert re.search(rf"^ *python examples/{name}\.py$", ast.get_docstring(ast.parse(text)), re.M)
    assert f"examples/{name}.pt" in documented(name)


@pytest.mark.slow
def test_the_guide_as_it_is_written(tmp_path, monkeypatch, capsys):
    """docs/your-own-net.md: its file, and the commands that train, check and draw, on a coarse grid."""
    monkeypatch.chdir(tmp_path)
    guide = (REPO / "docs" / "your-own-net.md").read_text().replace("\\\n", " ")
    train, check, draw = re.findall(r"^    python (.*)", guide, re.M)[:3]
    Path(train).write_text(re.search(r"```python\n(.*?)```", guide, re.S)[1])
    runpy.run_path(train, run_name="__main__")
    script, *flags = shlex.split(check)
    assert script == "evaluation.py"
    evaluation.main(flags)
    assert "train (1500 samples): loss" in capsys.readouterr().out
    script, *flags = shlex.split(draw)
    assert script == "plot_surface.py"
    plot_surface.main([*flags, *COARSE, "--format", "png"])
    assert "9 of 9 points to measure" in capsys.readouterr().out
    suffixes = sorted(path.suffix for path in tmp_path.glob("mine.pt_*"))
    assert suffixes == [".h5"] * 2 + [".png"] * 4
