"""A matrix with a row theta_i - theta_last for each checkpoint of a training, never whole in memory.

300 checkpoints of 25 million weights are 30 GB. Each file is read once as a whole, and checked. After that,
the file is mapped into memory. A pass over the matrix goes from left to right, in blocks of as many columns
(weights) as memory allows, so each value is read once per pass. Files from before PyTorch 1.6 and pickles of
more than tensors cannot be mapped. Such a file is read as a whole for each block. So is an adapter, and the
file of a net that loads in its own way: its tensors are those of a net that has loaded it.
"""

import copy
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays, fingerprint_of_file
from losslandscape.core.weight_files import files_of, find
from losslandscape.nets import net_plotter, net_tensors, own_loading
from losslandscape.nets.checkpoint import Checkpoint, read_checkpoint, state_of
from losslandscape.nets.state_loading import load_state
from losslandscape.nets.tensor_names import rename

# Bytes of a block. With PyTorch and two directions of 25 million weights, the process needs under 2 GiB.
MEMORY = 3 * 2**28
PIECE = 4096  # columns that are converted to float64 at a time

Slice = tuple[str, int, int]  # name of a tensor, and the range of its entries from start to stop


@dataclass(frozen=True)
class CheckpointMatrix:
    """Checkpoints that have been read once and fit one net.

    Attributes:
        files: one file per row; the last file is the origin.
        tensors: tensors of the last checkpoint by name, in the order of a direction's tensors.
        biases: names of the tensors that `biasbn` ignores.
        keys: for each file, the key of each tensor in it, by name.
        mapped: the files that can be mapped.
        loader: a net to load the files into, if a file's tensors may not be those of the net; else None.
        stamps: size and modification time of each file when it was checked.
        fingerprint, origin: fingerprints of all files, and of the last file.
        state_key, unsafe_pickle: options of `read_checkpoint` for these files.
    """

    files: list[str]
    tensors: dict[str, Tensor]
    biases: frozenset[str]
    keys: dict[str, dict[str, str]]
    mapped: frozenset[str]
    loader: nn.Module | None
    stamps: dict[str, tuple[int, int]]
    fingerprint: str
    origin: str
    state_key: str
    unsafe_pickle: bool

    def names(self, ignore: str = "") -> list[str]:
        """Return the names of the tensors whose entries are columns.

        Integer tensors (the batch counters of BN) have no columns. With `biasbn`, biases and norm layers have
        none either.
        """
        ignored = self.biases if ignore == "biasbn" else frozenset()
        floating = [name for name, tensor in self.tensors.items() if tensor.is_floating_point()]
        return [name for name in floating if name not in ignored]

    def pieces(self, *, ignore: str = "", memory: int = MEMORY, title: str = "") -> Iterator[np.ndarray]:
        """Make one pass over the matrix, from left to right.

        Args:
            ignore: `biasbn` to leave out biases and norm layers.
            memory: size in bytes of a block, which is read at once.
            title: title of the progress bar.

        Yields:
            Arrays of all rows and some columns, float64.
        """
        sizes = {name: self.tensors[name].numel() for name in self.names(ignore)}
        columns = max(1, memory // (4 * len(self.files)))
        blocks = list(cut(sizes, columns))
        total = len(blocks) * len(self.files)
        with tqdm(total=total, desc=title, unit="file", disable=None, leave=False) as bar:
            for slices in blocks:
                block = self._read_block(slices, bar)
                for start in range(0, block.shape[1], PIECE):
                    piece = block[:, start : start + PIECE].astype(np.float64)
                    yield piece - piece[-1]

    def _read_block(self, slices: list[Slice], bar: tqdm) -> np.ndarray:
        """Return the checkpoints' entries in these slices (rows, columns), float32."""
        columns = sum(stop - start for _, start, stop in slices)
        block = np.empty((len(self.files), columns), np.float32)
        for row, file in zip(block, self.files, strict=True):
            state = self._read(file)
            keys = self.keys[file]
            parts = [state[keys[name]].reshape(-1)[start:stop] for name, start, stop in slices]
            np.concatenate([part.float().numpy() for part in parts], out=row)
            bar.update()
        return block

    def vector(self, direction: net_plotter.Direction) -> np.ndarray:
        """Return the entries of a direction (columns,), float32, in the column order of `pieces()`."""
        by_name = dict(zip(self.tensors, direction, strict=True))
        return np.concatenate([by_name[name].float().numpy().ravel() for name in self.names()])

    def direction(self, vector: np.ndarray, *, ignore: str = "") -> list[np.ndarray]:
        """Return the tensors of a direction from a vector over the columns; ignored tensors are zero.

        Args:
            vector: (columns,) in the order of the columns of `pieces(ignore=ignore)`.
            ignore: `biasbn` if biases and norm layers have no columns.
        """
        names = set(self.names(ignore))
        arrays, start = [], 0
        for name, tensor in self.tensors.items():
            if name in names:
                arrays.append(vector[start : start + tensor.numel()].reshape(tensor.shape))
                start += tensor.numel()
            else:
                arrays.append(np.zeros(tensor.shape, np.float32))
        return arrays

    def load_into(self, net: nn.Module, file: str) -> None:
        """Load a checkpoint, with its BN statistics, into a net on any device."""
        if self.loader is None:
            load_state(net, self._read(file), what=file)
        else:
            net.load_state_dict(self._read(file))

    def _read(self, file: str) -> Mapping[str, Tensor]:
        if _stamp(file) != self.stamps[file]:
            raise InputError(f"{file}: was changed while it was read", "wait until the training has ended")
        if self.loader is not None:
            load(self.loader, file, state_key=self.state_key, unsafe_pickle=self.unsafe_pickle)
            return self.loader.state_dict()
        if file in self.mapped:
            return _map(file, self.state_key)
        return read_checkpoint(file, state_key=self.state_key, unsafe_pickle=self.unsafe_pickle).state


def read(
    files: list[str], net: nn.Module, dir_type: str, *, state_key: str = "", unsafe_pickle: bool = False
) -> CheckpointMatrix:
    """Read and check every checkpoint. Afterwards the net has the weights of the last checkpoint.

    Args:
        files: at least one file, in the order of the rows.
        net: a net of the checkpoints' model.
        dir_type: `weights`, or `states`: rows then include the BN statistics.
        state_key, unsafe_pickle: options of `read_checkpoint`.

    Raises:
        InputError: if a tensor does not fit the net or is not finite. The message names the file and tensor.
    """
    mapped, keys, stamps, fingerprints = set(), {}, {}, []
    shapes: dict[str, torch.Size] = {}
    needs_loader = own_loading.has_own_loading(net)
    aliases = {tensor.names[0]: tensor.names for tensor in net_tensors.tensors(net, dir_type)}
    for file in tqdm(files, desc="checkpoints checked", unit="file", disable=None, leave=False):
        saved = load(net, file, state_key=state_key, unsafe_pickle=unsafe_pickle)
        needs_loader = needs_loader or saved.is_adapter
        _require_finite(net, dir_type, file)
        shapes = shapes or _shapes(net, dir_type)
        if _shapes(net, dir_type) != shapes:
            fault = f"{file}: its statistics have other shapes than those of {files[0]}"
            raise InputError(fault, "give {dir_type:weights}")
        keys[file] = _keys(saved.state, net, aliases)
        stamps[file] = _stamp(file)
        fingerprints.append(fingerprint_of_file(file))
        if _map(file, state_key).keys() == saved.state.keys():
            mapped.add(file)
    if needs_loader:
        keys = dict.fromkeys(files, {name: name for name in aliases})
    return CheckpointMatrix(
        files=files,
        tensors=net_tensors.moving_tensors(net, dir_type),
        biases=net_tensors.ignored(net, dir_type, "biasbn"),
        keys=keys,
        mapped=frozenset(mapped),
        loader=copy.deepcopy(net) if needs_loader else None,
        stamps=stamps,
        fingerprint=fingerprint_of_arrays([np.frombuffer("".join(fingerprints).encode(), np.uint8)]),
        origin=fingerprints[-1],
        state_key=state_key,
        unsafe_pickle=unsafe_pickle,
    )


def load(net: nn.Module, file: str, *, state_key: str, unsafe_pickle: bool) -> Checkpoint:
    """Load a checkpoint into a net, and return what the file holds."""
    saved = read_checkpoint(file, state_key=state_key, unsafe_pickle=unsafe_pickle)
    load_state(net, saved.state, what=file, candidates=saved.candidates, is_adapter=saved.is_adapter)
    return saved


def _shapes(net: nn.Module, dir_type: str) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in net_tensors.moving_tensors(net, dir_type).items()}


