"""The folder of a training: checkpoints by epoch, a log, and TensorBoard curves with the learning rate."""

import glob
import itertools
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.files.atomic_file import replacing
from losslandscape.trajectory import checkpoint_files
from losslandscape.trajectory.checkpoint_files import MIN_CHECKPOINTS

LOG = "log.out"
# The published program's line; test_top1 is the test error.
LOG_LINE = "e: %d loss: %.5f train_err: %.3f test_top1: %.3f test_loss %.5f\n"
LOG_EPOCH = re.compile(r"e: (\d+) ")
LEARNING_RATE = "lr"  # name of the curve in the TensorBoard log
CPU_SETTINGS = {"fused": None, "capturable": False}  # of an optimizer
MIDDLE_EPOCH = 150  # always kept: the last epoch before the learning rate first falls


def is_kept(epoch: int, save_epoch: int, *, last: int) -> bool:
    """Return whether the checkpoint of an epoch is kept; that of the last epoch always is."""
    return epoch in (0, 1, MIDDLE_EPOCH, last) or epoch % save_epoch == 0


def save_checkpoint(
    folder: Path, net: nn.Module, optimizer: torch.optim.Optimizer, *, epoch: int, accuracy: float
) -> None:
    """Write `model_N.t7` and `opt_state_N.t7`, with tensors on the CPU, so that any machine loads them."""
    state = {name: _on_cpu(tensor) for name, tensor in net.state_dict().items()}
    _save(folder / f"opt_state_{epoch}.t7", {"optimizer": _optimizer_state(optimizer)})
    _save(folder / f"model_{epoch}.t7", {"acc": accuracy, "epoch": epoch, "state_dict": state})


def _optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return an optimizer's state as it is on a CPU, without the settings for kernels of a GPU."""
    state = optimizer.state_dict()
    buffers = {
        index: {name: _on_cpu(value) for name, value in values.items()}
        for index, values in state["state"].items()
    }
    groups = [
        {name: CPU_SETTINGS.get(name, value) for name, value in group.items()}
        for group in state["param_groups"]
    ]
    return {**state, "state": buffers, "param_groups": groups}


def _on_cpu(value: Any) -> Any:
    """Return a tensor on the CPU, in the usual memory layout; return other values unchanged."""
    return value.cpu().contiguous() if isinstance(value, torch.Tensor) else value


def _save(path: Path, content: dict[str, Any]) -> None:
    with replacing(path, lasting=True) as part:
        torch.save(content, part)


def start_log(folder: Path, last_epoch: int) -> None:
    """Create the folder, and cut its log after `last_epoch`: the training writes later epochs again."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / LOG
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    epochs = [LOG_EPOCH.match(line) for line in lines]
    kept = [line for line, epoch in zip(lines, epochs, strict=True) if epoch and int(epoch[1]) <= last_epoch]
    with replacing(log) as part:
        Path(part).write_text("".join(kept))


def find_checkpoints(
    folder: str, *, prefix: str, suffix: str, start: int, end: int, step: int
) -> dict[int, str]:
    """Find the checkpoints `<folder>/<prefix><epoch><suffix>`, by epoch.

    The number in a name may begin with zeros, as in `model_007.t7`.

    Args:
        folder: the folder of a training.
        prefix, suffix: the parts of a file's name before and after the epoch.
        start, end: the first and the last epoch.
        step: number of epochs from one checkpoint to the next; the last step may be shorter.

    Raises:
        InputError: if the folder or a file does not exist, or if there are fewer than three epochs.
    """
    if not os.path.isdir(folder):
        fault = f"there is no folder {folder!r}"
        raise InputError(fault, "give the {model_folder} with the checkpoints of a training")
    epochs = [*range(start, end, step), end]
    advice = "give other {start_epoch}, {max_epoch} and {save_epoch}"
    if len(epochs) < MIN_CHECKPOINTS or start > end:
        fault = f"epochs {start} to {end} in steps of {step} are fewer than {MIN_CHECKPOINTS} checkpoints"
        raise InputError(f"{fault}, and a plane needs that many", advice)
    paths = _checkpoints(folder, prefix, suffix)
    for epoch in epochs:
        if epoch not in paths:
            path = os.path.join(folder, f"{prefix}{epoch}{suffix}")
            if not paths:
                fault = f"epoch {epoch} is missing, and {folder} has no file {prefix}<epoch>{suffix}"
                raise InputError(
                    f"{path}: {fault}", _pattern_advice(checkpoint_files.suggest(folder)) or advice
                )
            others = f"the {len(paths)} that {folder} has, {min(paths)} to {max(paths)}"
            fits_all = _pattern_advice(f"{glob.escape(prefix)}*{glob.escape(suffix)}")
            fault = f"{path}: epoch {epoch} is missing among {others}"
            raise InputError(fault, f"{advice}, or for all of these {fits_all}")
    return {epoch: paths[epoch] for epoch in epochs}


def _pattern_advice(pattern: str) -> str:
    """Return advice to give a pattern, in which braces would be options; empty without a pattern."""
    return f"give {{pattern}} '{re.sub('[{}]', '?', pattern)}'" if pattern else ""


def _checkpoints(folder: str, prefix: str, suffix: str) -> dict[int, str]:
    """Return all checkpoints of a folder by epoch. If an epoch has several files, use the shortest name."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)" + re.escape(suffix))
    paths: dict[int, str] = {}
    for name in sorted(os.listdir(folder), key=len, reverse=True):
        match, path = pattern.fullmatch(name), os.path.join(folder, name)
        if match and os.path.isfile(path):
            paths[int(match[1])] = path
    return paths


def learning_rate_drops(folder: str) -> list[int]:
    """Return the epochs where the learning rate falls; an empty list if no TensorBoard log has the rate."""
    if not glob.glob(os.path.join(glob.escape(folder), "*tfevents*")):
        return []
    # Takes seconds to import.
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    log = EventAccumulator(folder, size_guidance={SCALARS: 0}).Reload()
    if LEARNING_RATE not in log.Tags()[SCALARS]:
        return []
    rate_of = {event.step: event.value for event in log.Scalars(LEARNING_RATE)}
    steps = itertools.pairwise(sorted(rate_of))
    return [epoch for before, epoch in steps if rate_of[epoch] < rate_of[before]]
