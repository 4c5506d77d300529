"""A net made ready for fast evaluation: a copy with batch norms folded, in a faster memory layout.

The copy has tensors of its own. `refresh` computes them from the net's after every move of the net. A copy
is used only where its numbers agree with the net's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from losslandscape.evaluate.batch_norm_fold import Fold, copy_of, fold

AGREEMENT = 1e-3  # relative difference of numbers beyond which a copy is another function
SHAKE = 0.25  # the net's numbers are moved by this part of themselves, to see whether the copy follows
SMALLER = 0.25  # numbers below this quantile of sizes are compared as if they were of that size
MOST_SORTED = 2**20  # numbers from which the quantile is taken

Copy = tuple[nn.Module, list[Fold]]
Maker = Callable[[nn.Module], Copy | None]


class FusedNet:
    """Evaluates a net through a copy of it, with batch norms folded if torch.fx can trace it.

    The net is only read. Copies are tried from the fastest on: folded or not, channels-last or as the net.
    The first copy is used that agrees with the net, where the net is and where it is moved to. If none does,
    for example because the net counts its calls, the net itself is used.

    Args:
        net: in evaluation mode.
        numbers: from a net, or this FusedNet, to numbers that must agree; for example the outputs for two
            samples.
        dtype: that the copy computes in, if not the net's own. Outputs come as float32, and batch norms
            that are not folded keep their own.
        channels_last: whether this memory layout is tried.
        fold: off only to measure what folding brings.
    """

    def __init__(
        self,
        net: nn.Module,
        numbers: Callable[["nn.Module | FusedNet"], Tensor],
        *,
        dtype: torch.dtype | None = None,
        channels_last: bool = False,
        fold: bool = True,
    ):
        self._numbers = numbers
        self._dtype: torch.dtype | None = None
        makers = [_folded_copy, _plain_copy] if fold else [_plain_copy]
        layouts = [torch.channels_last] if channels_last else []
        layouts.append(torch.contiguous_format)
        for make, layout in product(makers, layouts):
            if self._fits(net, make, layout):
                if dtype and not self._runs_in(dtype):
                    self._adopt(net, make, layout)
                break
        else:
            self._use(net)
        self.refresh()

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype that was asked for; None where the net does not run in it, or none was."""
        return self._dtype

    @property
    def folded(self) -> int:
        """Number of batch norms that are folded."""
        return len(self._folds)

    @property
    def copied(self) -> bool:
        """Whether a copy is used, rather than the net itself."""
        return self._is_copy

    @property
    def module(self) -> nn.Module:
        """The copy as a module, for code that does more with a net than to call it."""
        return self._copy

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the net's tensors as they are now."""
        for pair in self._folds:
            pair.refresh()
        if self._targets:
            torch._foreach_copy_(self._targets, self._sources)

    def __call__(self, *inputs: Tensor, **named: Tensor) -> object:
        """The net's outputs; a tensor comes as float32 if the copy has another dtype than the net."""
        converted = {name: self._converted(tensor) for name, tensor in named.items()}
        outputs = self._copy(*map(self._converted, inputs), **converted)
        return outputs.float() if self._dtype and isinstance(outputs, Tensor) else outputs

    def _converted(self, tensor: Tensor) -> Tensor:
        """An input in the copy's dtype, and images in its memory layout."""
        is_image = tensor.dim() == 4
        if not tensor.is_floating_point() or (self._dtype is None and not is_image):
            return tensor
        layout = self._layout if is_image else torch.preserve_format
        return tensor.to(self._dtype or tensor.dtype, memory_format=layout)

    def _use(self, net: nn.Module) -> None:
        """Use the net itself. Lets go of a copy before: there may be no memory for two."""
        self._copy, self._is_copy, self._layout = net, False, torch.contiguous_format
        self._folds: list[Fold] = []
        self._sources: list[Tensor] = []
        self._targets: list[Tensor] = []

    def _fits(self, net: nn.Module, make: Maker, layout: torch.memory_format) -> bool:
        """Adopt such a copy; return whether it agrees with the net, also after all of the net has moved.

        A trace may hold a constant that was computed from the net's tensors, which only a move shows.
        """
        try:
            if not self._adopt(net, make, layout) or not self._agrees(net):
                return False
            with _shaken(net):
                return self._agrees(net)
        except (
            Exception
        ):  # a copy may lack what its class needs, or not run in this layout: any error of the net's
            return False

    def _adopt(self, net: nn.Module, make: Maker, layout: torch.memory_format) -> bool:
        """Use a new copy of the net; False if there is none."""
        self._use(net)
        made = make(net)
        if made is None:
            return False
        copied, self._folds = made
        self._copy, self._is_copy, self._layout = copied.eval().requires_grad_(False), True, layout
        originals, tensors = _named_tensors(net), _named_tensors(copied)
        if layout is torch.channels_last:
            for tensor in tensors.values():
                if tensor.dim() == 4:
                    tensor.data = tensor.data.contiguous(memory_format=layout)
        computed = {id(tensor) for pair in self._folds for tensor in pair.folded.parameters()}
        for name, tensor in tensors.items():
            if name in originals and tensor.is_floating_point() and id(tensor) not in computed:
                self._sources.append(originals[name].detach())
                self._targets.append(tensor)
        return True

    def _runs_in(self, dtype: torch.dtype) -> bool:
        """Cast the copy; False, and the copy is spoilt, if the net makes tensors of another precision."""
        self._dtype = dtype
        for module in self._copy.modules():
            if not isinstance(module, _BatchNorm):
                _cast(module, dtype)
        try:
            self.refresh()
            self._numbers(self)
        except Exception:  # the net's own code may raise anything
            self._dtype = None
            return False
        return True

    def _agrees(self, net: nn.Module) -> bool:
        """Whether each number of the copy is the net's, but for a small part of its size.

        Numbers near zero may differ by as much as numbers of a common size: a few may be huge, as those of
            masks.
        """
        expected = self._numbers(net).detach().double()
        self.refresh()
        numbers = self._numbers(self).detach().double()
        sizes = expected[expected.isfinite() & (expected != 0)].abs()
        if not sizes.numel():  # zeros would agree with a wrong fold too
            return not self._folds
        smaller = sizes[:: 1 + sizes.numel() // MOST_SORTED].quantile(SMALLER)
        tolerance = AGREEMENT * torch.maximum(expected.abs().nan_to_num(posinf=0.0), smaller)
        if numbers.shape != expected.shape:
            return False
        same = (numbers == expected) | (numbers.isnan() & expected.isnan())
        return bool((same | ((numbers - expected).abs() <= tolerance)).all())


def _folded_copy(net: nn.Module) -> Copy | None:
    return fold(net)


def _plain_copy(net: nn.Module) -> Copy | None:
    copied = copy_of(net)
    return None if copied is None else (copied, [])


def _cast(module: nn.Module, dtype: torch.dtype) -> None:
    """Cast the module's own floating-point tensors, not its submodules'."""
    for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)


