"""Wraps the user's own loss: a function of the net and a batch, whose result is checked at each call."""

from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.data import structure
from losslandscape.data.samples import Batch
from losslandscape.evaluate.loss import Loss, Net, Terms

# The names under which a function returns the loss of each sample, and the samples' weights in the mean.
SAMPLES = "samples"
SAMPLE_WEIGHTS = "sample_weights"
PER_SAMPLE = (SAMPLES, SAMPLE_WEIGHTS)
# The names of the program's own quantities, which a function may not use.
RESERVED = ("loss", "loss_se", "loss_diff_se", "regularised_loss")
RETURNS = (
    "return the mean loss of the batch as a scalar, or (mean, weight), or "
    '(mean, weight, {{"name": mean value}})'  # doubled braces: advice is a format string
)


class OwnLoss(Loss):
    """A loss that calls the user's function of net and batch. The function may take gradients.

    The function returns one of:
        mean: the mean loss over the batch.
        (mean, weight): also the weight of the batch, which is the number of samples by default.
        (mean, weight, values): also further means by name. Two names are special: `samples` (N,) holds the
            loss of each sample, and `sample_weights` (N,) the samples' weights in the mean, 1 by default.

    Args:
        name: the user's name for the function.
        function: the function, which is called with net and batch.
    """

    needs_gradients = True

    def __init__(self, name: str, function: Callable[[Net, Batch], object]):
        self.name = name
        self._function = function
        self._title = f"the loss {name}"
        self._value_names: list[str] | None = None  # in the order of the first call

    def of(self, net: Net, batch: Batch) -> Terms:
        mean, weight, values = self._call(net, batch)
        sample_losses = values.pop(SAMPLES, None)
        sample_weights = values.pop(SAMPLE_WEIGHTS, None)
        device = structure.tensors(batch)[0].device
        means = torch.stack([_scalar(value, device) for value in (mean, *values.values())])
        if isinstance(weight, Tensor):
            weight = weight.detach().double().reshape(())
            # The mean over a batch of weight 0 is NaN, which must not spread to the sum.
            return Terms(torch.where(weight > 0, means * weight, 0.0), weight, sample_losses, sample_weights)
        sums = means * weight if weight else torch.zeros_like(means)
        return Terms(sums, float(weight), sample_losses, sample_weights)

    def quantities(self, net: Net, batch: Batch) -> list[str]:
        _, _, values = self._call(net, batch)
        return ["loss", *(name for name in values if name not in PER_SAMPLE)]

    def probe(self, net: Net, batch: Batch) -> Tensor:
        return self.of(net, batch).sums

    def _call(self, net: Net, batch: Batch) -> tuple[Tensor | float, Tensor | float, dict[str, Tensor]]:
        """Call the function, and return mean, weight and values by name, in the same order at each call."""
        result = user_code.call(self._function, net, batch, what=self._title)
        returned = result if isinstance(result, tuple) else (result,)
        if not 1 <= len(returned) <= 3:
            self._refuse(f"a tuple of {len(returned)}")
        count = structure.size(batch)
        mean = returned[0]
        self.weighs = len(returned) > 1
        weight = returned[1] if self.weighs else count or 1
        values = returned[2] if len(returned) > 2 else {}
        self._check(mean, weight, values, count)
        if self._value_names is None:
            self._value_names = list(values)
        if set(values) != set(self._value_names):
            now, before = (", ".join(names) or "none" for names in (values, self._value_names))
            self._refuse(f"the values {now} where it returned {before} before")
        return mean, weight, {name: values[name] for name in self._value_names}

    def _check(self, mean: object, weight: object, values: object, count: int | None) -> None:
        if not isinstance(values, dict):
            self._refuse(f"a {type(values).__name__} as the third value")
        for name, value in {"the loss": mean, "the weight": weight, **values}.items():
            if name in PER_SAMPLE:
                if not isinstance(value, Tensor) or value.shape != (len(value) if count is None else count,):
                    self._refuse(f"{describe(value)} as {name}, where the batch has {count} samples")
            elif not _is_scalar(value):
                self._refuse(f"{describe(value)} as {name}")
        for name in values:
            if not isinstance(name, str) or not name.isidentifier() or name in RESERVED:
                self._refuse(f"a value of the name {name!r}, which no quantity can have")

    def _refuse(self, returned: str) -> NoReturn:
        raise InputError(f"{self._title} returned {returned}", RETURNS)


def describe(value: object) -> str:
    """Describe a tensor by its shape, and anything else by its type, for a message."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    return f"a {type(value).__name__}"


def _is_scalar(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex()
    return isinstance(value, int | float)


def _scalar(value: Tensor | float, device: torch.device) -> Tensor:
    return torch.as_tensor(value, device=device).double().reshape(())
