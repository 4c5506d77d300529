"""The processes of `bench/large.py`: the program watched from inside, and the plain loop.

    python bench/large_child.py program ARGUMENTS_OF_PLOT_SURFACE
    python bench/large_child.py plain JSON

Each prints what it measured as JSON in its last line.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import gpt
from losslandscape.cli import plot_surface
from losslandscape.parallel.progress import Progress


def program(argv: list[str]) -> dict[str, Any]:
    """Run `plot_surface.py`; return its scheduler's seconds of each point, and the peaks of the GPU."""
    seconds: list[float] = []
    add = Progress.add

    def noted(self: Progress, rank: int, values: dict[str, float], took: float) -> None:
        seconds.append(took)
        add(self, rank, values, took)

    Progress.add = noted  # type: ignore[method-assign]
    plot_surface.main(argv)
    return {"seconds": seconds, **device_peaks()}


def device_peaks() -> dict[str, int]:
    """Return the most bytes that tensors took on the GPU, and that torch reserved there."""
    if not torch.cuda.is_available():
        return {}
    return {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}


@torch.inference_mode()
def plain(
    checkpoint: str, width: int, layers: int, tokens: int, device: str, points: list[float], dir_file: str
) -> dict[str, Any]:
    """Measure the loss as a plain loop does, which moves the net's tensors one by one.

    The seconds are those of the forward pass alone.
    """
    net = gpt.net(width, layers)
    with safe_open(checkpoint, "pt") as file:
        for name, tensor in net.state_dict().items():
            tensor.copy_(file.get_tensor(name))
    net, data = net.to(device), gpt.data()["input_ids"][: tokens // gpt.LENGTH].to(device)
    losses, seconds = [], []
    for point in points:
        move(net, checkpoint, dir_file, point)
        begin = time.perf_counter()
        losses.append(float(torch.stack([loss(net, row) for row in data.split(1)]).mean()))
        seconds.append(time.perf_counter() - begin)
    return {"losses": losses, "seconds": seconds}


def loss(net: nn.Module, tokens: Tensor) -> Tensor:
    scores = net(tokens)[:, :-1].float()
    return F.cross_entropy(scores.flatten(0, 1), tokens[:, 1:].flatten())


def move(net: nn.Module, checkpoint: str, dir_file: str, step: float) -> None:
    """Put each parameter at its place in the checkpoint plus a step along the direction of the file."""
    with safe_open(checkpoint, "pt") as weights, h5py.File(dir_file) as directions:
        for number, (name, parameter) in enumerate(net.named_parameters()):
            direction = _values(directions[f"xdirection/{number}"][()]).float()
            parameter.copy_(weights.get_tensor(name).float().add(direction, alpha=step))


def _values(array: np.ndarray) -> Tensor:
    """Return the numbers of a direction file, where bfloat16 is two bytes without a type."""
    if array.dtype.kind == "V":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    print(json.dumps(program(rest) if kind == "program" else plain(**json.loads(rest[0]))))