def _named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers; a tied tensor comes under each of its names."""
    parameters = module.named_parameters(remove_duplicate=False)
    buffers = module.named_buffers(remove_duplicate=False)
    return dict([*parameters, *buffers])


@contextmanager
def _shaken(net: nn.Module) -> Iterator[None]:
    """Inside the block all numbers of the net are moved a little; after it they are what they were."""
    generator = torch.Generator().manual_seed(0)
    saved: list[tuple[Tensor, Tensor]] = []
    try:
        with torch.no_grad():
            for tensor in (*net.parameters(), *net.buffers()):
                if tensor.is_floating_point():
                    before = tensor.detach().to("cpu", copy=True)
                    tensor.copy_(_moved(tensor, generator))
                    saved.append((tensor, before))
        yield
    finally:
        with torch.no_grad():
            for tensor, before in saved:
                tensor.copy_(before)


def _moved(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers of the same sign and about the same size. Scales, shifts and zeros may become larger."""
    if not tensor.dim():
        rows = torch.ones_like(tensor)
    else:
        random = torch.rand(tensor.shape[:1], generator=generator).to(tensor)
        rows = random.view(-1, *[1] * (tensor.dim() - 1))
    moved = tensor * (1 + SHAKE * (2 * rows - 1))
    return moved + SHAKE**2 * rows * (tensor == 0 if tensor.dim() > 1 else 1)
