"""Chooses the batches in which a loss is measured.

The mean of most losses does not depend on the batches, so the fastest size may be used. If it does depend on
them, as in contrastive losses, then the batches of the user's loader belong to the loss.
"""

from dataclasses import dataclass, field

from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts
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
        facts: a fact on the batches, if the loss depends on them, and on random numbers that are not fixed.
        fix_randomness: whether every point gets the same random numbers.
        is_assumed: whether the loss depends on the batches, and neither the user nor the data say their size.
        repeatability: how the loss of a few samples depends on how it is measured; None if the loss only
            takes whole batches of the user.
    """

    sets: dict[str, Samples]
    batch_size: int | None
    repeatability: Repeatability | None
    facts: Facts = field(default_factory=dict)
    fix_randomness: bool = False
    is_assumed: bool = False

    @property
    def is_noisy(self) -> bool:
        """Whether two measurements of the same net differ."""
        found = self.repeatability
        if found is None:
            return False
        return not found.is_repeatable or (found.draws_random_numbers and not self.fix_randomness)


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
    found = ranks.first(_examine, net, next(iter(sets.values())), loss, model)
    if found and not (fix_randomness or found.depends_on_batches or found.has_state):
        facts = {"random numbers": "new at every point"} if found.draws_random_numbers else {}
        return Batching(sets, batch_size, found, facts)
    own = {part: data.in_own_batches() for part, data in sets.items() if isinstance(data, SampleSet)}
    if batch_size is None or found is None:
        sets = {part: own.get(part) or data for part, data in sets.items()}
    are_own = all(isinstance(data, OwnBatches) for data in sets.values())
    size = batch_size or BATCH_SIZE
    return Batching(
        sets,
        size,
        found,
        facts={"batches": ", ".join(_sizes(data, size) for data in sets.values())},
        fix_randomness=fix_randomness,
        is_assumed=batch_size is None and not are_own,
    )


def _examine(net: nn.Module, data: Samples, loss: Loss, model: str) -> Repeatability | None:
    """Examine the loss; return None if it takes only the user's own batches."""
    try:
        check_data(net, data, loss, model)
        return examine(net, data, loss)
    except InputError:
        if not isinstance(data, SampleSet) or data.in_own_batches() is None:
            raise
        return None


def _sizes(data: Samples, batch_size: int) -> str:
    """Return the sizes of batches as a fact, such as `of 64`; the last batch may be smaller."""
    if not isinstance(data, OwnBatches):
        return f"of {batch_size}"
    sizes = set(data.sizes[:-1] if data.sizes[-1] <= data.sizes[0] else data.sizes) or {data.sizes[0]}
    return f"of {min(sizes)}" if len(sizes) == 1 else f"of {min(sizes)} to {max(sizes)}"
