"""The curvature of a net's mean loss over a data set, known by its products with vectors, and the extreme eigenvalues of its Hessian.

No matrix is ever formed: one of a net with n parameters would have n^2 entries. A product takes one pass over the data, batch by batch,
in the memory of one batch. It is the exact derivative, made by differentiating twice backwards; that takes less time than a forward
derivative of the gradient, and several vectors share the first half of it. bench/curvature.py has the figures, also for the reason why
curvlinops-for-pytorch is not used: its Hessian products take half as long again, its others as long or, of many vectors, a fifth less, and it
brings five more packages.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from losslandscape.core.errors import InputError
from losslandscape.curvature.lanczos import MOST_PRODUCTS, TOLERANCE, Eigen, eigenvalues
from losslandscape.data import samples
from losslandscape.data.samples import Batch, Samples
from losslandscape.measure import losses
from losslandscape.measure.batch_stream import batches
from losslandscape.measure.loss import Loss
from losslandscape.measure.losses import BuiltIn

KINDS = ("hessian", "gauss_newton", "fisher")
BATCH_SIZE = 128
ASYMMETRIC = 1e-3  # of the products' lengths: rounding in float32 is a thousand times less


class Curvature:
    """A symmetric matrix of the mean loss L = 1/N sum_i l(f(x_i), y_i) over all N samples, known by its products.

    With outputs f, J_i their derivative and g_i that of the loss of sample i by the parameters, the kinds are

        hessian         1/N sum_i  d^2 l_i / d theta^2
        gauss_newton    1/N sum_i  J_i^T (d^2 l_i / d f^2) J_i     (Schraudolph 2002; Martens, arXiv 1412.1193)
        fisher          1/N sum_i  g_i g_i^T, the empirical one    (Kunstner et al., arXiv 1905.12558)

    Products by the R-operator (Pearlmutter 1994) in reverse mode: H v = d(g . v)/d theta. The net is in evaluation mode during a
    product, is read anew by each, so it may be moved in between, and is left as it was.

    Args:
        net: on the device that is to compute.
        data: on the net's device, or on the CPU; then batches are copied.
        loss: one of `losses.LOSSES`, or for `hessian` any; of weighted samples the mean is weighted.
        batch_size: samples that are in memory at a time; the matrix does not depend on it.
        all_parameters: biases and batch norms' weights too, rather than only parameters of more than one dimension, as published.

    Raises `InputError` if there is no such parameter, for other kinds than `hessian` of a loss that is the user's function, and for a loss that cannot
    be differentiated twice.

    Attributes:
        names, sizes, dimension: of the parameters.
        asymmetry: by how much u H v and v H u differ for random vectors on two samples, relative to the products' lengths; beyond rounding where
            PyTorch's derivative of an operation is not the exact one.
    """

    def __init__(
        self,
        net: nn.Module,
        data: Samples,
        *,
        kind: str = "hessian",
        loss: str | Loss = "crossentropy",
        batch_size: int = BATCH_SIZE,
        all_parameters: bool = False,
    ):
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; choose from {', '.join(KINDS)}")
        self._loss = losses.find(loss)
        if kind != "hessian" and not isinstance(self._loss, BuiltIn):
            raise InputError(
                f"--kind {kind} needs the net's outputs, which --loss_name {self._loss.name} does not tell; take --kind hessian, or a built-in loss"
            )
        chosen = {
            name: tensor for name, tensor in net.named_parameters() if all_parameters or tensor.dim() > 1
        }
        if not chosen:
            raise InputError("the net has no parameter of more than one dimension; ask for all parameters")
        self._net, self._data, self._batch_size = net, data, batch_size
        self._batch_products = (
            self._hessian_products if kind == "hessian" else partial(self._outer_products, kind)
        )
        self._parameters = list(chosen.values())
        self.names = tuple(chosen)
        self.sizes = tuple(tensor.numel() for tensor in self._parameters)
        self.dimension = sum(self.sizes)
        self.dtype, self.device = self._parameters[0].dtype, self._parameters[0].device
        self._layout = torch.channels_last
        self.asymmetry = self._try_out()

    def _try_out(self) -> float:
        """Take two products over two samples, and return how far u H v is from v H u, relative to the lengths of the products.

        Raises `InputError` if the loss has no derivative.
        """
        tried = self._data.take(np.arange(min(2, len(self._data))))
        pair = torch.randn(2, self.dimension, generator=torch.Generator().manual_seed(0)).to(
            self.device, self.dtype
        )
        try:
            try:
                products = self._products(tried, pair)
            except (
                RuntimeError,
                InputError,
            ):  # a net that flattens its images by `view` needs their usual layout
                self._layout = torch.preserve_format
                products = self._products(tried, pair)
        except RuntimeError as error:
            raise InputError(
                f"the loss {self._loss.name} cannot be differentiated twice ({str(error).splitlines()[0]}); a loss that takes gradients inside must do it with "
                "create_graph=True"
            ) from error
        crossed = (pair * products.flip(0)).sum(1)
        length = float(torch.linalg.vector_norm(products))
        return float((crossed[0] - crossed[1]).abs()) / length if length else 0.0

    def __call__(self, vectors: Tensor) -> Tensor:
        """Products with one vector (n,) or with several (k, n), in one pass over the data -> the same shape.

        Entries are those of the parameters, flat, in the order of `names`. Batches are added up in the parameters' precision: some
        hundred additions lose less than the product of one batch does.
        """
        return self._products(self._data, vectors.unsqueeze(0) if vectors.dim() == 1 else vectors).view_as(
            vectors
        )

    def _products(self, data: Samples, rows: Tensor) -> Tensor:
        tensors = [self.split(row) for row in rows]
        total, weight = torch.zeros_like(rows), 0
        sums = [self.split(row) for row in total]
        with (
            _at_rest(
                self._net, list(self._net.parameters()) if self._loss.needs_gradients else self._parameters
            ),
            torch.enable_grad(),
        ):
            for batch in batches(data, self._batch_size, self.device):
                count, products = self._batch_products(samples.each(batch, self._fit), tensors)
                weight += count
                for row, product in zip(sums, products, strict=True):
                    torch._foreach_add_(row, product)
        return total.div_(weight)

    def _fit(self, tensor: Tensor) -> Tensor:
        """In the parameters' precision; images so that convolutions take a sixth less time on a CPU."""
        if not tensor.is_floating_point():
            return tensor
        return tensor.to(
            self.dtype, memory_format=self._layout if tensor.dim() == 4 else torch.preserve_format
        )

    def doubt(self) -> str:
        """A warning, if PyTorch's derivative is visibly not the exact one; else empty."""
        if not self.asymmetry > ASYMMETRIC:
            return ""
        return (
            f"warning: the matrix that PyTorch's derivatives make is not symmetric, by {100 * self.asymmetry:.2g} %, as of weight norm (whose second derivative is not "
            "exact) or of nets in half precision; what is computed from it is off by about as much"
        )

    def split(self, vector: Tensor) -> list[Tensor]:
        """Views of a vector (n,) in the shapes of the parameters."""
        return [
            part.view_as(tensor)
            for part, tensor in zip(vector.split(self.sizes), self._parameters, strict=True)
        ]

    def _hessian_products(
        self, batch: Batch, vectors: list[list[Tensor]]
    ) -> tuple[Tensor | float, Iterator[list[Tensor]]]:
        """The weight of the batch, and the products of its sum with each vector."""
        terms = self._loss.of(self._net, batch)
        self._require_gradient(terms.sums)
        gradient = self._backward(terms.sums[0].to(self.dtype), None, create_graph=True)
        varying = [i for i, part in enumerate(gradient) if part.requires_grad]

        def products() -> Iterator[list[Tensor]]:
            for left, vector in _countdown(vectors):
                yield self._backward(
                    [gradient[i] for i in varying], [vector[i] for i in varying], retain_graph=left > 0
                )

        return terms.weight, products()

    def _outer_products(
        self, kind: str, batch: Batch, vectors: list[list[Tensor]]
    ) -> tuple[Tensor | float, Iterator[list[Tensor]]]:
        """Likewise J^T M J v of outputs with derivative J: logits and the loss's Hessian M, or each sample's loss and M = 1.

        J v is the derivative of J^T u by u, so it takes reverse mode alone.
        """
        outputs = self._loss.outputs(self._net, batch)
        terms, middle = self._loss.of_outputs(outputs, batch), partial(self._loss_curvature, batch)
        if kind == "fisher":
            weights = 1 if terms.sample_weights is None else terms.sample_weights.sqrt()
            outputs, middle = terms.samples * weights, None
        self._require_gradient(outputs)
        seed = torch.ones_like(outputs, requires_grad=True)
        pulled = self._backward(outputs, seed, create_graph=True)
        varying = [i for i, part in enumerate(pulled) if part.requires_grad]

        def products() -> Iterator[list[Tensor]]:
            for left, vector in _countdown(vectors):
                pushed = (
                    grad([pulled[i] for i in varying], seed, [vector[i] for i in varying], retain_graph=True)[
                        0
                    ]
                    if varying
                    else torch.zeros_like(outputs)
                )
                yield self._backward(
                    outputs, middle(outputs, pushed) if middle else pushed, retain_graph=left > 0
                )

        return terms.weight, products()

    def _require_gradient(self, values: Tensor) -> None:
        if not values.requires_grad:
            raise InputError(
                f"the loss {self._loss.name} has no gradient by the parameters: the net does not use them, or net or loss computes under torch.no_grad, "
                "on detached tensors or by item()"
            )

    def _loss_curvature(self, batch: Batch, outputs: Tensor, tangents: Tensor) -> Tensor:
        """(d^2 l_i / d f^2) t_i for each sample i, in the outputs' shape."""
        outputs = outputs.detach().requires_grad_()
        (gradient,) = grad(
            self._loss.of_outputs(outputs, batch).sums[0].to(outputs.dtype), outputs, create_graph=True
        )
        return grad(gradient, outputs, tangents)[0]

    def _backward(
        self, outputs: Tensor | list[Tensor], seeds: Tensor | list[Tensor] | None, **graph: bool
    ) -> list[Tensor]:
        """Derivative of seeds . outputs by the parameters; zero where there is none."""
        outputs, seeds = ([outputs], [seeds]) if isinstance(outputs, Tensor) else (outputs, seeds)
        if not any(output.requires_grad for output in outputs):
            return [torch.zeros_like(tensor) for tensor in self._parameters]
        return list(
            grad(outputs, self._parameters, seeds, allow_unused=True, materialize_grads=True, **graph)
        )


