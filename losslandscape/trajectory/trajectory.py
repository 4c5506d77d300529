"""The checkpoints of a training, as the rows theta_i - theta_last of a matrix that is never in memory whole.

300 checkpoints of 25 million weights are 30 GB. Each file is read and checked once, whole. After that it is mapped, and a pass over the
matrix goes from left to right in blocks of as many columns (weights) as memory allows, so that each number is read once a pass however many
blocks there are. A file that cannot be mapped (before PyTorch 1.6, or a pickle of more than tensors) is read whole for each block.
"""

import glob
import os
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays, fingerprint_of_file
from losslandscape.nets import model_loader, net_plotter, net_tensors
from losslandscape.nets.checkpoint import read_checkpoint, rename, state_of

MEMORY = (
    3 * 2**28
)  # bytes of a block: with PyTorch, a net of 25 million weights and two directions below 2 GiB
PIECE = 4096  # columns that are float64 at a time
FEWEST = 3  # checkpoints: two lie on a line
LEARNING_RATE = "lr"  # what cifar10/main.py calls it in its TensorBoard log


def find_files(folder: str, *, prefix: str, suffix: str, start: int, end: int, step: int) -> dict[int, str]:
    """The checkpoint files `<folder>/<prefix><epoch><suffix>` by epoch: from `start` every `step`, and `end`, which is always the last.

    An epoch may have zeros before it, as in `model_007.t7`.

    Raises:
        InputError: naming the folder, or the first file, that is not there; for fewer than three epochs.
    """
    if not os.path.isdir(folder):
        raise InputError(
            f"there is no folder {folder!r}; give the --model_folder with the checkpoints of a training"
        )
    epochs = [*range(start, end, step), end]
    if len(epochs) < FEWEST or start > end:
        raise InputError(
            f"epochs {start} to {end} in steps of {step} are fewer than {FEWEST} checkpoints, and a plane needs that many; "
            "give other --start_epoch, --max_epoch and --save_epoch"
        )
    there = _files_there(folder, prefix, suffix)
    for epoch in epochs:
        if epoch not in there:
            others = (
                f" among the {len(there)} that {folder} has, {min(there)} to {max(there)}"
                if there
                else f", and {folder} has no file {prefix}<epoch>{suffix}"
            )
            raise InputError(
                f"{os.path.join(folder, f'{prefix}{epoch}{suffix}')}: epoch {epoch} is missing{others}; give other --start_epoch, --max_epoch and --save_epoch"
            )
    return {epoch: there[epoch] for epoch in epochs}


def _files_there(folder: str, prefix: str, suffix: str) -> dict[int, str]:
    """The checkpoint files of a folder by epoch; of several of one epoch the one of the shortest name."""
    name = re.compile(re.escape(prefix) + r"(\d+)" + re.escape(suffix))
    found = [
        (int(match[1]), os.path.join(folder, match[0]))
        for match in map(name.fullmatch, os.listdir(folder))
        if match
    ]
    return {
        epoch: file for epoch, file in sorted(found, key=lambda pair: -len(pair[1])) if os.path.isfile(file)
    }


