"""A CUDA graph on a CPU: replays the operations of a function on the same memory, and none of its Python."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
# Operations that wait for a GPU, or copy numbers to it from memory that it cannot read.
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.lift_fresh.default,  # of torch.tensor
}


class RecordedCall:
    """What `CapturedCall` is on a GPU; but it records its first call, and a function that waits fails."""

    captured = True

    def __init__(self, function, *, warm_up=True, memory=None):
        self._function = function
        self._recording: _Recording | None = None
        if warm_up:
            function()

    def __call__(self):
        if self._recording is None:
            self._recording = _Recording()
            with self._recording:
                self._result = self._function()
        else:
            self._recording.replay()
        return self._result


class _Recording(TorchDispatchMode):
    """Keeps all operations in the block with their arguments and results, of which none loses its memory."""

    def __init__(self):
        super().__init__()
        self._calls: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        is_mask = "index" in func.name() and any(x.dtype is torch.bool for x in inputs[1:])
        assert func not in WAITING and not is_mask, f"{func} waits for the GPU"
        results = func(*args, **kwargs)
        known = {_memory(tensor) for tensor in inputs}
        new = [_is_tensor(leaf) and _memory(leaf) not in known for leaf in tree_leaves(results)]
        self._calls.append((func, args, kwargs, tree_leaves(results), new))
        return results

    @torch.inference_mode()
    def replay(self) -> None:
        for func, args, kwargs, results, new in self._calls:
            again = tree_leaves(func(*args, **kwargs))
            for own, value, is_new in zip(results, again, new, strict=True):
                if is_new:  # no view, and not written in place
                    own.copy_(value)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _is_tensor(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.numel() > 0
