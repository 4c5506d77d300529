"""The curvature of a net's mean loss over a data set, known by its products with vectors, and its extreme eigenvalues.

No matrix is ever formed: one of a net with n parameters would have n^2 entries. A product takes one pass over the data, batch by batch,
in the memory of one batch. It is the exact derivative, made by differentiating twice backwards; that takes less time than a forward
derivative of the gradient, and several vectors share the first half of it. bench/curvature.py has the figures, also for the reason why
curvlinops-for-pytorch is not used: its Hessian products take half as long again, its others as long or, of many vectors, a fifth less, and it
brings five more packages.
"""
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

import losses
import samples
from errors import InputError
from evaluation import Samples, batches
from losses import BuiltIn, Loss
from samples import Batch

KINDS = ("hessian", "gauss_newton", "fisher")
BATCH_SIZE = 128
TOLERANCE = 1e-3  # relative to an eigenvalue
NEAR_ZERO = 1e-2  # of the largest absolute eigenvalue: those below are told apart no finer than one of this size
MOST_PRODUCTS = 500
BASIS_SIZE = 80  # vectors: restarts are rare below this
BASIS_MEMORY = 2 * 2**30  # bytes
ROUNDING = 10  # machine epsilons, relative to the matrix: a vector that short is rounding


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

    Raises `InputError` if there is no such parameter, and for other kinds than `hessian` of a loss that is the user's function.
    """

    def __init__(self, net: nn.Module, data: Samples, *, kind: str = "hessian", loss: str | Loss = "crossentropy", batch_size: int = BATCH_SIZE,
                 all_parameters: bool = False):
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; choose from {', '.join(KINDS)}")
        self._loss = losses.find(loss)
        if kind != "hessian" and not isinstance(self._loss, BuiltIn):
            raise InputError(f"--kind {kind} needs the net's outputs, which --loss_name {self._loss.name} does not tell; take --kind hessian, or a built-in loss")
        chosen = {name: tensor for name, tensor in net.named_parameters() if all_parameters or tensor.dim() > 1}
        if not chosen:
            raise InputError("the net has no parameter of more than one dimension; ask for all parameters")
        self._net, self._data, self._batch_size = net, data, batch_size
        self._batch_products = self._hessian_products if kind == "hessian" else partial(self._outer_products, kind)
        self._parameters = list(chosen.values())
        self.names = tuple(chosen)
        self.sizes = tuple(tensor.numel() for tensor in self._parameters)
        self.dimension = sum(self.sizes)
        self.dtype, self.device = self._parameters[0].dtype, self._parameters[0].device

    def __call__(self, vectors: Tensor) -> Tensor:
        """Products with one vector (n,) or with several (k, n), in one pass over the data -> the same shape.

        Entries are those of the parameters, flat, in the order of `names`. Batches are added up in the parameters' precision: some
        hundred additions lose less than the product of one batch does.
        """
        rows = vectors.unsqueeze(0) if vectors.dim() == 1 else vectors
        tensors = [self.split(row) for row in rows]
        total, weight = torch.zeros_like(rows), 0
        sums = [self.split(row) for row in total]
        with _at_rest(self._net, self._parameters), torch.enable_grad():
            for batch in batches(self._data, self._batch_size, self.device):
                count, products = self._batch_products(samples.each(batch, self._fit), tensors)
                weight += count
                for row, product in zip(sums, products, strict=True):
                    torch._foreach_add_(row, product)
        return total.div_(weight).view_as(vectors)

    def _fit(self, tensor: Tensor) -> Tensor:
        """In the parameters' precision; images so that convolutions take a sixth less time on a CPU."""
        if not tensor.is_floating_point():
            return tensor
        return tensor.to(self.dtype, memory_format=torch.channels_last if tensor.dim() == 4 else torch.preserve_format)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Views of a vector (n,) in the shapes of the parameters."""
        return [part.view_as(tensor) for part, tensor in zip(vector.split(self.sizes), self._parameters, strict=True)]

    def _hessian_products(self, batch: Batch, vectors: list[list[Tensor]]) -> tuple[Tensor, Iterator[list[Tensor]]]:
        """The weight of the batch, and the products of its sum with each vector."""
        terms = self._loss.of(self._net, batch)
        gradient = self._backward(terms.sums[0].to(self.dtype), None, create_graph=True)
        varying = [i for i, part in enumerate(gradient) if part.requires_grad]

        def products() -> Iterator[list[Tensor]]:
            for left, vector in _countdown(vectors):
                yield self._backward([gradient[i] for i in varying], [vector[i] for i in varying], retain_graph=left > 0)
        return terms.weight.detach(), products()

    def _outer_products(self, kind: str, batch: Batch, vectors: list[list[Tensor]]) -> tuple[Tensor, Iterator[list[Tensor]]]:
        """Likewise J^T M J v of outputs with derivative J: logits and the loss's Hessian M, or each sample's loss and M = 1.

        J v is the derivative of J^T u by u, so it takes reverse mode alone.
        """
        outputs = self._loss.outputs(self._net, batch)
        terms, middle = self._loss.of_outputs(outputs, batch), partial(self._loss_curvature, batch)
        if kind == "fisher":
            weights = 1 if terms.sample_weights is None else terms.sample_weights.sqrt()
            outputs, middle = terms.samples * weights, None
        seed = torch.ones_like(outputs, requires_grad=True)
        pulled = self._backward(outputs, seed, create_graph=True)
        varying = [i for i, part in enumerate(pulled) if part.requires_grad]

        def products() -> Iterator[list[Tensor]]:
            for left, vector in _countdown(vectors):
                pushed = grad([pulled[i] for i in varying], seed, [vector[i] for i in varying], retain_graph=True)[0] if varying else torch.zeros_like(outputs)
                yield self._backward(outputs, middle(outputs, pushed) if middle else pushed, retain_graph=left > 0)
        return terms.weight.detach(), products()

    def _backward(self, outputs: Tensor | list[Tensor], seeds: Tensor | list[Tensor] | None, **graph: bool) -> list[Tensor]:
        """Derivative of seeds . outputs by the parameters; zero where there is none."""
        outputs, seeds = ([outputs], [seeds]) if isinstance(outputs, Tensor) else (outputs, seeds)
        if not any(output.requires_grad for output in outputs):
            return [torch.zeros_like(tensor) for tensor in self._parameters]
        return list(grad(outputs, self._parameters, seeds, allow_unused=True, materialize_grads=True, **graph))


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
    norms = [module for module in modes if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
             and module.running_mean is not None and "forward" not in vars(module)]
    try:
        net.eval().requires_grad_(False)
        for tensor in parameters:
            tensor.requires_grad_()
        for norm in norms:
            norm.forward = partial(_scale_and_shift, norm)
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
    return torch.addcmul(shift.view(shape), x, scale.view(shape))


class Krylov:
    """An orthonormal basis of span(v, A v, A^2 v, …) that grows by a product at a time, and A projected on it.

    Lanczos with full reorthogonalisation, twice as in Daniel et al. (1976): A V = V T + beta v e_m^T. The products come from outside, so
    that several bases can share a pass over the data.

    Args:
        start: (n,), the first vector, of any length but zero.
        size: vectors of the basis at most.
        generator: of the vectors with which the basis goes on where the Krylov space ends.

    Attributes:
        count: of basis vectors whose product is known.
        projected: (size, size) float64, T; zero from row and column `count` on.
    """

    def __init__(self, start: Tensor, size: int, generator: torch.Generator):
        self.size = min(size, len(start))
        self.count = 0
        self._vectors = start.new_empty(self.size + 1, len(start))
        self._vectors[0] = start / torch.linalg.vector_norm(start)
        self.projected = np.zeros((self.size, self.size))
        self._beta, self._scale = 0.0, 0.0
        self._generator = generator

    @property
    def next(self) -> Tensor:
        """The vector (n,) whose product `extend` needs."""
        return self._vectors[self.count]

    def extend(self, product: Tensor) -> None:
        """Take A times `next`. Raises FloatingPointError if it is not finite."""
        if not torch.isfinite(product).all():
            raise FloatingPointError
        m, basis = self.count, self._vectors[:self.count + 1]
        self._scale = max(self._scale, float(torch.linalg.vector_norm(product)))
        parts, rest = self._orthogonal(product, basis)
        self.projected[m, :m + 1] = self.projected[:m + 1, m] = parts
        self._beta = float(torch.linalg.vector_norm(rest))
        self.count += 1
        if self._beta <= ROUNDING * torch.finfo(rest.dtype).eps * self._scale:  # the space ends here: go on with another
            self._beta = 0.0
            if self.count == len(product):
                return
            rest = torch.randn(len(product), generator=self._generator, dtype=product.dtype).to(product.device)
            _, rest = self._orthogonal(rest / torch.linalg.vector_norm(rest), basis)
        self._vectors[self.count] = rest / torch.linalg.vector_norm(rest)

    @staticmethod
    def _orthogonal(vector: Tensor, basis: Tensor) -> tuple[np.ndarray, Tensor]:
        first = basis @ vector
        vector = vector - first @ basis
        second = basis @ vector
        return (first + second).double().cpu().numpy(), vector - second @ basis

    def ritz(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eigenvalues (m,) of the projected matrix, its eigenvectors (m, m) in columns, and the residuals (m,) of both in the large matrix."""
        values, vectors = np.linalg.eigh(self.projected[:self.count, :self.count])
        return values, vectors, np.abs(self._beta * vectors[-1])

    def combine(self, coefficients: np.ndarray) -> Tensor:
        """Vectors (k, n) of these coefficients (m, k) in the basis."""
        return torch.as_tensor(coefficients.T, dtype=self._vectors.dtype, device=self._vectors.device) @ self._vectors[:self.count]

    def restart(self, keep: np.ndarray) -> None:
        """Keep only these of the Ritz vectors, by index, and the last vector (thick restart: Wu and Simon 2000)."""
        values, vectors, _ = self.ritz()
        last = self._vectors[self.count].clone()
        self._vectors[:len(keep)] = self.combine(vectors[:, keep])
        self.projected[:] = 0
        self.projected[range(len(keep)), range(len(keep))] = values[keep]
        self.count = len(keep)
        self._vectors[self.count] = last


