"""Products of the curvature matrix of one batch with vectors, by automatic differentiation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd import grad

from losslandscape.core.errors import InputError
from losslandscape.data.samples import Batch
from losslandscape.evaluate.loss import Loss
from losslandscape.evaluate.losses import BuiltIn

KINDS = ("hessian", "gauss_newton", "fisher")

Parts = list[Tensor]  # a vector (n,) in the shapes of the parameters, or k vectors, with a first axis k


class Multiply(Protocol):
    """Multiplies with a vector, or with `is_grads_batched` with k vectors in one backward pass."""

    def __call__(self, parts: Parts, *, retain_graph: bool, is_grads_batched: bool) -> Parts: ...


@dataclass(frozen=True)
class BatchProducts:
    """Computes products of the curvature matrix of a batch, summed over its samples.

    Attributes:
        net: the net, in evaluation mode while this computes.
        loss: the loss of a batch.
        kind: one of `KINDS`; `hess_vec_prod.Curvature` describes them.
        parameters: the parameters that the matrix covers, in the order of their entries in a vector.
    """

    net: nn.Module
    loss: Loss
    kind: str
    parameters: list[nn.Parameter]

    def __call__(
        self, batch: Batch, rows: Tensor, *, together: bool = False
    ) -> tuple[Tensor, Tensor | float]:
        """Return the products with k vectors (k, n), in this shape, and the weight of the batch.

        Args:
            together: whether one backward pass computes all products, by vmap. By default each vector has
                its own backward pass, which is faster on a CPU.
        """
        weight, multiply = self._matrix(batch)
        products = torch.empty_like(rows)
        if together:
            parts = multiply(self.split(rows), retain_graph=False, is_grads_batched=True)
            torch._foreach_copy_(self.split(products), parts)
            return products, weight
        for left, row, product in zip(range(len(rows))[::-1], rows, products, strict=True):
            parts = multiply(self.split(row), retain_graph=left > 0, is_grads_batched=False)
            torch._foreach_copy_(self.split(product), parts)
        return products, weight

    def split(self, rows: Tensor) -> Parts:
        """Return views of a vector (n,), or of k vectors (k, n), in the shapes of the parameters."""
        sizes = [parameter.numel() for parameter in self.parameters]
        parts = zip(rows.split(sizes, dim=-1), self.parameters, strict=True)
        return [part.view(*rows.shape[:-1], *parameter.shape) for part, parameter in parts]

    def _matrix(self, batch: Batch) -> tuple[Tensor | float, Multiply]:
        """Return the weight of the batch, and the function that multiplies with its matrix."""
        if not isinstance(self.loss, BuiltIn) or self.kind == "hessian":
            return self._hessian(batch)
        if self.kind == "gauss_newton":
            return self._gauss_newton(self.loss, batch)
        return self._fisher(self.loss, batch)

    def _hessian(self, batch: Batch) -> tuple[Tensor | float, Multiply]:
        """Return the product H v = d(g . v)/d theta, with g the gradient of the batch's summed loss."""
        terms = self.loss.of(self.net, batch)
        require_gradient(self.loss, terms.sums)
        loss = terms.sums[0].to(self.parameters[0].dtype)
        gradient = self._backward([loss], None, create_graph=True)
        varying = [i for i, part in enumerate(gradient) if part.requires_grad]

        def multiply(parts: Parts, **how: bool) -> Parts:
            return self._backward([gradient[i] for i in varying], [parts[i] for i in varying], **how)

        return terms.weight, multiply

    def _gauss_newton(self, loss: BuiltIn, batch: Batch) -> tuple[Tensor | float, Multiply]:
        """Return the product J^T M J v, with M the Hessian of the loss by the outputs."""
        outputs = loss.outputs(self.net, batch)
        require_gradient(self.loss, outputs)
        weight = loss.of_outputs(outputs, batch).weight
        return weight, self._outer(outputs, partial(_output_curvature, loss, batch, outputs))

    def _fisher(self, loss: BuiltIn, batch: Batch) -> tuple[Tensor | float, Multiply]:
        """Return the product J^T J v, with J the derivative of each sample's loss."""
        terms = loss.of_outputs(loss.outputs(self.net, batch), batch)
        assert terms.samples is not None  # every built-in loss returns them
        weighted = terms.samples
        if terms.sample_weights is not None:
            weighted = weighted * terms.sample_weights.sqrt()
        require_gradient(self.loss, weighted)
        return terms.weight, self._outer(weighted)

    def _outer(self, outputs: Tensor, middle: Callable[..., Tensor] | None = None) -> Multiply:
        """Return the product J^T M J v, with J the derivative of the outputs.

        J v is the derivative of J^T u by u, so reverse mode is enough.

        Args:
            middle: multiplies by M; None means M = 1.
        """
        seed = torch.ones_like(outputs, requires_grad=True)
        pulled = self._backward([outputs], [seed], create_graph=True)
        varying = [i for i, part in enumerate(pulled) if part.requires_grad]

        def multiply(parts: Parts, *, retain_graph: bool, is_grads_batched: bool) -> Parts:
            if not varying:
                return self._zeros()
            pulls, seeds = [pulled[i] for i in varying], [parts[i] for i in varying]
            (pushed,) = grad(pulls, seed, seeds, retain_graph=True, is_grads_batched=is_grads_batched)
            curved = middle(pushed, is_grads_batched=is_grads_batched) if middle else pushed
            how = {"retain_graph": retain_graph, "is_grads_batched": is_grads_batched}
            return self._backward([outputs], [curved], **how)

        return multiply

    def _backward(self, outputs: Parts, seeds: Parts | None, **how: bool) -> Parts:
        """Return the derivative of seeds . outputs by the parameters, which is zero for unused parameters."""
        if not any(output.requires_grad for output in outputs):
            return self._zeros()
        return list(grad(outputs, self.parameters, seeds, allow_unused=True, materialize_grads=True, **how))

    def _zeros(self) -> Parts:
        return [torch.zeros_like(parameter) for parameter in self.parameters]


def require_gradient(loss: Loss, values: Tensor) -> None:
    """Raise `InputError` unless values that the loss computed have a gradient by the parameters."""
    if not values.requires_grad:
        raise InputError(
            f"the loss {loss.name} has no gradient by the parameters: the net does not use them, "
            "or net or loss computes under torch.no_grad, on detached tensors or with item()"
        )


def _output_curvature(
    loss: BuiltIn, batch: Batch, outputs: Tensor, tangents: Tensor, *, is_grads_batched: bool
) -> Tensor:
    """Return (d^2 l_i / d f^2) t_i for the tangent t_i of each sample i, in the shape of the tangents."""
    outputs = outputs.detach().requires_grad_()
    total = loss.of_outputs(outputs, batch).sums[0].to(outputs.dtype)
    (gradient,) = grad(total, outputs, create_graph=True)
    return grad(gradient, outputs, tangents, is_grads_batched=is_grads_batched)[0]
