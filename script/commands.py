"""Runs or prints the scripts of this checkout, alone or under mpirun."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from losslandscape.core.errors import InputError

REPO = Path(__file__).resolve().parent.parent


def run(command: list[str], *, ranks: int = 1, only_print: bool) -> None:
    """Run a script of this checkout to its end, or only print its command.

    Raises:
        SystemExit: if the script failed, with its exit status.
    """
    script, *flags = command
    if only_print:
        launcher = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
        print(shlex.join([*launcher, "python", os.path.relpath(REPO / script), *flags]))
        return
    launcher = [find_mpirun(ranks), "-n", str(ranks)] if ranks > 1 else []
    child = subprocess.Popen([*launcher, sys.executable, str(REPO / script), *flags])
    with signals_left_to(child):
        status = child.wait()
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def find_mpirun(ranks: int) -> str:
    """Return the path of mpirun; prefer the one that was installed with this Python."""
    folders = [os.path.dirname(sys.executable), os.environ.get("PATH", "")]
    mpirun = shutil.which("mpirun", path=os.pathsep.join(folders))
    if not mpirun:
        raise InputError(
            f"{ranks} ranks need mpirun, which is not installed", "pip install mpich, or leave {ranks} out"
        )
    return mpirun


@contextmanager
def signals_left_to(child: subprocess.Popen) -> Iterator[None]:
    """Let the child handle signals: it saves its measurements before it ends.

    Ctrl-C reaches the child by itself. SIGTERM is passed on.
    """
    handlers = {
        signal.SIGINT: lambda *_: None,
        signal.SIGTERM: lambda number, _: child.send_signal(number),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