@dataclass(frozen=True)
class Trajectory:
    """Checkpoints that have been read once and fit one net.

    files: in order; the last is the origin. tensors: those that a direction has, in its order, by name. biases: those of them that `biasbn` leaves out.
    keys: what each of these tensors is called in each file. mapped: the files that can be. states: size and time of each file when it was checked.
    fingerprint, origin: of all files, and of the last.
    """

    files: list[str]
    tensors: dict[str, Tensor]
    biases: frozenset[str]
    keys: dict[str, dict[str, str]]
    mapped: frozenset[str]
    states: dict[str, tuple[int, int]]
    fingerprint: str
    origin: str
    state_key: str
    unsafe_pickle: bool

    def names(self, ignore: str = "") -> list[str]:
        """The tensors that count: BN's counters of batches, whole numbers, never move; with `biasbn` nor do biases and all of norm layers."""
        return [
            name
            for name, tensor in self.tensors.items()
            if tensor.is_floating_point() and not (ignore == "biasbn" and name in self.biases)
        ]

    def pieces(self, *, ignore: str = "", memory: int = MEMORY, title: str = "") -> Iterator[np.ndarray]:
        """A pass over the matrix: float64 arrays of all rows and some columns, from left to right, in blocks of `memory` bytes; shows its progress."""
        sizes = {name: self.tensors[name].numel() for name in self.names(ignore)}
        width = max(1, memory // (4 * len(self.files)))
        cuts = list(cut(sizes, width))
        with tqdm(
            total=len(cuts) * len(self.files), desc=title, unit="file", disable=None, leave=False
        ) as progress:
            for slices in cuts:
                block = np.empty(
                    (len(self.files), sum(stop - start for _, start, stop in slices)), np.float32
                )
                for row, file in zip(block, self.files, strict=True):
                    state, keys = self._read(file), self.keys[file]
                    np.concatenate(
                        [
                            state[keys[name]].reshape(-1)[start:stop].float().numpy()
                            for name, start, stop in slices
                        ],
                        out=row,
                    )
                    progress.update()
                for start in range(0, block.shape[1], PIECE):
                    piece = block[:, start : start + PIECE].astype(np.float64)
                    yield piece - piece[-1]

    def vector(self, direction: net_plotter.Direction) -> np.ndarray:
        """A direction's numbers (columns,), float32, in the order of the columns of `pieces()`."""
        by_name = dict(zip(self.tensors, direction, strict=True))
        return np.concatenate([by_name[name].numpy().ravel() for name in self.names()])

    def direction(self, vector: np.ndarray, *, ignore: str = "") -> list[np.ndarray]:
        """The other way, from the columns of `pieces(ignore=ignore)`: arrays of the tensors' shapes, zero where nothing counts."""
        counted, arrays, start = set(self.names(ignore)), [], 0
        for name, tensor in self.tensors.items():
            if name in counted:
                arrays.append(vector[start : start + tensor.numel()].reshape(tensor.shape))
                start += tensor.numel()
            else:
                arrays.append(np.zeros(tensor.shape, np.float32))
        return arrays

    def put(self, file: str, net: nn.Module) -> None:
        """Give a net, on any device, all tensors of one of the checkpoints: its BN statistics too, whatever a direction has."""
        model_loader.load_state(net, self._read(file), what=file)

    def _read(self, file: str) -> Mapping[str, Tensor]:
        if _state(file) != self.states[file]:
            raise InputError(f"{file}: was changed while it was read; wait until the training has ended")
        if file in self.mapped:
            return _map(file, self.state_key)
        return read_checkpoint(file, state_key=self.state_key, unsafe_pickle=self.unsafe_pickle).state


def read(
    files: list[str], net: nn.Module, dir_type: str, *, state_key: str = "", unsafe_pickle: bool = False
) -> Trajectory:
    """Read and check every checkpoint; the net ends with the weights of the last.

    Raises:
        InputError: naming the first file, and in it the tensor, that does not fit the net or is not finite.
    """
    mapped, keys, states, prints = set(), {}, {}, []
    aliases = {tensor.names[0]: tensor.names for tensor in net_tensors.tensors(net, dir_type)}
    for file in tqdm(files, desc="checkpoints checked", unit="file", disable=None, leave=False):
        saved = read_checkpoint(file, state_key=state_key, unsafe_pickle=unsafe_pickle)
        model_loader.load_state(net, saved.state, what=file, candidates=saved.candidates)
        for name, tensor in net_plotter.moving_tensors(net, dir_type).items():
            if not torch.isfinite(tensor).all():
                raise InputError(
                    f"{file}: tensor {name!r} holds NaN or infinity; end before it with --max_epoch"
                )
        keys[file] = _keys(saved.state, net, aliases)
        states[file] = _state(file)
        prints.append(fingerprint_of_file(file))
        if _map(file, state_key).keys() == saved.state.keys():
            mapped.add(file)
    fingerprint = fingerprint_of_arrays([np.frombuffer("".join(prints).encode(), np.uint8)])
    return Trajectory(
        files,
        net_plotter.moving_tensors(net, dir_type),
        net_plotter.ignored(net, dir_type, "biasbn"),
        keys,
        frozenset(mapped),
        states,
        fingerprint,
        prints[-1],
        state_key,
        unsafe_pickle,
    )


def _keys(
    state: Mapping[str, Tensor], net: nn.Module, aliases: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """What the tensors of a net, by their names, are called in a state that fits it; a tied tensor may have another of its names there."""
    fitted = rename(state, net)
    called = {id(tensor): key for key, tensor in state.items()}
    there = {
        name: next((alias for alias in names if alias in fitted), None) for name, names in aliases.items()
    }
    return {name: called[id(fitted[alias])] for name, alias in there.items() if alias is not None}


def cut(sizes: Mapping[str, int], width: int) -> Iterator[list[tuple[str, int, int]]]:
    """Cut things of these sizes, laid end to end, into parts of `width`, the last one of what is left.

    >>> list(cut({"a": 3, "b": 2}, 4))
    [[('a', 0, 3), ('b', 0, 1)], [('b', 1, 2)]]
    """
    part, room = [], width
    for name, size in sizes.items():
        start = 0
        while start < size:
            stop = min(size, start + room)
            part.append((name, start, stop))
            room -= stop - start
            start = stop
            if room == 0:
                yield part
                part, room = [], width
    if part:
        yield part


def learning_rate_drops(folder: str) -> list[int]:
    """The epochs whose learning rate is below that of the epoch before, as a TensorBoard log in the folder tells; none without one."""
    if not glob.glob(os.path.join(glob.escape(folder), "*tfevents*")):
        return []
    from tensorboard.backend.event_processing.event_accumulator import (  # takes seconds to import
        SCALARS,
        EventAccumulator,
    )

    log = EventAccumulator(folder, size_guidance={SCALARS: 0}).Reload()
    if LEARNING_RATE not in log.Tags()[SCALARS]:
        return []
    rates = sorted({event.step: event.value for event in log.Scalars(LEARNING_RATE)}.items())
    return [epoch for (_, before), (epoch, rate) in zip(rates, rates[1:], strict=False) if rate < before]


def _state(file: str) -> tuple[int, int]:
    found = os.stat(file)
    return found.st_size, found.st_mtime_ns


def _map(file: str, state_key: str) -> Mapping[str, Tensor]:
    """The tensors of a checkpoint that `read_checkpoint` has found good, mapped and not read; none if it cannot be mapped."""
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError):
        return {}
    return state_of(saved, state_key=state_key, what=file)
