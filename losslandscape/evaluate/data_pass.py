"""Measures a loss on a part of the data, by the fastest kernels where these can be trusted."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from losslandscape.evaluate.cuda_graph import CapturedCall
from losslandscape.evaluate.forward_pass import ForwardPass
from losslandscape.evaluate.loss import Terms

# A mean of at most this size cannot hide that other samples overflowed float32, which ends at 3e38.
LARGEST_TRUSTED = 1e10


class DataPass:
    """A pass of a net over a part of the data.

    On a GPU the layers of the net run other kernels than the plain ones (`kernel_choice`). These may hide
    what is not a number, or spread it to other samples. So the plain kernels measure again where something
    may not be finite: a sample, the net, or what it computes.

    Args:
        run: computes the terms of the loss, without waiting for the device.
        forward: the net that `run` calls.
    """

    def __init__(self, run: Callable[[], Terms], forward: ForwardPass):
        self._run, self._forward = run, forward
        self._graph: CapturedCall[Terms] | None = None
        self._is_plain = False

    @property
    def captured(self) -> bool:
        """Whether the pass is replayed as a CUDA graph."""
        return self._graph is not None and self._graph.captured

    def prepare(self, *, graph: bool) -> None:
        """Run the pass, so that layers may choose their kernels; perhaps capture it as a CUDA graph.

        If the plain kernels find a mean that is not finite, a sample may not be finite, and they alone are
        used from now on.
        """
        if self._forward.joined:  # other layers have no other kernels
            with self._forward.kernels.plain_only():
                self._is_plain = not bool(self._run().sums.isfinite().all())
        with self._kernels():
            if graph:
                self._graph = CapturedCall(self._run)
            else:
                self._run()

    def start(self) -> Terms:
        """Start to compute the terms, and return them. A GPU may still compute them."""
        if self._graph is not None:
            return self._graph()
        with self._kernels():
            return self._run()

    def trusted(self, terms: Terms) -> Terms:
        """Return the terms of `start`, or those of the plain kernels where others may be wrong."""
        kernels = self._forward.kernels
        if self._is_plain or not kernels.is_mixed:
            return terms
        is_small = bool(((terms.sums / terms.weight).abs() <= LARGEST_TRUSTED).all())
        if is_small and self._forward.is_finite():
            return terms
        with kernels.plain_only():
            return self._run()

    def _kernels(self) -> AbstractContextManager:
        return self._forward.kernels.plain_only() if self._is_plain else nullcontext()