def _require_finite(net: nn.Module, dir_type: str, file: str) -> None:
    for name, tensor in net_tensors.moving_tensors(net, dir_type).items():
        if not torch.isfinite(tensor).all():
            fault = f"{file}: tensor {name!r} holds NaN or infinity"
            raise InputError(fault, "end before this epoch with {max_epoch}")


def _keys(
    state: Mapping[str, Tensor], net: nn.Module, aliases: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Return the key of each tensor of the net in a checkpoint's state, by tensor name.

    Args:
        state: the checkpoint's tensors by key, which fit the net.
        net: a net whose names may differ from the keys by a prefix.
        aliases: all names of each tensor. The state may hold a tied tensor under any of its names.
    """
    fitted = rename(state, net)
    key_of = {id(tensor): key for key, tensor in state.items()}
    keys = {}
    for name, names in aliases.items():
        present = [alias for alias in names if alias in fitted]
        if present:
            keys[name] = key_of[id(fitted[present[0]])]
    return keys


def cut(sizes: Mapping[str, int], width: int) -> Iterator[list[Slice]]:
    """Lay tensors of these sizes end to end, and cut them into parts of `width` entries.

    >>> list(cut({"a": 3, "b": 2}, 4))
    [[('a', 0, 3), ('b', 0, 1)], [('b', 1, 2)]]
    """
    part: list[Slice] = []
    room = width
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


def _stamp(file: str) -> tuple[int, int]:
    """Return the size and the modification time of a checkpoint, which change when it is written."""
    parts = [os.stat(part) for part in files_of(file)]
    return sum(part.st_size for part in parts), max(part.st_mtime_ns for part in parts)


def _map(file: str, state_key: str) -> Mapping[str, Tensor]:
    """Return the mapped tensors of a checked checkpoint, or nothing if the file cannot be mapped."""
    try:
        saved = torch.load(find(file), map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, OSError, UnicodeError, pickle.UnpicklingError):  # names that are no UTF-8
        return {}
    return state_of(saved, state_key=state_key, what=file)
