"""The tensors of a net that a direction can move, and what each of them is: its kind, its filters, its other names.

A filter is what makes one output (Li et al. 2018, section 4): a slice of a weight along the axis that counts the layer's outputs. That is the first axis
nearly everywhere; two layers keep their weight the other way round.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

from losslandscape.core.errors import InputError

DIRECTION_TYPES = ("weights", "states")
KINDS = ("conv", "linear", "embedding", "norm", "bias", "other", "buffer")
NORM_CLASS = re.compile(r"Norm(Act)?([123]d)?$")  # LlamaRMSNorm, T5LayerNorm, FrozenBatchNorm2d, …
NORM_LAYERS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
LINEAR_LAYERS = (nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)


@dataclass(frozen=True)
class NetTensor:
    """A tensor of a net, which shares its storage.

    Attributes:
        names: all that it has in the net; more than one if it is tied. The first is the one it goes by.
        kind: one of `KINDS`: of the layer that it weighs; `bias` for a parameter of at most one dimension outside of norm layers; `norm` for all that
            norm layers have, BN's statistics too; `buffer` for what else is no parameter.
        is_parameter: rather than a statistic or another buffer.
        transposed: 0 if the first axis counts outputs; else the second axis does, in so many groups of the first.
    """

    names: tuple[str, ...]
    value: Tensor
    kind: str
    is_parameter: bool
    transposed: int = 0

    @property
    def moves(self) -> bool:
        """Whether a number can be added to it: whole numbers and truth values stay as they are."""
        return self.value.is_floating_point()

    @property
    def by_filters(self) -> bool:
        """Whether a direction is drawn for it and normalised, which it is not for biases, norm layers and buffers."""
        return self.moves and self.value.dim() > 1 and self.kind not in ("norm", "buffer")

    @property
    def filters(self) -> int:
        """How many filters it has; a tensor of at most one dimension is one."""
        if self.value.dim() <= 1:
            return 1
        return self.value.shape[1] * self.transposed if self.transposed else self.value.shape[0]

    def filter_norms(self, values: Tensor) -> Tensor:
        """Frobenius norm (filters,) of each filter of `values`, in this tensor's shape."""
        if values.dim() <= 1:
            return values.norm().view(1)
        if not self.transposed:
            return values.flatten(1).norm(dim=1)
        inputs, outputs = values.shape[:2]
        groups = values.reshape(self.transposed, inputs // self.transposed, outputs, values[0, 0].numel())
        return torch.linalg.vector_norm(groups, dim=(1, 3)).flatten()

    def spread(self, numbers: Tensor) -> Tensor:
        """One number for each filter (filters,), as a tensor that broadcasts against this one."""
        if self.value.dim() <= 1:
            return numbers.view([1] * self.value.dim())
        ones = [1] * (self.value.dim() - 2)
        if self.transposed <= 1:
            return numbers.view(1, -1, *ones) if self.transposed else numbers.view(-1, 1, *ones)
        inputs, outputs = self.value.shape[:2]
        return (
            numbers.view(self.transposed, 1, outputs)
            .expand(-1, inputs // self.transposed, -1)
            .reshape(inputs, outputs, *ones)
        )


def tensors(net: nn.Module, dir_type: str) -> list[NetTensor]:
    """The tensors of a net that a direction of this type has, in its order: parameters (`weights`), or the whole state dict (`states`).

    One that has several names, as tied weights have, or lies within another's memory, is one tensor.

    Raises `InputError` if one is complex, or is not there in memory.
    """
    parameters = dict(net.named_parameters(remove_duplicate=False))
    for name, tensor in parameters.items():
        _check(name, tensor)
    if dir_type == "weights":
        named = {name: tensor.detach() for name, tensor in parameters.items()}
    elif dir_type == "states":
        named = {name: value for name, value in net.state_dict().items() if isinstance(value, Tensor)}
    else:
        raise ValueError(f"unknown direction type {dir_type!r}; choose from {', '.join(DIRECTION_TYPES)}")
    modules = dict(net.named_modules(remove_duplicate=False))
    return [
        NetTensor(names, named[names[0]], *_role(modules, parameters, names[0])) for names in _tied(named)
    ]


def _check(name: str, tensor: Tensor) -> None:
    if is_lazy(tensor):
        raise InputError(
            f"parameter {name!r} has no shape yet; pass a batch through the net before you hand it over, as lazy modules need"
        )
    if tensor.is_meta:
        raise InputError(
            f"parameter {name!r} is not in memory (device meta); load the net whole, without offloading"
        )
    if tensor.is_complex():
        raise InputError(
            f"parameter {name!r} is complex ({tensor.dtype}), and filters are defined for real weights; "
            "keep it as a real parameter and use torch.view_as_complex in forward()"
        )


def _tied(named: dict[str, Tensor]) -> list[tuple[str, ...]]:
    """The names of each piece of memory, that of its largest tensor first, in the order of these."""
    ties: dict[str, list[str]] = {}
    spans = {name: _span(tensor) for name, tensor in named.items()}
    owner, end, where = "", 0, None
    for name in sorted(named, key=lambda name: (str(named[name].device), spans[name][0], -spans[name][1])):
        first, last = spans[name]
        if first < last and where == named[name].device and first < end:
            if last > end:
                raise InputError(
                    f"tensors {owner!r} and {name!r} of the net share a part of their memory; make them separate parameters"
                )
            ties[owner].append(name)
            continue
        ties[name] = []
        if (
            last - first == named[name].nbytes and first < last
        ):  # with holes in it, other tensors may lie there
            owner, end, where = name, last, named[name].device
    return [(name, *(other for other in named if other in ties[name])) for name in named if name in ties]


def _span(tensor: Tensor) -> tuple[int, int]:
    """Address of the first byte, and of the one behind the last; (0, 0) of an empty tensor."""
    if not tensor.numel() or tensor.layout != torch.strided:
        return 0, 0
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size()


def wide(dtype: torch.dtype) -> torch.dtype:
    """What sums of numbers of this floating type are made in: float32, unless it is as fine itself."""
    return dtype if dtype.itemsize >= torch.float32.itemsize else torch.float32


def is_norm(module: nn.Module) -> bool:
    """Whether it is a norm layer: PyTorch's, or another with such a name."""
    return isinstance(module, NORM_LAYERS) or bool(NORM_CLASS.search(type(module).__name__))


def _role(modules: dict[str, nn.Module], parameters: dict[str, Tensor], name: str) -> tuple[str, bool, int]:
    """Kind, whether it is a parameter, and groups if it is transposed."""
    owner, leaf = _owner(modules, name)
    if is_norm(owner):
        return "norm", name in parameters, 0
    if name not in parameters:
        return "buffer", False, 0
    if parameters[name].dim() <= 1:
        return "bias", True, 0
    if isinstance(owner, _ConvNd):
        return "conv", True, owner.groups if isinstance(owner, _ConvTransposeNd) and leaf == "weight" else 0
    if _is_conv1d_of_transformers(owner):
        return "linear", True, int(leaf == "weight")
    if isinstance(owner, LINEAR_LAYERS):
        return "linear", True, 0
    return ("embedding" if isinstance(owner, nn.Embedding | nn.EmbeddingBag) else "other"), True, 0


def _owner(modules: dict[str, nn.Module], name: str) -> tuple[nn.Module | None, str]:
    """The module that has a tensor, and the tensor's name there; that of a parametrised weight is the module with the parametrisation."""
    path, _, leaf = name.rpartition(".")
    module = modules.get(path)
    if isinstance(module, ParametrizationList):
        path, _, attribute = path.rpartition(".")
        return modules[path.rpartition(".")[0]], attribute if leaf == "original" else leaf
    return module, leaf


def _is_conv1d_of_transformers(module: nn.Module | None) -> bool:
    """GPT-2's linear layer, whose weight is (inputs, outputs); told by its name, as importing transformers takes seconds."""
    return any(
        kind.__name__ == "Conv1D" and kind.__module__.split(".")[0] == "transformers"
        for kind in type(module).__mro__
    )
