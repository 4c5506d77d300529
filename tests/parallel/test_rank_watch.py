"""The watch names the rank that died, and none where ranks end as they should. (A real kill: test_reliability.py.)"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from losslandscape.parallel import rank_watch
from losslandscape.parallel.mpi4pytorch import Serial


class NodeRank(Serial):
    """A rank that is a thread of this process."""

    def __init__(self, rank: int, barrier: threading.Barrier, shared: dict):
        self.rank = self.local_rank = rank
        self.size = self.local_size = barrier.parties
        self._barrier, self._shared = barrier, shared

    def gather_node(self, value):
        self._shared[self.rank] = value
        self._barrier.wait(10)
        values = [self._shared[rank] for rank in range(self.size)]
        self._barrier.wait(10)
        return values


def in_block(count: int, act) -> list[BaseException | None]:
    """Run `act(rank)` within `watched` on so many ranks; what each raised."""
    barrier, shared, raised = threading.Barrier(count), {}, [None] * count

    def rank_main(rank: int) -> None:
        try:
            with rank_watch.watched(NodeRank(rank, barrier, shared)):
                act(rank)
        except RuntimeError as error:
            raised[rank] = error

    threads = [threading.Thread(target=rank_main, args=[rank]) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return raised


@pytest.fixture
def watch(monkeypatch):
    """The watches that were started, with what they say kept."""
    started = []
    start = subprocess.Popen
    monkeypatch.setattr(
        subprocess,
        "Popen",
        lambda *args, **options: started.append(start(*args, **options, stderr=subprocess.PIPE, text=True)),
    )
    return started


def test_ranks_that_leave_in_any_order_are_not_named(watch):
    assert in_block(3, lambda rank: time.sleep(0.2 * (rank == 1))) == [None] * 3
    assert watch[0].communicate(timeout=10) == (None, "")
    assert watch[0].returncode == 0


def test_a_rank_that_raises_is_not_said_to_have_died(watch):
    def act(rank):
        if rank == 1:
            raise RuntimeError("out of memory")

    assert [type(error) for error in in_block(2, act)] == [type(None), RuntimeError]
    assert watch[0].communicate(timeout=10) == (None, "")


def test_one_process_needs_no_watch(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a watch was started"))
    with rank_watch.watched(Serial()):
        pass


def test_a_run_without_room_for_a_watch_goes_on(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    done = []
    assert in_block(2, done.append) == [None, None]
    assert sorted(done) == [0, 1]
    assert capsys.readouterr().err.count("it is not named") == 1


def test_the_first_to_close_without_a_farewell_is_named():
    ours, theirs = zip(*(socket.socketpair() for _ in range(3)), strict=True)
    for rank, end in enumerate(theirs):
        end.sendall(f"rank {rank}".encode())
    theirs[0].sendall(rank_watch.LEAVES)
    theirs[0].close()
    theirs[2].close()
    assert rank_watch.first_dead(list(ours)) == ["rank 2"]


def test_a_killed_process_is_named_by_the_real_watch():
    """The system closes the connection of a process that has no time to say anything."""
    with socket.socket(socket.AF_UNIX) as listener:
        address = f"\0rank_watch_test_{os.getpid()}"
        if sys.platform != "linux":
            pytest.skip("sockets without a path are Linux's")
        listener.bind(address)
        listener.listen(2)
        watch = subprocess.Popen(
            [sys.executable, "-S", rank_watch.__file__, str(listener.fileno()), "2"],
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
    rank = "import socket, time; s = socket.socket(socket.AF_UNIX); s.connect('\\0' + %r); s.sendall(b'rank %d'); print('joined', flush=True); time.sleep(60)"
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", rank % (address[1:], number)], stdout=subprocess.PIPE, text=True
        )
        for number in range(2)
    ]
    try:
        for process in ranks:
            assert process.stdout.readline() == "joined\n"
        ranks[1].send_signal(signal.SIGKILL)
        said = watch.communicate(timeout=10)[1]
    finally:
        for process in ranks:
            process.kill()
            process.communicate()
    assert "rank 1 died" in said and "rank 0" not in said
