"""The curvature of a net's mean loss over a dataset, as products of a matrix with vectors.

The matrix is never formed: with n parameters it has n^2 entries. A product takes one pass over the data, in
the memory of one batch. The product is the exact derivative, computed by two backward passes. This is faster
than a forward derivative of the gradient, and several vectors share the first backward pass.
bench/curvature.py compares this with other packages. curvlinops-for-pytorch is not used: its Hessian products
take 1.5 times as long, and it depends on five more packages.
"""

import copy
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.random_state import fixed_randomness
from losslandscape.core.text import one_line
from losslandscape.curvature.batch_products import KINDS, BatchProducts
from losslandscape.curvature.cuda_products import CudaProducts, fitting_size
from losslandscape.curvature.evaluation_mode import evaluation_mode
from losslandscape.curvature.lanczos import MOST_PRODUCTS, TOLERANCE, Eigen, eigenvalues
from losslandscape.data import structure
from losslandscape.data.own_batches import OwnBatches
from losslandscape.data.samples import Samples
from losslandscape.evaluate import losses
from losslandscape.evaluate.batch_stream import batches
from losslandscape.evaluate.loss import Loss
from losslandscape.evaluate.losses import BuiltIn
from losslandscape.nets.net_tensors import chosen
from losslandscape.nets.spreading import is_spread
from losslandscape.nets.wrappers import is_scripted, unwrapped

BATCH_SIZE = 128  # on a CPU; on a GPU at least
MAX_ASYMMETRY = 1e-3  # largest `asymmetry` without a warning; float32 rounding gives a thousandth of it


