"""Chooses the batches in which a loss is measured.

The mean of most losses does not depend on the batches, so the fastest size may be used. If it does depend on
them, as in contrastive losses, then the batches of the user's loader belong to the loss.
"""

from dataclasses import dataclass, field, replace

from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts
from losslandscape.core.text import with_type
from losslandscape.data.own_batches import OwnBatches
from losslandscape.data.samples import Samples, SampleSet
from losslandscape.evaluate.fit_check import check_data
from losslandscape.evaluate.loss import Loss
from losslandscape.evaluate.repeatability import Repeatability, examine
from losslandscape.parallel.mpi4pytorch import Serial

BATCH_SIZE = 128  # the published program's; used where the size matters and nothing says what it is


@dataclass(frozen=True)
class Batching:
    """The data in the batches in which a loss is measured.

    Attributes:
        sets: the data, by part.
        batch_size: the number of samples in a batch; None if any size gives the same loss.
        repeatability: how the loss of a few samples depends on how it is measured.
        facts: a fact on the batches, if the loss may depend on them, and one on random numbers that are not
            fixed.
        fix_randomness: whether every point gets the same random numbers.
        is_assumed: whether the loss may depend on the batches, and neither the user nor the data say their
            size.
    """

    sets: dict[str, Samples]
    batch_size: int | None
    repeatability: Repeatability
    facts: Facts = field(default_factory=dict)
    fix_randomness: bool = False
    is_assumed: bool = False

    @property
    def is_noisy(self) -> bool:
        """Whether two measurements of the same net differ."""
        is_drawn = self.repeatability.draws_random_numbers and not self.fix_randomness
        return is_drawn or not self.repeatability.is_repeatable


def choose_batches(
    net: nn.Module,
    sets: dict[str, Samples],
    loss: Loss,
    *,
    model: str,
    ranks: Serial,
    batch_size: int | None = None,
    fix_randomness: bool = False,
) -> Batching:
    """Choose the batches, the same on all ranks.

    Args:
        net: the net, on its device.
        sets: the data, by part; the first part is tried.
        loss: the loss to measure.
        model: the net's name in messages.
        ranks: all ranks; each calls this.
        batch_size: the user's number of samples in a batch; None to choose.
        fix_randomness: whether every point gets the same random numbers. Which sample gets which of them
            depends on the batches.

    Raises:
        InputError: on all ranks, if the net or the loss does not take the data.
    """
    repeatability = ranks.first(_examine, net, next(iter(sets.values())), loss, model)
    if repeatability.takes_any_batches and not fix_randomness:
        return Batching(sets, batch_size, repeatability)
    if batch_size is None or repeatability.only_whole:
        sets = {part: _own_batches(data) or data for part, data in sets.items()}
    are_own = all(isinstance(data, OwnBatches) for data in sets.values())
    size = batch_size or BATCH_SIZE
    facts = {"batches": ", ".join(_sizes(data, size) for data in sets.values())}
    if repeatability.draws_random_numbers and not fix_randomness:
        facts["random numbers"] = "new at every point"
    return Batching(
        sets,
        size,
        repeatability,
        facts,
        fix_randomness=fix_randomness,
        is_assumed=batch_size is None and not are_own,
    )


def _own_batches(data: Samples) -> OwnBatches | None:
    """Return samples that can be cut in the user's own batches, if they came in batches; else None."""
    return data.in_own_batches() if isinstance(data, SampleSet) else None


def _examine(net: nn.Module, data: Samples, loss: Loss, model: str) -> Repeatability:
    """Examine the loss on a few samples, or on whole batches of the user if it does not take fewer.

    Raises:
        InputError: if the net or the loss does not take the data.
    """
    try:
        return _checked(net, data, loss, model)
    except InputError:
        own_batches = _own_batches(data)
        if own_batches is None:
            raise
    return replace(_checked(net, own_batches, loss, model), only_whole=True)


def _checked(net: nn.Module, data: Samples, loss: Loss, model: str) -> Repeatability:
    check_data(net, data, loss, model)
    try:
        return examine(net, data, loss)
    except InputError:
        raise
    except Exception as error:  # the net's own code may raise anything
        fault = f"{model} takes a batch of the data, and then not another"
        raise InputError(
            f"{fault} ({with_type(error)})",
            "let it take batches of any size, and keep no state outside of its modules",
        ) from error


def _sizes(data: Samples, batch_size: int) -> str:
    """Return the sizes of batches as a fact, such as `of 64`; a smaller last batch does not count."""
    if not isinstance(data, OwnBatches):
        return f"of {batch_size}"
    *sizes, last = data.sizes
    if not sizes or last > sizes[0]:
        sizes.append(last)
    return f"of {min(sizes)}" if min(sizes) == max(sizes) else f"of {min(sizes)} to {max(sizes)}"
