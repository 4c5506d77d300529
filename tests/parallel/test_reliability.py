"""Whatever ends a run, the file that it leaves opens, is right, and can be gone on with. All of it through real processes."""

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
def test_killed_runs_leave_whole_files():
    """A short round of bench/kills.py, which kills a hundred."""
    counts = kills.tally(4, seed=int(time.time()))
    assert counts["kills"] == 4 and counts["surfaces completed"] >= 1
    assert {fault: counts[fault] for fault in kills.FAULTS} == dict.fromkeys(kills.FAULTS, 0)


@needs_proc
def test_a_rank_that_dies_ends_the_job_and_is_named(folder):
    with subprocess.Popen(
        command("plot_surface.py", *LINE, "--x=-1:1:201", ranks=3),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_first_point(process)
        (victim,) = (pid for pid, rank in kills.ranks_of(process).items() if rank == 1)
        os.kill(victim, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    (said,) = (line for line in err.splitlines() if " died: " in line)
    assert f"rank 1 (process {victim} on" in said
    assert "rank 0" not in said and "rank 2" not in said
    surface = h5_util.read_surface(str(folder / "s.h5"))
    assert 0 < len(surface.missing(["train_loss"])) <= 201


def test_a_reader_at_any_moment_finds_a_whole_file(folder):
    with subprocess.Popen(
        command("plot_surface.py", *LINE, "--x=-1:1:41", ranks=2),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_first_point(process)
        seen = []
        while process.poll() is None:
            surface = h5_util.read_surface(str(folder / "s.h5"))
            seen.append(surface.measured("train_loss"))
            time.sleep(0.005)
    assert process.returncode == 0
    assert len(seen) > 20
    assert all((later | earlier == later).all() for earlier, later in zip(seen, seen[1:], strict=False)), (
        "a point that was there is gone"
    )
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


def test_a_disk_that_is_full_for_a_while(folder, small_disk):
    line = [*LINE[:-1], str(small_disk / "s.h5"), "--x=-1:1:25"]
    with subprocess.Popen(
        command("plot_surface.py", *line),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_first_point(process)
        filler = fill(small_disk)
        said = []
        for text in process.stderr:
            said.append(text)
            if "cannot be saved (No space left on device)" in text:
                h5_util.read_surface(str(small_disk / "s.h5"))
                filler.unlink()
    assert process.returncode == 0, "".join(said)
    assert any("are saved again" in text for text in said)
    assert h5_util.read_surface(str(small_disk / "s.h5")).measured("train_loss").all()


def test_a_disk_that_is_full_at_the_end_and_before_the_start(folder, small_disk):
    line = [*LINE[:-1], str(small_disk / "s.h5"), "--x=-1:1:25"]
    with subprocess.Popen(
        command("plot_surface.py", *line),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_first_point(process)
        filler = fill(small_disk)
        said = process.stderr.read()
    assert process.returncode == 2
    assert "Traceback" not in said and "No space left on device" in said.splitlines()[-1]
    old = (small_disk / "s.h5").read_bytes()
    h5_util.read_surface(str(small_disk / "s.h5"))
    refused = run("plot_surface.py", *line, cwd=folder)
    assert (
        refused.returncode == 2
        and len(refused.stderr.splitlines()) == 1
        and "No space left on device" in refused.stderr
    )
    assert (small_disk / "s.h5").read_bytes() == old
    filler.unlink()
    succeed("plot_surface.py", *line, cwd=folder)
    values = h5_util.read_surface(str(small_disk / "s.h5")).get("train_loss")
    succeed("plot_surface.py", *LINE[:-1], "fresh.h5", "--x=-1:1:25", cwd=folder)
    np.testing.assert_allclose(
        values, h5_util.read_surface(str(folder / "fresh.h5")).get("train_loss"), rtol=1e-6
    )
