"""One run at a time writes a file. A stale lock is replaced, by one run; the lock of a living run is not."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from losslandscape.core.errors import InputError
from losslandscape.files import lock
from losslandscape.files.lock import Lock
from tests.helpers import REPO

OLD = 2 * lock.STALE_SECONDS
RUN = """
import os, sys
from losslandscape.files.lock import Lock
from losslandscape.core.errors import InputError

held = {}

def answer(verb, path):
    if verb == "release":
        held[path].release()
        return "released"
    if verb == "release-in-fork":
        child = os.fork()
        if child == 0:
            held[path].release()
            os._exit(0)
        os.waitpid(child, 0)
        return "forked"
    try:
        held[path] = Lock(path)
        held[path].acquire(wait=verb == "wait")
    except InputError as error:
        return f"refused: {error}"
    return "taken"

for line in sys.stdin:
    print(answer(*line.rstrip("\\n").split(" ", 1)), flush=True)
"""


class Run:
    """Another process that acquires and releases locks on command."""

    def __init__(self):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen([sys.executable, "-c", RUN], cwd=REPO, text=True, **pipes)

    def send(self, verb: str, path: object = "") -> None:
        self.process.stdin.write(f"{verb} {path}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, verb: str, path: object = "") -> str:
        self.send(verb, path)
        return self.answer()


@pytest.fixture
def start():
    runs = []

    def one() -> Run:
        runs.append(Run())
        return runs[-1]

    yield one
    for run in runs:
        run.process.kill()
        run.process.communicate()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "surface.h5")


@pytest.fixture
def ours():
    """Locks of this process, released in the end."""
    locks = []

    def one(path: str) -> Lock:
        locks.append(Lock(path))
        return locks[-1]

    yield one
    for each in locks:
        each.release()


def write_lock(path, *, age=0.0, **changes):
    """Write a lock as this process would now, but for the changes, last touched `age` seconds ago."""
    fields = {**json.loads(lock._new_content()), **changes}
    write_raw(path, json.dumps(fields).encode(), age=age)


def write_raw(path, content, *, age=0.0):
    with open(path + ".running", "wb") as file:
        file.write(content)
    os.utime(path + ".running", (time.time() - age, time.time() - age))


def read_lock(path):
    with open(path + ".running") as file:
        return json.load(file)


def dead_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def until(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


# Held -------------------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_until_the_first_releases(path, start, tmp_path):
    holder, second = start(), start()
    assert holder.ask("acquire", path) == "taken"
    refusal = second.ask("acquire", path)
    assert refusal.startswith(f"refused: {path!r} is being written by another run")
    fields = read_lock(path)
    assert fields["pid"] == holder.process.pid
    who = (f"process {holder.process.pid} ", repr(socket.gethostname()), f"since {fields['time']}")
    for part in (*who, "wait=", "surf_file=", repr(path + ".running")):
        assert part in refusal
    assert holder.ask("release-in-fork", path) == "forked"
    assert read_lock(path)["pid"] == holder.process.pid
    assert holder.ask("release", path) == "released"
    assert os.listdir(tmp_path) == []
    assert second.ask("acquire", path) == "taken"


def test_wait_takes_the_lock_after_its_release_and_says_so_once(path, start, ours, monkeypatch, capsys):
    monkeypatch.setattr(lock, "POLL_SECONDS", 0.01)
    holder = start()
    assert holder.ask("acquire", path) == "taken"
    polls = []

    def sleep(_):
        polls.append(read_lock(path)["pid"])
        if len(polls) == 3:
            assert holder.ask("release", path) == "released"

    monkeypatch.setattr(lock.time, "sleep", sleep)
    ours(path).acquire(wait=True)
    assert polls == [holder.process.pid] * 3
    assert read_lock(path)["pid"] == os.getpid()
    said = capsys.readouterr().err
    assert f"process {holder.process.pid} " in said
    assert said.endswith("waiting for it\n") and said.count("\n") == 1


def test_release_removes_only_our_own_lock(path, ours):
    Lock(path).release()
    held = ours(path)
    held.acquire()
    with pytest.raises(InputError):
        ours(path).acquire()
    held.release()
    held.release()
    assert not os.path.exists(path + ".running")
    held.acquire()
    write_lock(path, host="elsewhere")
    held.release()
    assert read_lock(path)["host"] == "elsewhere"


def test_errors_of_the_system_pass_through(tmp_path, ours, path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        ours(str(tmp_path / "missing" / "surface.h5")).acquire()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        ours(str(tmp_path / "file" / "surface.h5")).acquire()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk here")
def test_a_full_disk_leaves_no_lock(tmp_path, path, ours, monkeypatch):
    def open_full(file, mode, buffering=-1):
        open(file, mode).close()
        return open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr(lock, "open", open_full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        ours(path).acquire()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path, ours):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        ours(str(tmp_path / "surface.h5")).acquire()


def test_a_relative_path_stays_the_same_file(tmp_path, monkeypatch, ours):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    held = ours("surface.h5")
    held.acquire()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert os.path.exists(tmp_path / "surface.h5.running")
    held.release()
    assert os.listdir(tmp_path) == ["elsewhere"]


# Stale or not -----------------------------------------------------------------------------------------------


def test_the_lock_of_a_killed_run_is_replaced_at_once(path, start, ours, tmp_path):
    holder = start()
    assert holder.ask("acquire", path) == "taken"
    os.kill(holder.process.pid, signal.SIGKILL)
    holder.process.wait()
    ours(path).acquire()
    assert read_lock(path)["pid"] == os.getpid()
    assert os.listdir(tmp_path) == ["surface.h5.running"]


@pytest.mark.parametrize("other", [{}, {"host": "elsewhere"}], ids=["here", "elsewhere"])
def test_a_lock_that_nobody_touches_is_stale(path, ours, other):
    write_lock(path, age=lock.STALE_SECONDS / 2, **other)
    with pytest.raises(InputError, match="is being written by another run: process"):
        ours(path).acquire()
    write_lock(path, age=OLD, **other)
    ours(path).acquire()
    assert read_lock(path)["host"] == socket.gethostname()


def test_a_dead_process_number_says_nothing_of_another_host(path, ours):
    write_lock(path, pid=dead_process(), host="elsewhere")
    with pytest.raises(InputError):
        ours(path).acquire()


def test_a_dead_process_number_says_nothing_of_another_container(path, ours):
    write_lock(path, pid=dead_process(), processes="another boot pid:[1]")
    with pytest.raises(InputError, match="is being written"):
        ours(path).acquire()
    write_lock(path, pid=dead_process())
    ours(path).acquire()


def test_all_users_may_see_whose_the_lock_is(path, ours):
    umask = os.umask(0o077)
    try:
        ours(path).acquire()
    finally:
        os.umask(umask)
    assert os.stat(path + ".running").st_mode & 0o777 == 0o644


def test_a_lock_that_cannot_be_read_is_stale_by_its_age_alone(path, ours, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    write_lock(path, pid=dead_process())
    with monkeypatch.context() as patched, pytest.raises(InputError, match="is being written"):
        patched.setattr(lock, "open", refuse, raising=False)
        patched.setattr(lock, "_create", lambda file, content: False)
        ours(path).acquire()


def test_the_file_system_s_clock_counts(path, ours, monkeypatch):
    write_lock(path, host="elsewhere")
    monkeypatch.setattr(time, "time", lambda: 1e12)
    with pytest.raises(InputError):
        ours(path).acquire()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"pid": 1}', b"[" * 100000, b'{"host": "HOST", "pid": 1e99}'],
)
def test_a_garbled_lock_is_stale_by_its_age_alone(path, ours, content):
    content = content.replace(b"HOST", socket.gethostname().encode())
    write_raw(path, content)
    with pytest.raises(InputError, match="does not say which one"):
        ours(path).acquire()
    write_raw(path, content, age=OLD)
    ours(path).acquire()


# Races ------------------------------------------------------------------------------------------------------


def race(start, folder, *, runs: int, times: int) -> None:
    """Let runs race for locks that are stale or not there; exactly one must win each time."""
    racers = [start() for _ in range(runs)]
    for attempt in range(times):
        for before in ("dead", "old", "nobody"):
            place = folder / f"{attempt}_{before}"
            place.mkdir()
            path = str(place / "surface.h5")
            if before == "dead":
                write_lock(path, pid=dead_process())
            elif before == "old":
                write_lock(path, host="elsewhere", age=OLD)
            for racer in racers:
                racer.send("acquire", path)
            answers = [racer.answer() for racer in racers]
            assert [answer == "taken" or answer.startswith("refused") for answer in answers] == [True] * runs
            assert answers.count("taken") == 1
            winner = racers[answers.index("taken")]
            assert read_lock(path)["pid"] == winner.process.pid
            assert os.listdir(place) == ["surface.h5.running"]
            assert winner.ask("release", path) == "released"
            assert os.listdir(place) == []


def test_of_two_that_race_one_wins(start, tmp_path):
    race(start, tmp_path, runs=2, times=10)


@pytest.mark.nightly
def test_of_many_that_race_one_wins_every_time(start, tmp_path):
    race(start, tmp_path, runs=8, times=100)


def test_a_slow_run_puts_back_the_lock_that_another_took_over(path, start, ours, monkeypatch, tmp_path):
    """The other run replaces the stale lock after ours has read it, and before ours renames it."""
    other, rename = start(), os.rename

    def slowly(old, new):
        monkeypatch.setattr(os, "rename", rename)
        assert other.ask("acquire", path) == "taken"
        rename(old, new)

    monkeypatch.setattr(os, "rename", slowly)
    write_lock(path, pid=dead_process())
    with pytest.raises(InputError, match=f"process {other.process.pid} "):
        ours(path).acquire()
    assert read_lock(path)["pid"] == other.process.pid
    assert os.listdir(tmp_path) == ["surface.h5.running"]


# Heartbeats -------------------------------------------------------------------------------------------------


@pytest.fixture
def quick_heart(monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)


def test_the_heart_beats(path, ours, quick_heart):
    held = ours(path)
    held.acquire()
    for _ in range(2):
        os.utime(path + ".running", (1, 1))
        until(lambda: os.stat(path + ".running").st_mtime > 1)
    assert not held.lost


def test_lost_when_removed_and_not_after_release(path, ours, quick_heart):
    held = ours(path)
    assert not held.lost
    held.acquire()
    os.unlink(path + ".running")
    until(lambda: held.lost)
    held.acquire()
    assert not held.lost
    held.release()
    time.sleep(0.1)
    assert not held.lost


def test_lost_when_another_run_replaced_it(path, ours, start, quick_heart, tmp_path):
    held = ours(path)
    held.acquire()
    os.rename(path + ".running", tmp_path / "aside")
    assert start().ask("acquire", path) == "taken"
    until(lambda: held.lost)
    held.release()
    assert read_lock(path)["pid"] != os.getpid()


def test_a_disk_that_does_not_answer_for_a_while_loses_no_lock(path, ours, quick_heart, monkeypatch):
    tried = []

    def fail(file):
        tried.append(file)
        raise OSError("the disk does not answer")

    held = ours(path)
    held.acquire()
    monkeypatch.setattr(lock, "_read", fail)
    until(lambda: len(tried) > 5)
    assert not held.lost
    monkeypatch.undo()