class Curvature:
    """A symmetric matrix of the mean loss L = 1/N sum_i l(f(x_i), y_i), which computes its products.

    There are three kinds. f(x_i) are the outputs, J_i is their derivative by the parameters theta, and g_i is
    the gradient of sample i's loss:

        hessian         1/N sum_i  d^2 l_i / d theta^2
        gauss_newton    1/N sum_i  J_i^T (d^2 l_i / d f^2) J_i   (Schraudolph 2002; Martens, arXiv 1412.1193)
        fisher          1/N sum_i  g_i g_i^T, the empirical one  (Kunstner et al., arXiv 1905.12558)

    Hessian products use the R-operator (Pearlmutter 1994) in reverse mode: H v = d(g . v)/d theta.
    During a product the net is in evaluation mode; afterwards it has its old mode. Each product uses the
    current weights, so the net may be moved between products.

    Args:
        net: the net, on the device that computes the products.
        data: samples on the net's device, or on the CPU, from where batches are copied to the device.
        kind: one of `KINDS`.
        loss: the name of a loss in `evaluate.losses`, or a `Loss`. Only `hessian` takes a user's own loss.
            If samples have weights, the mean loss is weighted.
        batch_size: number of samples in memory at a time; the matrix depends on it only if the loss does.
            None stands for `BATCH_SIZE`, and on a GPU for what fits there.
        all_parameters: whether to include biases and the weights of batch norms. By default, as in the
            published program, the matrix covers only parameters of more than one dimension.
        params: a regular expression; if it is not empty, the matrix covers only parameters whose names match.
        fix_randomness: whether every product gets the same random numbers. Otherwise the matrix of a loss
            that draws some is another one in each product.
        sharers: the number of ranks that share the GPU.

    Attributes:
        names, sizes: names and sizes of the parameters, in the order of their entries in a vector.
        dimension: n, the number of rows.
        asymmetry: |u H v - v H u| for two random vectors and two samples, relative to the norm of the
            products. It exceeds rounding errors where PyTorch's derivative of an operation is not exact.
            Where it is large in float32, as for samples with almost no loss, it is that in float64.

    Raises:
        InputError: if the net has no parameter that the matrix covers, if a kind other than `hessian` gets
            a user's own loss, or if the loss cannot be differentiated twice.
    """

    def __init__(
        self,
        net: nn.Module,
        data: Samples,
        *,
        kind: str = "hessian",
        loss: str | Loss = "crossentropy",
        batch_size: int | None = None,
        all_parameters: bool = False,
        params: str = "",
        fix_randomness: bool = False,
        sharers: int = 1,
    ):
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; choose from {', '.join(KINDS)}")
        self._net, self._data = unwrapped(net), data
        self._loss = losses.find(loss)
        self._kind, self._fix_randomness = kind, fix_randomness
        if kind != "hessian" and not isinstance(self._loss, BuiltIn):
            needs = f"the {kind} matrix needs the net's outputs"
            fault = f"{needs}, which the loss {self._loss.name} does not return"
            raise InputError(fault, "give {kind:hessian} or a built-in loss")
        self._layout = torch.channels_last  # convolutions take a sixth less time with it on a CPU
        self._cover(_covered(self._net, all_parameters=all_parameters, params=params))
        self.asymmetry = self._measure_asymmetry()
        if self.asymmetry > MAX_ASYMMETRY and self.dtype is torch.float32:
            self.asymmetry = self._in_float64()._measure_asymmetry()
        self._batch_size = batch_size or self._fitting_size(sharers)

    def _cover(self, parameters: dict[str, nn.Parameter]) -> None:
        self._parameters = list(parameters.values())
        self.names = tuple(parameters)
        self.sizes = tuple(parameter.numel() for parameter in self._parameters)
        self.dimension = sum(self.sizes)
        self.dtype, self.device = self._parameters[0].dtype, self._parameters[0].device
        self._compute = BatchProducts(self._net, self._loss, self._kind, self._parameters)
        self._captured: tuple[list[int], CudaProducts] | None = None

    def _in_float64(self) -> Self:
        """Return the matrix of a copy of the net in float64."""
        other = copy.copy(self)
        other._net = copy.deepcopy(self._net).double()
        parameters = dict(other._net.named_parameters())
        other._cover({name: parameters[name] for name in self.names})
        return other

    def blocks(self) -> Iterator[tuple[str, Self]]:
        """Yield the name and the diagonal block of each parameter, as a matrix that computes its products."""
        for name, parameter in zip(self.names, self._parameters, strict=True):
            block = copy.copy(self)
            block._cover({name: parameter})
            yield name, block

    def _measure_asymmetry(self) -> float:
        few = self._data.take(np.arange(min(2, len(self._data))))
        generator = torch.Generator().manual_seed(0)
        pair = torch.randn(2, self.dimension, generator=generator).to(self.device, self.dtype)
        products = self._first_products(few, pair)
        crossed = (pair * products.flip(0)).sum(1)
        length = float(torch.linalg.vector_norm(products))
        return float((crossed[0] - crossed[1]).abs()) / length if length else 0.0

    def _first_products(self, data: Samples, rows: Tensor) -> Tensor:
        """Find a layout of images that the net takes, and return `_products` in this layout."""
        try:
            return self._products(data, rows)
        except (RuntimeError, InputError):
            self._layout = torch.preserve_format  # needed by a net that flattens images with `view`
        try:
            return self._products(data, rows)
        except RuntimeError as error:
            fault = f"the loss {self._loss.name} cannot be differentiated twice ({one_line(error)})"
            if is_scripted(self._net):
                advice = "torch.jit has compiled the net, or a part of it: give the net as it was before"
            else:
                advice = "a loss that takes gradients inside must do it with create_graph=True"
            raise InputError(fault, advice) from error

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the products with a vector (n,) or with k vectors (k, n), in the same shape.

        One pass over the data computes all products. Batches are summed in the precision of the parameters: a
        few hundred additions lose less precision than the product of one batch.
        """
        rows = vectors.unsqueeze(0) if vectors.dim() == 1 else vectors
        size, captured = self._batch_size, self._can_be_captured
        return self._products(self._data, rows, batch_size=size, captured=captured).view_as(vectors)

    def _products(
        self, data: Samples, rows: Tensor, *, batch_size: int = BATCH_SIZE, captured: bool = False
    ) -> Tensor:
        """Return the products (k, n) for the mean loss over the data, in one pass."""
        totals = torch.zeros_like(rows)
        weight: Tensor | float = 0
        needed = list(self._net.parameters()) if self._loss.needs_gradients else self._parameters
        with evaluation_mode(self._net, needed), torch.enable_grad(), fixed_randomness(self._fix_randomness):
            compute = self._captured_products() if captured else self._compute
            for batch in batches(data, batch_size, self.device):
                products, batch_weight = compute(structure.each(batch, self._fit), rows)
                weight += batch_weight
                totals += products
        return totals.div_(weight)

    @property
    def _can_be_captured(self) -> bool:
        """Whether CUDA graphs can compute the products: their batches have the same form at each product."""
        is_plain = not (self._loss.needs_gradients or self._fix_randomness)
        is_here = self.device.type == "cuda" and not is_spread(self._net)
        return is_here and is_plain and not isinstance(self._data, OwnBatches)

    def _captured_products(self) -> CudaProducts:
        """Return CUDA graphs of the products; new ones if a tensor of the net has moved in memory."""
        memory = [tensor.data_ptr() for tensor in chain(self._net.parameters(), self._net.buffers())]
        if self._captured is None or self._captured[0] != memory:
            self._captured = memory, CudaProducts(self._compute)
        return self._captured[1]

    def _fitting_size(self, sharers: int) -> int:
        """Return a batch size: on a GPU one that fits there, as large batches compute faster."""
        if self.device.type != "cuda" or isinstance(self._data, OwnBatches):
            return BATCH_SIZE
        few = self._data.take(np.arange(min(BATCH_SIZE, len(self._data))))
        row = torch.ones(1, self.dimension, dtype=self.dtype, device=self.device)
        return fitting_size(partial(self._products, few, row), len(few), sharers=sharers)

    def _fit(self, tensor: Tensor) -> Tensor:
        """Return a tensor in the parameters' precision, and images in the net's layout; keep integers."""
        if not tensor.is_floating_point():
            return tensor
        layout = self._layout if tensor.dim() == 4 else torch.preserve_format
        return tensor.to(self.dtype, memory_format=layout)

    def doubt(self) -> str:
        """Return a warning if the matrix is visibly asymmetric, else an empty string."""
        if not self.asymmetry > MAX_ASYMMETRY:
            return ""
        return (
            f"warning: PyTorch's second derivatives are not symmetric here, by {100 * self.asymmetry:.2g} %: "
            "those of weight norm and of nets in half precision are not exact; "
            "the results are off by about as much"
        )

    def split(self, vector: Tensor) -> list[Tensor]:
        """Return views of a vector (n,) in the shapes of the parameters."""
        return self._compute.split(vector)


def _covered(net: nn.Module, *, all_parameters: bool, params: str) -> dict[str, nn.Parameter]:
    """Return the parameters that the matrix covers, by name, in the net's order."""
    matching = dict(net.named_parameters())
    if params:
        names = chosen(net, "weights", params)
        matching = {name: parameter for name, parameter in matching.items() if name in names}
    covered = {name: p for name, p in matching.items() if all_parameters or p.dim() > 1}
    if not covered:
        where = f"params {params!r} matches" if params else "the net has"
        fault = f"{where} no parameter of more than one dimension"
        raise InputError(fault, "give {all_parameters:True} for the others")
    return covered


def extreme_eigenvalues(
    matrix: Curvature, *, tolerance: float = TOLERANCE, most_products: int = MOST_PRODUCTS, seed: int = 0
) -> tuple[Eigen, Eigen]:
    """Return the smallest and the largest eigenvalue for the net's current weights.

    The paper's convexity maps show their ratio (Li et al. 2018, section 6). The published program's
    eigenvalues are larger by its number of batches; their ratio is the same. Every call starts from the same
    random vector, so a value does not depend on earlier calls.
    """
    (low,), (high,) = eigenvalues(matrix, tolerance=tolerance, most_products=most_products, seed=seed)
    return low, high
