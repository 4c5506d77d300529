"""Defines the interface of a loss, which returns sums and a weight for each batch.

Sums and weights are added over batches, so a value does not depend on the split of the data into batches.
`losses` has the built-in losses, and `own_loss` wraps the user's function.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from losslandscape.data.samples import Batch

Net = Callable[..., object]


class Terms(NamedTuple):
    """The terms that one or more batches contribute to the means over all data.

    Attributes:
        sums: (k,) float64, one sum for each quantity, the loss first.
        weight: the weight of the batches, a number or a tensor (). A mean is total sum / total weight.
        samples: (N,) the loss of each sample; None if it is not known.
        sample_weights: (N,) the samples' weights in the mean; None if all are 1.
    """

    sums: Tensor
    weight: Tensor | float
    samples: Tensor | None = None
    sample_weights: Tensor | None = None


class Loss:
    """A loss, which may have further quantities, such as an accuracy.

    Attributes:
        name: the user's name for the loss.
        needs_gradients: whether gradients may be taken inside the loss.
        weighs: whether the loss itself gave the weight of the last batch.
    """

    name: str
    needs_gradients = False
    weighs = True

    def of(self, net: Net, batch: Batch) -> Terms:
        """Return the terms of a batch."""
        raise NotImplementedError

    def quantities(self, net: Net, batch: Batch) -> list[str]:
        """Return the names of the quantities; the first is `loss`."""
        raise NotImplementedError

    def probe(self, net: Net, batch: Batch) -> Tensor:
        """Return values that are equal for two nets only if the nets compute equal outputs."""
        raise NotImplementedError

    def finish(self, means: dict[str, float]) -> dict[str, float]:
        """Return the means by name, with the quantities that are computed from them."""
        return means