@dataclass(frozen=True)
class Eigen:
    """An eigenvalue, NaN if a product was not finite, with its unit vector (n,) or None.

    `residual` is ||A v - value v||: the matrix has an eigenvalue no farther than that from `value`.
    """

    value: float
    residual: float
    converged: bool
    vector: Tensor | None = None


def eigenvalues(matrix: Curvature, *, smallest: int = 1, largest: int = 1, tolerance: float = TOLERANCE, most_products: int = MOST_PRODUCTS,
                seed: int = 0, show_progress: bool = False) -> tuple[list[Eigen], list[Eigen]]:
    """The `smallest` lowest eigenvalues, ascending, and the `largest` highest, descending, of a symmetric matrix.

    Thick-restart Lanczos (Wu and Simon, SIAM J. Matrix Anal. Appl. 22, 2000), both ends from one Krylov space. An eigenvalue has
    converged when its residual is at most `tolerance` times its absolute value, or times `NEAR_ZERO` of the largest absolute eigenvalue if
    that is more; what has not after `most_products` is returned and says so. If a product is not finite, all values are NaN. Of several
    equal eigenvalues one may be found. Random numbers are drawn from a generator of this `seed`, no others are touched.

    Raises `InputError` if more eigenvalues are wanted than there are, or than products.
    """
    wanted = min(smallest + largest, matrix.dimension)
    if max(smallest, largest) > matrix.dimension:
        raise InputError(f"{max(smallest, largest)} eigenvalues are wanted of a matrix that has {matrix.dimension}; ask for fewer")
    if most_products < wanted:
        raise InputError(f"{most_products} products cannot give {wanted} eigenvalues; allow more")
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(matrix.dimension, generator=generator, dtype=matrix.dtype).to(matrix.device)
    space = Krylov(start, max(min(BASIS_SIZE, BASIS_MEMORY // start.nbytes), 2 * wanted + 8), generator)
    with tqdm(total=most_products, desc="eigenvalues", unit="product", disable=not show_progress, leave=False, mininterval=0.5 if sys.stderr.isatty() else 10) as bar:
        for _ in range(most_products):
            if space.count == space.size:
                kept = max(wanted, space.size // 2)
                low = smallest * kept // (smallest + largest)
                space.restart(np.r_[:low, space.size - (kept - low):space.size])
            try:
                space.extend(matrix(space.next))
            except FloatingPointError:
                lost = Eigen(math.nan, math.nan, False)
                return [lost] * smallest, [lost] * largest
            values, coefficients, residuals = space.ritz()
            scale = float(np.abs(values).max())
            ends = np.r_[0:smallest, len(values) - largest:len(values)] if space.count >= wanted else np.arange(len(values))
            unsure = int((residuals > _allowed(values, scale, tolerance))[ends].sum()) + wanted - min(space.count, wanted)
            bar.update()
            bar.set_postfix_str(f"from {values[0]:.4g} to {values[-1]:.4g}, {unsure} of {wanted} not converged", refresh=False)
            if not unsure:
                break
    found = _measured(matrix, space.combine(coefficients[:, np.r_[0:smallest, -1:-largest - 1:-1]]), scale=scale, tolerance=tolerance)
    return found[:smallest], found[smallest:]


def _allowed(values: np.ndarray | float, scale: float, tolerance: float) -> np.ndarray | float:
    """The residual at which an eigenvalue of a matrix of this scale has converged."""
    return tolerance * np.maximum(np.abs(values), NEAR_ZERO * scale)


def _measured(matrix: Curvature, vectors: Tensor, *, scale: float, tolerance: float) -> list[Eigen]:
    """The Rayleigh quotients of vectors (k, n) and their residuals, from products made for the purpose: the recurrence does not see rounding."""
    vectors = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    products = matrix(vectors)
    values = (vectors * products).sum(1)
    residuals = torch.linalg.vector_norm(products - values[:, None] * vectors, dim=1)
    return [Eigen(value, residual, bool(residual <= _allowed(value, scale, tolerance)), vector)
            for value, residual, vector in zip(values.tolist(), residuals.tolist(), vectors, strict=True)]


def extreme_eigenvalues(net: nn.Module, data: Samples, *, loss: str | Loss = "crossentropy", batch_size: int = BATCH_SIZE, tolerance: float = TOLERANCE,
                        most_products: int = MOST_PRODUCTS, all_parameters: bool = False, seed: int = 0) -> tuple[Eigen, Eigen]:
    """The smallest and the largest eigenvalue of the Hessian of the mean loss at the net as it is now: what the paper's convexity maps show.

    The published program's are these times its number of batches; the ratio is the same. The start vector is that of the `seed` at every
    call, so a value does not depend on what was measured before.
    """
    curvature = Curvature(net, data, loss=loss, batch_size=batch_size, all_parameters=all_parameters)
    (low,), (high,) = eigenvalues(curvature, tolerance=tolerance, most_products=most_products, seed=seed)
    return low, high
