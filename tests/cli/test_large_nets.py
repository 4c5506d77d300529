"""The surface of a net that counts as large is that of a plain loop over its tensors, however it was run.

The net is in bfloat16. `tests.large_net` lowers the size from which a net is large.
"""

import os
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from losslandscape.core import large
from losslandscape.files import h5_util
from tests import large_net
from tests.helpers import REPO, run

FILE = large_net.__file__
FLAGS = [
    *("--dataset", f"{FILE}:data", "--model", f"{FILE}:counted_as_large", "--loss_name", "next_token"),
    *("--batch_size", "6", "--model_file", "net.pt", "--surf_file", "s.h5", "--dir_file", "d.h5"),
    *("--xnorm", "filter", "--xignore", "biasbn"),
]
LINE = [*FLAGS, "--x=-0.5:0.5:5"]
PLANE = [*FLAGS, "--x=-0.5:0.5:3", "--y=0:1:2", "--ynorm", "layer", "--yignore", "biasbn"]


@pytest.fixture(autouse=True)
def old_threshold(monkeypatch):
    """Restore it, as `counted_as_large` changes it."""
    monkeypatch.setattr(large, "LARGE", large.LARGE)
    monkeypatch.setattr(large, "BLOCK", large.BLOCK)


def folder_with_net(folder):
    net = large_net.net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
    torch.save(net.state_dict(), folder / "net.pt")
    return folder


@pytest.fixture(scope="module", params=[LINE, PLANE], ids=["line", "plane"])
def measured(request, tmp_path_factory):
    folder = folder_with_net(tmp_path_factory.mktemp("large"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "LARGE", large.LARGE)
        patch.setattr(large, "BLOCK", large.BLOCK)
        finished = run("plot_surface.py", *request.param, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder, request.param


def direction(file: h5py.File, axis: str) -> list[torch.Tensor]:
    """A direction as float32: bfloat16 has the upper 16 bits of a float32."""
    group = file[f"{axis}direction"]
    words = [group[str(i)][()]["bfloat16"].astype(np.uint32) << 16 for i in range(len(group))]
    return [torch.from_numpy(word.view(np.float32)) for word in words]


def test_values_are_those_of_a_plain_loop(measured):
    folder, _ = measured
    surface = h5_util.read_surface(str(folder / "s.h5"))
    net = large_net.net()
    net.load_state_dict(torch.load(folder / "net.pt"))
    start = [parameter.detach().float() for parameter in net.parameters()]
    with h5py.File(folder / "d.h5") as file:
        axes = [direction(file, axis) for axis in "xy" if f"{axis}direction" in file]
    ((tokens, targets),) = large_net.data()
    losses = []
    for point in surface.points():
        for parameter, w, *steps in zip(net.parameters(), start, *axes, strict=True):
            for coordinate, d in zip(point, steps, strict=True):
                w = w + coordinate * d
            parameter.data = w.to(torch.bfloat16)
        with torch.no_grad():
            logits = net(tokens).float()
        losses.append(float(F.cross_entropy(logits.flatten(0, 1), targets.flatten())))
    assert len(set(losses)) == len(losses)
    np.testing.assert_allclose(surface.get("train_loss").ravel(), losses, rtol=1e-6)


def test_a_stopped_run_resumes(measured, tmp_path):
    folder, flags = measured
    shutil.copytree(folder, tmp_path / "copy")
    whole = h5_util.read_surface(str(folder / "s.h5"))
    with h5py.File(tmp_path / "copy" / "s.h5", "r+") as file:
        file["measured"][..., ::2] = False
        file["train_loss"][..., ::2] = -1
    finished = run("plot_surface.py", *flags, cwd=tmp_path / "copy")
    assert finished.returncode == 0, finished.stderr
    again = h5_util.read_surface(str(tmp_path / "copy" / "s.h5"))
    np.testing.assert_array_equal(again.get("train_loss"), whole.get("train_loss"))
    assert (tmp_path / "copy" / "d.h5").read_bytes() == (folder / "d.h5").read_bytes()


@pytest.mark.slow
def test_ranks_share_the_points(measured, tmp_path):
    folder, flags = measured
    shutil.copy(folder / "net.pt", tmp_path)
    finished = run("plot_surface.py", "--mpi", *flags, ranks=2, cwd=tmp_path, env={"OMP_NUM_THREADS": "1"})
    assert finished.returncode == 0, finished.stderr
    one, two = (h5_util.read_surface(str(place / "s.h5")) for place in (folder, tmp_path))
    np.testing.assert_allclose(two.get("train_loss"), one.get("train_loss"), rtol=1e-6)
    assert two.made_with == one.made_with  # with the fingerprint of the directions


def test_the_report_on_a_direction_file_names_its_length(measured):
    folder, _ = measured
    finished = run("h5_util.py", "d.h5", cwd=folder)
    with h5py.File(folder / "d.h5") as file:
        length = sum(float(d.double().square().sum()) for d in direction(file, "x")) ** 0.5
    assert f"norm {length:.6g}" in finished.stdout


PEAK_OF_A_RUN = """
import sys, threading, time
import torch
from losslandscape.cli import plot_surface

def anonymous():
    with open("/proc/self/status") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("RssAnon", "RssShmem"))) * 1024

def watch():
    global peak
    while watching:
        peak = max(peak, anonymous())
        time.sleep(0.002)

before = peak = anonymous()
watching = True
thread = threading.Thread(target=watch)
thread.start()
try:
    plot_surface.main(sys.argv[1:])
finally:
    watching = False
    thread.join()
print(peak - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read as Linux shows it")
def test_a_large_net_is_in_memory_once(tmp_path):
    net = large_net.deep()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    size = sum(parameter.nbytes for parameter in net.parameters())
    flags = [*FLAGS, "--x=-0.5:0.5:3", "--y=-0.5:0.5:2", "--ynorm", "layer", "--yignore", "biasbn"]
    flags[flags.index(f"{FILE}:counted_as_large")] = f"{FILE}:deep"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO)}
    command = [sys.executable, "-c", PEAK_OF_A_RUN, *flags]
    finished = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert finished.returncode == 0, finished.stderr
    constant = 80 * 2**20  # modules that are imported late, and activations
    assert int(finished.stdout.splitlines()[-1]) < 1.5 * size + constant
