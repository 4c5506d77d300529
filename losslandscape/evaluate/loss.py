"""The interface of a loss: for each batch it returns sums and a weight.

Sums and weights are added over batches, so a value does not depend on how the data is cut into batches.
`losses` has the built-in losses, and `own_loss` wraps the user's function.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from losslandscape.data.samples import Batch

Net = Callable[..., object]


class Terms(NamedTuple):
    """The contribution of one or more batches to the means over all data.

    Attributes:
        sums: (k,) float64, one sum for each quantity, the loss first.
        weight: number, or tensor (). The total of the sums is divided by the total weight.
        samples: (N,) the loss of each sample; None if it is not known.
        sample_weights: (N,) the samples' weights in the mean; None if all are 1.
    """

    sums: Tensor
    weight: Tensor | float
    samples: Tensor | None = None
    sample_weights: Tensor | None = None


class Loss:
    """A loss with further quantities, such as an accuracy.

    Attributes:
        name: the loss as the user named it.
        needs_gradients: whether gradients may be taken inside the loss.
    """

    name: str
    needs_gradients = False

    def of(self, net: Net, batch: Batch) -> Terms:
        """The terms of a batch."""
        raise NotImplementedError

    def quantities(self, net: Net, batch: Batch) -> list[str]:
        """The names of the quantities; the first is `loss`."""
        raise NotImplementedError

    def probe(self, net: Net, batch: Batch) -> Tensor:
        """Numbers that agree for two nets only if both compute the same."""
        raise NotImplementedError

    def finish(self, means: dict[str, float]) -> dict[str, float]:
        """The means by name, and the quantities that are computed from the means."""
        return means
