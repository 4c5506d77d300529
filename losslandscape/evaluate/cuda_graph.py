"""Captures a function on a GPU as one CUDA graph, launched once for all layers and batches."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from losslandscape.data import structure

T = TypeVar("T")


class CapturedCall(Generic[T]):
    """A function without arguments that is replayed as a CUDA graph.

    The tensors that the function reads must keep their memory; a replay reads their present values. Each
    call writes its result into the same tensors. If the capture fails, for example because a net waits for
    the device, each call runs the function itself.

    Args:
        function: computes on the current GPU, and returns tensors on this GPU.
        warm_up: whether to call the function once before the capture. If not, the caller has called it.
        memory: the `torch.cuda.graph_pool_handle` of several graphs of which only one runs at a time.
    """

    def __init__(self, function: Callable[[], T], *, warm_up: bool = True, memory: Any = None):
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        if warm_up:
            self._warm_up()
        self._capture(memory or torch.cuda.graph_pool_handle())

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

    def _capture(self, memory: Any) -> None:
        """Capture the function, unless that fails.

        Graphs of several streams may run at once. cuBLAS computes in memory that belongs to a stream, so each
        of them is captured on its own stream.
        """
        current, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
        own = None if current == torch.cuda.default_stream() else current
        try:
            with torch.cuda.graph(graph, pool=memory, stream=own):
                self._result = self._function()
            self._graph = graph
        except RuntimeError:
            _clean_up(current, memory)


def _clean_up(stream: torch.cuda.Stream, memory: Any) -> None:
    """Undo what a failed capture leaves behind: its stream, its memory, and its mode of drawing numbers."""
    torch.cuda.set_stream(stream)
    torch.cuda.synchronize()
    with suppress(RuntimeError):  # the capture may have ended in order
        torch._C._cuda_endAllocateToPool(stream.device_index, memory)
    generator = torch.cuda.default_generators[stream.device_index]
    generator.graphsafe_set_state(generator.clone_state())


class CapturedFunction(Generic[T]):
    """A function of batches and tensors, replayed as a CUDA graph: one for each shape of its arguments.

    A call copies its arguments into the graph's own, and writes its result into the same tensors as the last
    call with these shapes. All graphs share the memory that they compute in.

    Args:
        function: computes on the current GPU, and returns tensors on this GPU.
    """

    def __init__(self, function: Callable[..., T]):
        self._function = function
        self._calls: dict[object, tuple[list[Tensor], CapturedCall[T]]] = {}
        self._memory: Any = None

    def __call__(self, *arguments: object) -> T:
        given = structure.tensors(arguments)
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in given)
        if shapes not in self._calls:
            self._calls[shapes] = self._capture(arguments)
        own, call = self._calls[shapes]
        for tensor, value in zip(own, given, strict=True):
            tensor.copy_(value)
        return call()

    def _capture(self, arguments: tuple[object, ...]) -> tuple[list[Tensor], CapturedCall[T]]:
        self._memory = self._memory or torch.cuda.graph_pool_handle()
        own = structure.each(arguments, torch.clone)
        return structure.tensors(own), CapturedCall(partial(self._function, *own), memory=self._memory)
