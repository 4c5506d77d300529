"""Captures a function on a GPU as one CUDA graph, launched once for all layers and batches."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


class CapturedCall(Generic[T]):
    """A function without arguments that is replayed as a CUDA graph.

    The tensors that the function reads must keep their memory; a replay reads their present values. Each
    call writes its result into the same tensors. If the capture fails, for example because a net waits for
    the device, each call runs the function itself.

    Args:
        function: computes on the current GPU, and returns tensors on this GPU.
        warm_up: whether to call the function once before the capture. If not, the caller has called it.
    """

    def __init__(self, function: Callable[[], T], *, warm_up: bool = True):
        self._function = function
        if warm_up:
            self._warm_up()
        self._graph: torch.cuda.CUDAGraph | None = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self._graph):
                self._result = function()
        except RuntimeError:
            self._graph = None
            torch.cuda.synchronize()

    @property
    def captured(self) -> bool:
        """Whether each call replays a graph."""
        return self._graph is not None

    def __call__(self) -> T:
        if self._graph is None:
            return self._function()
        self._graph.replay()
        return self._result

    def _warm_up(self) -> None:
        """Run once on another stream: libraries choose algorithms then, which a graph cannot capture."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._function()
        torch.cuda.current_stream().wait_stream(stream)
