"""Programs that a benchmark starts, seen from outside. The module needs Linux."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

END_SECONDS = 30  # for a program to end after it is asked to


def family(root: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if fields := stat_fields(int(folder.name)):
            parent = int(fields[1])
            children.setdefault(parent, []).append(int(folder.name))
    members = [root]
    for pid in members:
        members.extend(children.get(pid, []))
    return members


def stat_fields(pid: int) -> list[str]:
    """Return state, parent and what follows in /proc/PID/stat; empty when the process has ended."""
    _, _, after_name = read(Path(f"/proc/{pid}/stat")).rpartition(")")  # a name may hold anything
    return after_name.split()


def has_ended(pid: int) -> bool:
    return stat_fields(pid)[:1] in ([], ["Z"])


def all_end_within(pids: Iterable[int], seconds: float) -> bool:
    """Wait up to `seconds` for processes to end; return whether all have ended."""
    pids = list(pids)
    until = time.time() + seconds
    while time.time() < until:
        if all(map(has_ended, pids)):
            return True
        time.sleep(0.05)
    return False


def read(path: Path) -> str:
    """Return a file of /proc; empty when the process has ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def end(process: subprocess.Popen) -> None:
    """End a program and its ranks: first by a request, which a launcher passes on, then by force."""
    process.terminate()
    try:
        process.communicate(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in family(process.pid):
            kill(pid)
        process.communicate()
