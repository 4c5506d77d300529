"""The kernels compute what torch computes, in Triton's interpreter, which needs no GPU."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from losslandscape.evaluate import kernels

REPO = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_all_cases():
    """In a process of their own: the interpreter must be on before Triton is imported."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(
        [*command, "-rs", "tests/evaluate/kernels/interpreted.py"],
        cwd=REPO,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    if " passed" not in run.stdout:
        pytest.skip(run.stdout.strip())


def test_kernels_are_not_available_without_a_device_or_without_triton(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert not kernels.available()
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setitem(sys.modules, "triton.language", None)  # an import of it raises
    assert not kernels.available()


@pytest.mark.parametrize(("capability", "is_enough"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_the_device_must_have_the_tensor_cores(capability, is_enough, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    monkeypatch.setattr(kernels, "_imports", lambda: True)
    assert kernels.available() is is_enough
    assert not kernels.available(torch.device("cpu"))
