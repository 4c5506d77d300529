"""Which rank died? A process beside the ranks of each node names the one that was killed or crashed.

When a rank dies, its launcher ends all others, and some launchers then name whichever they find dead first. The watch holds a
connection to each rank of its node. The system closes the connections of a process that ends, however it ends: the first to close
without a farewell is that of the rank that died. It is a process of its own, in a session of its own, since the launcher leaves no rank
the time to say anything.
"""

import os
import platform
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime

from losslandscape.parallel.mpi4pytorch import LAUNCHER_VARIABLES, Serial

JOIN_SECONDS = 20
LEAVES, ENDS_ALL = (
    b".",
    b"!",
)  # farewells: the rank's work is done; it ends the job, and other ranks will be ended by that


@contextmanager
def watched(ranks: Serial) -> Iterator[None]:
    """Within the block, a rank that dies is named on standard error. Entered by all ranks."""
    if ranks.size == 1:
        yield
        return
    with socket.socket(socket.AF_UNIX) as watch:
        _join(watch, ranks)
        farewell = ENDS_ALL
        try:
            yield
            farewell = LEAVES
        finally:
            with suppress(OSError):  # there is no watch, or it was ended by the launcher or the system
                watch.sendall(farewell)


def _join(watch: socket.socket, ranks: Serial) -> None:
    """Connect this rank to its node's watch, which the node's first rank starts. A run without a watch is better than none."""
    with ExitStack() as until_all_have_joined:
        address = ""
        if ranks.local_rank == 0:
            try:
                folder = until_all_have_joined.enter_context(tempfile.TemporaryDirectory(prefix="ranks_"))
                address = _start(os.path.join(folder, "watch"), ranks.local_size)
            except OSError as error:  # a path too long for a socket, no room, no processes left
                print(
                    f"warning: if a rank of {platform.node()} dies, it is not named ({error})",
                    file=sys.stderr,
                )
        if address := ranks.gather_node(address)[0]:
            with suppress(OSError):  # the watch may have died at its start
                watch.connect(address)
                watch.sendall(f"rank {ranks.rank} (process {os.getpid()} on {platform.node()})".encode())
        ranks.gather_node(None)


def _start(address: str, count: int) -> str:
    """Start a watch of so many ranks, which connect to the address."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(count)
        subprocess.Popen(
            [sys.executable, "-S", __file__, str(listener.fileno()), str(count)],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=_environment_of_no_rank(),
        )
    return address


def _environment_of_no_rank() -> dict[str, str]:
    """The environment without what makes a launcher's process take itself for a rank."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in {name for names in LAUNCHER_VARIABLES for name in names}
    }


def first_dead(connections: list[socket.socket]) -> list[str]:
    """Wait until the first of the ranks at the other ends closes without a farewell, and return its name, or several that closed at one time.

    Returns none when all have said farewell, or one has ended the job.
    """
    said = dict.fromkeys(connections, b"")
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map():
            dead = []
            for key, _ in selector.select():
                try:
                    words = key.fileobj.recv(4096)
                except ConnectionError:
                    words = b""
                said[key.fileobj] += words
                if words:
                    continue
                selector.unregister(key.fileobj)
                if said[key.fileobj].endswith(ENDS_ALL):
                    return []
                if not said[key.fileobj].endswith(LEAVES):
                    dead.append(said[key.fileobj].decode())
            if dead:
                return dead
    return []


def main() -> None:
    handle, count = map(int, sys.argv[1:])
    with socket.socket(fileno=handle) as listener:
        listener.settimeout(JOIN_SECONDS)
        try:
            connections = [listener.accept()[0] for _ in range(count)]
        except TimeoutError:  # the job ended before all had joined
            return
    if dead := first_dead(connections):
        print(
            f"\n{datetime.now():%H:%M:%S.%f}: {' and '.join(dead)} died: killed (where memory ran out, the system does that) or crashed; "
            "the launcher ends the others, and of several such messages the earliest tells the cause",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    main()