def _countdown(vectors: list[list[Tensor]]) -> Iterator[tuple[int, list[Tensor]]]:
    """Each vector with how many come after it: while any does, the graph is kept."""
    return ((len(vectors) - 1 - i, vector) for i, vector in enumerate(vectors))


@contextmanager
def _at_rest(net: nn.Module, parameters: list[nn.Parameter]) -> Iterator[None]:
    """The net in evaluation mode with gradients for these parameters alone, inside this block.

    Batch norms are computed as what they then are, a fixed scale and shift: PyTorch's own second derivative of them is slow.
    """
    modes = {module: module.training for module in net.modules()}
    flags = {tensor: tensor.requires_grad for tensor in net.parameters()}
    norms = [
        module
        for module in modes
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
        and module.running_mean is not None
        and "forward" not in vars(module)
    ]
    try:
        net.eval().requires_grad_(False)
        for tensor in parameters:
            tensor.requires_grad_()
        for norm in norms:
            norm.forward = partial(_scale_and_shift, norm)
        with sdpa_kernel(SDPBackend.MATH):  # the others of attention have no second derivative
            yield
    finally:
        for norm in norms:
            vars(norm).pop("forward", None)
        for tensor, flag in flags.items():
            tensor.requires_grad_(flag)
        for module, mode in modes.items():
            module.training = mode


def _scale_and_shift(norm: _BatchNorm, x: Tensor) -> Tensor:
    """A batch norm in evaluation mode: x gamma / sqrt(var + eps) + beta - mean gamma / sqrt(var + eps)."""
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    shape = (-1, *[1] * (x.dim() - 2))
    return torch.addcmul(shift.view(shape), x, scale.view(shape)).to(x.dtype)


def extreme_eigenvalues(
    matrix: Curvature, *, tolerance: float = TOLERANCE, most_products: int = MOST_PRODUCTS, seed: int = 0
) -> tuple[Eigen, Eigen]:
    """The smallest and the largest eigenvalue at the net as it is now: of the Hessian, what the paper's convexity maps show.

    The published program's are these times its number of batches; the ratio is the same. The start vector is that of the `seed` at every
    call, so a value does not depend on what was measured before.
    """
    (low,), (high,) = eigenvalues(matrix, tolerance=tolerance, most_products=most_products, seed=seed)
    return low, high
