"""Run a user's script of a peer, and write what it measured, the state that it left, and when points ended.

    PEERS_PROBLEM=FILE python bench/peer_scripts/probe.py gradfield

bench/peers.py runs this in the peer's own environment and in an empty folder. With PEERS_STOP=N:SIGNAL the
process sends itself that signal at its N-th point; with PEERS_ENDS=N it ends there and writes only the times.
"""

import copy
import importlib
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any

import capture
import numpy as np
import torch
from torch import nn

OUT = "out.pt"
HERE = Path(__file__).resolve().parent
# One call a point; the others take the batches of the loader.
ONE_PASS = {"gradfield", "loss_landscapes", "pylandscape"}


class Points:
    """Notes when each point ends: a point is some calls of a method."""

    def __init__(self, owner: type, name: str, calls_a_point: int) -> None:
        self.ends: list[float] = []
        self._calls, self._calls_a_point = 0, calls_a_point
        stop_at, _, number = os.environ.get("PEERS_STOP", "0:0").partition(":")
        self._stop_at, self._signal = int(stop_at), int(number)
        self._end_at = int(os.environ.get("PEERS_ENDS", "0"))
        method = getattr(owner, name)

        def noted(*args: Any) -> Any:
            result = method(*args)
            self._note()
            return result

        setattr(owner, name, noted)

    def _note(self) -> None:
        self._calls += 1
        if self._calls % self._calls_a_point:
            return
        self.ends.append(time.perf_counter())
        if len(self.ends) == self._end_at:
            torch.save({"ends": self.ends}, OUT)
            os._exit(0)
        if len(self.ends) == self._stop_at:
            os.kill(os.getpid(), self._signal)


def points_of(script: str, net: nn.Module, batches: int) -> Points:
    if script == "ours":
        owner = importlib.import_module("losslandscape.measure.loss_measure").LossMeasure
        return Points(owner, "values", 1)
    if script == "published":
        return Points(importlib.import_module("cifar10.models.resnet").ResNet_cifar, "forward", batches)
    return Points(type(net), "forward", 1 if script in ONE_PASS else batches)


def main(script: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    plane_of = capture.PEERS[script.removesuffix("_copied").removesuffix("_eigenvectors")]()
    from problem import loader, net

    points = points_of(script, net, len(loader))
    torch.manual_seed(0)
    np.random.seed(0)
    before, training = copy.deepcopy(net.state_dict()), net.training
    names = runpy.run_path(str(HERE / f"use_{script}.py"))
    after = net.state_dict()
    result = {
        "plane": vars(plane_of(net, names)),
        "changed": [name for name in before if not torch.equal(before[name], after[name])],
        "mode kept": net.training == training,
        "ends": points.ends,
    }
    torch.save(result, OUT)


if __name__ == "__main__":
    main(*sys.argv[1:])
