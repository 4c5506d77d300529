"""Measures a loss on a part of the data: with the fastest kernels, or the plain ones where NaN may hide."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from losslandscape.evaluate.cuda_graph import CapturedCall
from losslandscape.evaluate.forward_pass import ForwardPass
from losslandscape.evaluate.loss import Terms

# A mean of at most this size cannot hide that other samples overflowed float32, which ends at 3e38.
LARGEST_TRUSTED = 1e10


class DataPass:
    """A pass of a net over a part of the data.

    On a GPU the layers of the net may run faster kernels than the plain ones (`kernel_choice`). A faster
    kernel may turn NaN into zero, or spread it to other samples. So the plain kernels measure again if a
    sample, a tensor of the net or the loss may not be finite.

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
        """Run the pass once, so that its layers can choose their kernels.

        If the loss is not finite with the plain kernels, or huge, a sample may be so. Then only the plain
        kernels run from now on.

        Args:
            graph: whether to capture the pass as a CUDA graph.
        """
        if self._forward.joined:  # only joined layers have several kernels
            with self._forward.kernels.plain_only():
                self._is_plain = not _is_moderate(self._run())
        with self._kernels():
            if graph:
                self._graph = CapturedCall(self._run)
            else:
                self._run()

    def start(self) -> Terms:
        """Return the terms of the loss. A GPU may not have finished them yet."""
        if self._graph is not None:
            return self._graph()
        with self._kernels():
            return self._run()

    def trusted(self, terms: Terms) -> Terms:
        """Return the terms of `start`; measure them again with the plain kernels if NaN may hide in them."""
        kernels = self._forward.kernels
        if self._is_plain or not kernels.is_mixed:
            return terms
        if _is_moderate(terms) and self._forward.is_finite():
            return terms
        with kernels.plain_only():
            return self._run()

    def _kernels(self) -> AbstractContextManager:
        return self._forward.kernels.plain_only() if self._is_plain else nullcontext()


def _is_moderate(terms: Terms) -> bool:
    """Return whether all means are finite and far from overflow."""
    return bool(((terms.sums / terms.weight).abs() <= LARGEST_TRUSTED).all())
