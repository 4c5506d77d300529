"""Whatever ends a run, the file that it leaves opens, is right, and can be resumed.

All of it through real processes.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from bench import kills
from losslandscape.files import h5_util
from tests.helpers import DIGITS, SMALL_BATCH, command, folder_with, run, succeed

CENTRE = "resnet20_digits_bs=64/model_6.t7"
LINE = [
    *DIGITS[:3],
    "8",
    *DIGITS[4:],
    "--model_file",
    CENTRE,
    "--xnorm",
    "filter",
    "--xignore",
    "biasbn",
    "--surf_file",
    "s.h5",
]
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="ranks are told apart by /proc, which this system has not"
)


@pytest.fixture
def folder(tmp_path):
    return folder_with(tmp_path, SMALL_BATCH)


def wait_for_first_point(process: subprocess.Popen) -> None:
    for line in process.stderr:
        if "the first point took" in line:
            return
    raise AssertionError("the run ended before its first point")


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("number", [1, pytest.param(20, marks=pytest.mark.nightly)])
def test_killed_runs_leave_whole_files(number, monkeypatch):
    """A short round of bench/kills.py, which kills a hundred."""
    smaller = {"8": "16", "--x=-1:1:15": "--x=-1:1:9", "--y=-1:1:15": "--y=-1:1:9"}
    monkeypatch.setattr(kills, "GRID", tuple(smaller.get(word, word) for word in kills.GRID))
    monkeypatch.setattr(kills, "LONGEST_SECONDS", 1.5)
    counts = kills.kill_runs(number, seed=int(time.time()))
    assert counts["kills"] == number and counts["surfaces completed"] >= 1
    assert {fault: counts[fault] for fault in kills.FAULTS} == dict.fromkeys(kills.FAULTS, 0)


def start(folder: Path, *flags: str, ranks: int = 0) -> subprocess.Popen:
    line = command("plot_surface.py", *flags, ranks=ranks)
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@needs_proc
@pytest.mark.slow
def test_a_rank_that_dies_ends_the_job_with_a_whole_file(folder):
    with start(folder, *LINE, "--x=-1:1:201", ranks=3) as process:
        wait_for_first_point(process)
        (victim,) = (pid for pid, rank in kills.ranks_of(process).items() if rank == 1)
        os.kill(victim, signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    surface = h5_util.read_surface(str(folder / "s.h5"))
    assert 0 < len(surface.missing(["train_loss"])) <= 201


@pytest.mark.slow
def test_a_reader_at_any_moment_finds_a_whole_file(folder):
    with start(folder, *LINE, "--x=-1:1:25", ranks=2) as process:
        wait_for_first_point(process)
        seen = []
        while process.poll() is None:
            surface = h5_util.read_surface(str(folder / "s.h5"))
            seen.append(surface.measured("train_loss"))
            time.sleep(0.005)
    assert process.returncode == 0
    assert len(seen) > 20
    for earlier, later in zip(seen, seen[1:], strict=False):
        assert (later >= earlier).all(), "a measured point is gone"
    assert h5_util.read_surface(str(folder / "s.h5")).measured("train_loss").all()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def fill(place: Path) -> Path:
    filler = place / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            for size in (2**16, 2**10, 1):
                while file.write(bytes(size)) == size:
                    pass
        except OSError:
            pass
    return filler


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while(folder, small_disk):
    surf_file = str(small_disk / "s.h5")
    with start(folder, *LINE[:-1], surf_file, "--x=-1:1:25") as process:
        wait_for_first_point(process)
        filler = fill(small_disk)
        printed = []
        for text in process.stderr:
            printed.append(text)
            if "cannot be saved (No space left on device)" in text:
                h5_util.read_surface(surf_file)
                filler.unlink()
    assert process.returncode == 0, "".join(printed)
    assert any("are saved again" in text for text in printed)
    assert h5_util.read_surface(surf_file).measured("train_loss").all()


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_and_before_the_start(folder, small_disk):
    surf_file = str(small_disk / "s.h5")
    line = [*LINE[:-1], surf_file, "--x=-1:1:15"]
    with start(folder, *line) as process:
        wait_for_first_point(process)
        filler = fill(small_disk)
        printed = process.stderr.read()
    assert process.returncode == 2
    assert "Traceback" not in printed and "No space left on device" in printed.splitlines()[-1]
    old = Path(surf_file).read_bytes()
    h5_util.read_surface(surf_file)
    refused = run("plot_surface.py", *line, cwd=folder)
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    assert "No space left on device" in refused.stderr
    assert Path(surf_file).read_bytes() == old
    filler.unlink()
    succeed("plot_surface.py", *line, cwd=folder)
    values = h5_util.read_surface(surf_file).get("train_loss")
    succeed("plot_surface.py", *LINE[:-1], "fresh.h5", "--x=-1:1:15", cwd=folder)
    fresh = h5_util.read_surface(str(folder / "fresh.h5")).get("train_loss")
    np.testing.assert_allclose(values, fresh, rtol=1e-6)
