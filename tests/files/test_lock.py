"""One run at a time writes a file; a claim whose holder is dead is taken over, by one run, and a claim of the living never."""

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
from losslandscape.files.lock import Claim
from tests.helpers import REPO

OLD = 2 * lock.STALE_SECONDS
RUN = """
import errno, os, signal, sys
from losslandscape.files import lock
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
    if verb == "die-at":  # in the midst of taking over: the named function of the system kills the process
        setattr(os, path, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        return "ready"
    if verb == "no-links":
        def link(*_):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        os.link = link
        return "ready"
    try:
        held[path] = lock.Claim(path)
        held[path].acquire(wait=verb == "wait")
    except InputError as error:
        return f"refused: {error}"
    return "taken"

for line in sys.stdin:
    print(answer(*line.rstrip("\\n").split(" ", 1)), flush=True)
"""


class Run:
    """Another process that acquires and releases claims as it is told."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN],
            cwd=REPO,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def tell(self, verb: str, path: object = "") -> None:
        self.process.stdin.write(f"{verb} {path}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, verb: str, path: object = "") -> str:
        self.tell(verb, path)
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
        run.process.wait()
        for pipe in (run.process.stdin, run.process.stdout, run.process.stderr):
            pipe.close()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "surface.h5")


@pytest.fixture
def ours():
    """Claims of this process, released in the end."""
    claims = []

    def one(path: str) -> Claim:
        claims.append(Claim(path))
        return claims[-1]

    yield one
    for each in claims:
        each.release()


def write_claim(path, *, age=0.0, **changes):
    """A claim as this process would make it now, but for the changes; last touched `age` seconds ago."""
    fields = {**json.loads(lock._new_content()), **changes}
    write_raw(path, json.dumps(fields).encode(), age=age)


def write_raw(path, content, *, age=0.0):
    with open(path + ".running", "wb") as file:
        file.write(content)
    os.utime(path + ".running", (time.time() - age, time.time() - age))


def read_claim(path):
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


# Held ---------------------------------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_in_one_sentence_that_says_all(path, start):
    holder = start()
    assert holder.ask("acquire", path) == "taken"
    refusal = start().ask("acquire", path)
    assert refusal.startswith(f"refused: {path!r} is being written by another run")
    for part in (
        f"process {holder.process.pid} ",
        repr(socket.gethostname()),
        f"since {read_claim(path)['since']};",
        "--wait",
        "--surf_file",
        f"remove {path + '.running'!r}",
    ):
        assert part in refusal
    assert read_claim(path)["pid"] == holder.process.pid


def test_the_claim_goes_with_the_holder_s_release_or_orderly_end(path, start, tmp_path):
    first, second, third = start(), start(), start()
    assert first.ask("acquire", path) == "taken"
    assert first.ask("release", path) == "released"
    assert os.listdir(tmp_path) == []
    assert second.ask("acquire", path) == "taken"
    second.process.stdin.close()
    second.process.wait()
    assert os.listdir(tmp_path) == []
    assert third.ask("acquire", path) == "taken"


def test_wait_gets_it_after_the_holder_s_release_and_says_once_what_for(path, start):
    holder, waiting = start(), start()
    assert holder.ask("acquire", path) == "taken"
    waiting.tell("wait", path)
    said = waiting.process.stderr.readline()
    assert f"process {holder.process.pid} " in said
    assert said.endswith("waiting for it\n")
    time.sleep(1.5 * lock.POLL_SECONDS)
    assert read_claim(path)["pid"] == holder.process.pid
    assert holder.ask("release", path) == "released"
    assert waiting.answer() == "taken"
    assert read_claim(path)["pid"] == waiting.process.pid
    waiting.process.stdin.close()
    assert waiting.process.stderr.read() == ""


def test_release_is_idempotent_and_leaves_the_claim_of_another(path, ours):
    Claim(path).release()
    held = ours(path)
    held.acquire()
    with pytest.raises(InputError):
        ours(path).acquire()
    held.release()
    held.release()
    assert not os.path.exists(path + ".running")
    held.acquire()
    write_claim(path, host="elsewhere")
    held.release()
    assert read_claim(path)["host"] == "elsewhere"


def test_a_forked_process_does_not_release_its_parent_s_claim(path, start):
    holder = start()
    assert holder.ask("acquire", path) == "taken"
    assert holder.ask("release-in-fork", path) == "forked"
    assert read_claim(path)["pid"] == holder.process.pid


def test_the_system_s_refusals_pass_through(tmp_path, ours):
    with pytest.raises(FileNotFoundError):
        ours(str(tmp_path / "missing" / "surface.h5")).acquire()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        ours(str(tmp_path / "file" / "surface.h5")).acquire()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_the_system_s_refusal(tmp_path, ours):
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


# Stale or not -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reaped", [True, False])
def test_the_claim_of_a_killed_run_is_taken_over_at_once(path, start, tmp_path, reaped):
    holder, following = start(), start()
    assert holder.ask("acquire", path) == "taken"
    holder.process.kill()
    os.waitid(os.P_PID, holder.process.pid, os.WEXITED | os.WNOWAIT)
    if reaped:
        holder.process.wait()
    assert following.ask("acquire", path) == "taken"
    assert read_claim(path)["pid"] == following.process.pid
    assert os.listdir(tmp_path) == ["surface.h5.running"]


def test_the_claim_of_a_stopped_run_is_not_taken_over(path, start):
    holder = start()
    assert holder.ask("acquire", path) == "taken"
    os.kill(holder.process.pid, signal.SIGSTOP)
    os.utime(path + ".running", (1, 1))
    assert start().ask("acquire", path).startswith("refused")


# On one host the number of a process that has ended tells enough; where it can be another's number only the heartbeat does.
@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"boot": "another"}, {"namespace": "pid:[1]"}])
def test_where_the_process_cannot_be_seen_the_heartbeat_decides(path, ours, other):
    write_claim(path, pid=dead_process(), **other)
    with pytest.raises(InputError, match="is being written by another run: process"):
        ours(path).acquire()
    write_claim(path, age=OLD, **other)
    ours(path).acquire()
    assert read_claim(path)["host"] == socket.gethostname()


def test_the_clock_that_counts_is_the_file_system_s(path, ours, monkeypatch):
    write_claim(path, host="elsewhere")
    monkeypatch.setattr(time, "time", lambda: 1e12)
    with pytest.raises(InputError):
        ours(path).acquire()


@pytest.mark.skipif(
    not os.path.exists("/proc/self/stat"), reason="the system does not tell when a process started"
)
def test_a_process_number_in_use_again_is_not_the_holder(path, ours):
    write_claim(path, started=json.loads(lock._new_content())["started"] - 1)
    ours(path).acquire()


def test_where_the_start_of_a_process_is_unknown_the_heartbeat_decides(path, ours):
    write_claim(path, started=None)
    with pytest.raises(InputError):
        ours(path).acquire()
    write_claim(path, started=None, age=OLD)
    ours(path).acquire()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b"7", b"{}", b'{"pid": 1}', b"[" * 100000]
)
def test_a_garbled_claim_is_stale_by_its_age_alone(path, ours, content):
    write_raw(path, content)
    with pytest.raises(InputError, match="which one, its claim does not tell"):
        ours(path).acquire()
    write_raw(path, content, age=OLD)
    ours(path).acquire()


@pytest.mark.parametrize(
    "change",
    [
        {"pid": 0},
        {"pid": -1},
        {"pid": 10**30},
        {"pid": True},
        {"pid": "1"},
        {"pid": [1]},
        {"host": 1},
        {"started": "x"},
        {"since": None},
    ],
)
def test_wrong_values_are_garbled_too(path, ours, change):
    write_claim(path, **change)
    with pytest.raises(InputError, match="which one, its claim does not tell"):
        ours(path).acquire()


# Races --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("before", ["dead", "elsewhere", "nobody"])
def test_of_many_that_race_for_a_stale_claim_one_wins(tmp_path, start, links, before):
    runs = [start() for _ in range(8)]
    if not links:
        assert [run.ask("no-links") for run in runs] == ["ready"] * 8
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        path = str(folder / "surface.h5")
        if before == "dead":
            write_claim(path, pid=dead_process())
        elif before == "elsewhere":
            write_claim(path, host="elsewhere", age=OLD)
        for run in runs:
            run.tell("acquire", path)
        answers = [run.answer() for run in runs]
        assert sum(answer == "taken" for answer in answers) == 1
        assert all(answer == "taken" or answer.startswith("refused") for answer in answers)
        winner = runs[answers.index("taken")]
        assert read_claim(path)["pid"] == winner.process.pid
        assert os.listdir(folder) == ["surface.h5.running"]
        assert winner.ask("release", path) == "released"
        assert os.listdir(folder) == []


@pytest.mark.parametrize("released", [True, False])
def test_a_slow_run_does_not_take_over_what_another_took_over_meanwhile(
    path, start, ours, monkeypatch, released
):
    other, find_guard = start(), lock._guard

    def slowly(*args):
        if not os.path.exists(
            path
        ):  # only the first time; once the stale claim is judged, before its guard is sought
            open(path, "w").close()
            assert other.ask("acquire", path) == "taken"
            if released:
                assert other.ask("release", path) == "released"
        return find_guard(*args)

    monkeypatch.setattr(lock, "_guard", slowly)
    write_claim(path, pid=dead_process())
    if released:
        ours(path).acquire()
        assert read_claim(path)["pid"] == os.getpid()
    else:
        with pytest.raises(InputError, match=f"process {other.process.pid} "):
            ours(path).acquire()
        assert read_claim(path)["pid"] == other.process.pid


def test_a_run_killed_in_the_midst_of_taking_over_blocks_nobody(path, start, tmp_path):
    write_claim(path, pid=dead_process())
    for _ in range(3):
        dying = start()
        assert dying.ask("die-at", "replace") == "ready"
        assert dying.ask("acquire", path) == ""
        dying.process.wait()
    assert [name for name in os.listdir(tmp_path) if name.endswith(".guard")]
    assert start().ask("acquire", path) == "taken"
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".guard")]


def test_a_run_that_takes_over_is_in_the_way_of_others(path, start, ours):
    write_claim(path, pid=dead_process())
    slow = start()
    assert slow.ask("acquire", path + "2") == "taken"
    os.rename(path + "2.running", lock._guard(path + ".running", lock._look(path + ".running")))
    with pytest.raises(InputError, match=f"process {slow.process.pid} "):
        ours(path).acquire()


# Heartbeats ---------------------------------------------------------------------------------------------------------------


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


def test_lost_when_taken_over(path, ours, start, quick_heart, tmp_path):
    held = ours(path)
    held.acquire()
    os.rename(path + ".running", tmp_path / "aside")
    assert start().ask("acquire", path) == "taken"
    until(lambda: held.lost)
    held.release()
    assert read_claim(path)["pid"] != os.getpid()


def test_a_claim_that_cannot_be_read_for_a_while_is_not_lost(path, ours, quick_heart, monkeypatch):
    seen, look = [], lock._look

    def fail(file):
        seen.append(file)
        if len(seen) % 2:
            raise OSError("the disk does not answer")
        return lock._Found(None, look(file).touched)

    held = ours(path)
    held.acquire()
    monkeypatch.setattr(lock, "_look", fail)
    until(lambda: len(seen) > 5)
    assert not held.lost
    monkeypatch.undo()
