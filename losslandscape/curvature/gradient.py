"""The gradient of a net's mean loss, and the gradient that sharpness-aware minimisation takes."""

from functools import partial

import torch
from torch import Tensor, nn

from losslandscape.core.random_state import fixed_randomness
from losslandscape.curvature.batch_products import require_gradient
from losslandscape.curvature.evaluation_mode import evaluation_mode
from losslandscape.data.samples import Samples
from losslandscape.data.structure import each
from losslandscape.evaluate.batch_stream import batches
from losslandscape.evaluate.loss import Loss
from losslandscape.nets.moving import moving
from losslandscape.nets.net_tensors import moving_tensors, wide

Gradient = dict[str, Tensor]  # by the names of the parameters

SAM_RADIUS = 0.05  # rho of the ascent step: the default of Foret et al. 2021, section 3.1


def mean_gradient(
    net: nn.Module, data: Samples, loss: Loss, *, batch_size: int, fix_randomness: bool = False
) -> Gradient:
    """Return the gradient of the mean loss by every parameter, with the net in evaluation mode.

    Args:
        net: the net, on the device that computes.
        data: samples on the net's device, or on the CPU.
        loss: the loss; if samples have weights, its mean is weighted.
        batch_size: number of samples in memory at a time.
        fix_randomness: whether every call gets the same random numbers.

    Raises:
        InputError: if the loss has no gradient by the parameters.
    """
    parameters = {name: p for name, p in net.named_parameters() if p.is_floating_point()}
    values = list(parameters.values())
    dtype, device = values[0].dtype, values[0].device
    totals = [torch.zeros_like(value, dtype=wide(value.dtype)) for value in values]
    weight: Tensor | float = 0

    def fit(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    with evaluation_mode(net, values), torch.enable_grad(), fixed_randomness(fix_randomness):
        for batch in batches(data, batch_size, device):
            terms = loss.of(net, each(batch, fit))
            require_gradient(loss, terms.sums)
            parts = torch.autograd.grad(terms.sums[0], values, allow_unused=True, materialize_grads=True)
            torch._foreach_add_(totals, [part.to(wide(part.dtype)) for part in parts])
            weight += terms.weight
    torch._foreach_div_(totals, float(weight))  # of a net on several GPUs, the weight is on one
    return dict(zip(parameters, totals, strict=True))


def sam_gradient(
    net: nn.Module, data: Samples, loss: Loss, *, batch_size: int, fix_randomness: bool = False
) -> Gradient:
    """Return the gradient at theta + rho g / |g|, where g is the gradient at the net's theta.

    It is the gradient by which sharpness-aware minimisation moves a net (Foret et al., ICLR 2021, equations 2
    and 3), here over all data, in evaluation mode, with rho = `SAM_RADIUS`. The arguments are those of
    `mean_gradient`. Afterwards the net is at theta.
    """
    gradient_here = partial(
        mean_gradient, net, data, loss, batch_size=batch_size, fix_randomness=fix_randomness
    )
    gradient = gradient_here()
    length = sum(float(part.double().square().sum()) for part in gradient.values()) ** 0.5
    ascent = [
        gradient.get(name, torch.zeros_like(tensor))
        for name, tensor in moving_tensors(net, "weights").items()
    ]
    with moving(net, [ascent], "weights") as move:
        move((SAM_RADIUS / length if length else 0.0,))
        return gradient_here()
