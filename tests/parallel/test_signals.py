"""Signals save what is measured, and end the program with their own exit status."""

import signal
import subprocess
import sys

import pytest

from losslandscape.parallel.signals import interruptible
from tests.helpers import REPO


@pytest.mark.slow
def test_a_second_signal_does_not_end_the_saving():
    """In a process of its own: signals are ignored from the first one on."""
    code = """
import os, signal, threading, time
from losslandscape.parallel import scheduler
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.parallel.signals import Interrupted, interruptible

class Results:
    size, recorded, saved = 9, [], []
    def set(self, point, values):
        self.recorded.append(point)
    def save(self):
        time.sleep(0.5)
        self.saved[:] = self.recorded

def measure(point):
    if point == 3:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        os.kill(os.getpid(), signal.SIGINT)
    return {"value": point}

try:
    with interruptible():
        scheduler.run(range(9), measure, Results(), Serial())
except Interrupted as interrupted:
    print(interrupted.status, Results.recorded, Results.saved)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["130 [0, 1, 2] [0, 1, 2]"], done.stderr


def test_signals_work_again_after_an_undisturbed_block():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
