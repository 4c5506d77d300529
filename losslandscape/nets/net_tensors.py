"""Lists the tensors of a net that a direction can move, with their kinds, filters and names.

A filter is the part of a weight that computes one output of the layer (Li et al. 2018, section 4): one index
on the output axis. This is the first axis in nearly all layers, but the second in transposed convolutions and
in GPT-2's linear layers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

from losslandscape.core.errors import InputError
from losslandscape.nets.quantised import is_quantised

DIRECTION_TYPES = ("weights", "states")
IGNORES = ("biasbn",)
KINDS = ("conv", "linear", "embedding", "norm", "bias", "other", "buffer")
NORM_CLASS = re.compile(r"Norm(Act)?([123]d)?$")  # LlamaRMSNorm, T5LayerNorm, FrozenBatchNorm2d, …
NORM_LAYERS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
LINEAR_LAYERS = (nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)
TRANSPOSED_LAYERS = ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
NARROW = (torch.float16, torch.bfloat16)
NAMES_SHOWN = 5  # a message lists at most this many names of the net's tensors


@dataclass(frozen=True)
class NetTensor:
    """A tensor of a net.

    Args:
        names: its names in the net, several if it is tied. Directions use the first name.
        value: the tensor itself, in the net's memory.
        kind: one of `KINDS`. A weight has the kind of its layer; `bias` is a parameter of at most one
            dimension outside of norm layers; `norm` is every tensor of a norm layer, with BN's statistics;
            `buffer` is every other tensor that is not a parameter.
        is_parameter: whether it is a parameter, not a statistic or another buffer.
        transposed: 0 if the first axis is the output axis. Otherwise the second axis is, and `transposed` is
            the number of groups in the first.
    """

    names: tuple[str, ...]
    value: Tensor
    kind: str
    is_parameter: bool
    transposed: int = 0

    @property
    def moves(self) -> bool:
        """Whether it is floating-point; quantised, integer, boolean and complex tensors never move."""
        return self.value.is_floating_point() and not is_quantised(self.value)

    @property
    def by_filters(self) -> bool:
        """Whether a random direction is drawn in it: not in biases, norm layers and buffers."""
        return self.moves and self.value.dim() > 1 and self.kind not in ("norm", "buffer")

    def filter_norms(self, values: Tensor) -> Tensor:
        """Return (filters,) Frobenius norms of the filters of `values`, which has this tensor's shape.

        A tensor of at most one dimension counts as one filter.
        """
        if values.dim() <= 1:
            return values.norm().view(1)
        if not self.transposed:
            return values.flatten(1).norm(dim=1)
        inputs, outputs = values.shape[:2]
        groups = values.reshape(self.transposed, inputs // self.transposed, outputs, values[0, 0].numel())
        return torch.linalg.vector_norm(groups, dim=(1, 3)).flatten()

    def spread(self, numbers: Tensor) -> Tensor:
        """Reshape (filters,) values, one per filter, so that they broadcast against this tensor."""
        if self.value.dim() <= 1:
            return numbers.view([1] * self.value.dim())
        ones = [1] * (self.value.dim() - 2)
        if not self.transposed:
            return numbers.view(-1, 1, *ones)
        if self.transposed == 1:
            return numbers.view(1, -1, *ones)
        inputs, outputs = self.value.shape[:2]
        groups = numbers.view(self.transposed, 1, outputs).expand(-1, inputs // self.transposed, -1)
        return groups.reshape(inputs, outputs, *ones)


def tensors(net: nn.Module, dir_type: str) -> list[NetTensor]:
    """Return the tensors of a direction of this type, in the direction's order.

    These are the parameters (`weights`), or the whole state dict (`states`). A tensor with several names,
    such as a tied weight, counts once. A tensor inside another's memory only adds its name to the other.

    Raises:
        InputError: a parameter is complex, has no shape yet or is not in memory, or two tensors overlap in a
            part of their memory.
    """
    parameters = dict(net.named_parameters(remove_duplicate=False))
    for name, parameter in parameters.items():
        _require_movable(name, parameter)
    if dir_type == "weights":
        named = {name: parameter.detach() for name, parameter in parameters.items()}
    elif dir_type == "states":
        named = {name: value for name, value in net.state_dict().items() if isinstance(value, Tensor)}
    else:
        raise ValueError(f"unknown direction type {dir_type!r}; choose from {', '.join(DIRECTION_TYPES)}")
    modules = dict(net.named_modules(remove_duplicate=False))
    return [
        NetTensor(names, named[names[0]], *_role(modules, parameters, names[0])) for names in _tied(named)
    ]


def moving_tensors(net: nn.Module, dir_type: str) -> dict[str, Tensor]:
    """Return the tensors of `tensors` by their first names; they share memory with the net."""
    return {tensor.names[0]: tensor.value for tensor in tensors(net, dir_type)}


def ignored(net: nn.Module, dir_type: str, ignore: str) -> frozenset[str]:
    """Return the names of the tensors in which a direction with this `ignore` is zero.

    With `biasbn` these are all tensors of norm layers, and all others of at most one dimension.
    """
    if ignore != "biasbn":
        return frozenset()
    return frozenset(
        tensor.names[0]
        for tensor in tensors(net, dir_type)
        if tensor.kind == "norm" or tensor.value.dim() <= 1
    )


def chosen(net: nn.Module, dir_type: str, params: str) -> frozenset[str]:
    """Return the first names of the tensors that have any name in which `re.search` finds `params`.

    Raises:
        InputError: `params` is not a regular expression, or matches no tensor.
    """
    all_tensors = tensors(net, dir_type)
    try:
        pattern = re.compile(params)
    except re.error as error:
        raise InputError(
            f"params {params!r} is not a regular expression ({error})",
            "write \\ before . ( [ * + ? where they stand for themselves",
        ) from error
    names = frozenset(tensor.names[0] for tensor in all_tensors if any(map(pattern.search, tensor.names)))
    if not names:
        step = -(-len(all_tensors) // NAMES_SHOWN)
        examples = ", ".join(tensor.names[0] for tensor in all_tensors[::step])
        raise InputError(
            f"params {params!r} is in none of the {len(all_tensors)} names of the net's {dir_type}, "
            f"such as {examples}; give a part of these",
        )
    return names


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which to sum values of this floating type: float32, or `dtype` if it is wider."""
    return dtype if dtype.itemsize >= torch.float32.itemsize else torch.float32


def widen(net: nn.Module) -> bool:
    """Convert a net's tensors of float16 and bfloat16 to float32; return whether there are any."""
    narrow = [tensor for tensor in (*net.parameters(), *net.buffers()) if tensor.dtype in NARROW]
    for tensor in narrow:
        tensor.data = tensor.data.float()
    return bool(narrow)


def is_norm(module: nn.Module | None) -> bool:
    """Return whether this is a norm layer: one of PyTorch, or a class with a name like `NORM_CLASS`."""
    return isinstance(module, NORM_LAYERS) or bool(NORM_CLASS.search(_class_name(module)))


def _class_name(module: nn.Module | None) -> str:
    """Return the name of a module's class; if torch.jit has compiled it, the name before that."""
    return str(getattr(module, "original_name", type(module).__name__))


def role(owner: nn.Module | None, leaf: str, value: Tensor) -> tuple[str, int]:
    """Return the `kind` and `transposed` of a layer's parameter, or of a weight that the layer computes.

    Args:
        owner: the layer.
        leaf: the tensor's name in it.
        value: the tensor.
    """
    if is_norm(owner):
        return "norm", 0
    if value.dim() <= 1:
        return "bias", 0
    if isinstance(owner, _ConvTransposeNd) or _class_name(owner) in TRANSPOSED_LAYERS:
        groups = getattr(owner, "groups", 1)  # torch.jit.trace loses it
        return "conv", groups if leaf == "weight" else 0
    if isinstance(owner, _ConvNd):
        return "conv", 0
    if _is_conv1d_of_transformers(owner):
        return "linear", int(leaf == "weight")
    if isinstance(owner, LINEAR_LAYERS):
        return "linear", 0
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag):
        return "embedding", 0
    return "other", 0


def _require_movable(name: str, parameter: Tensor) -> None:
    if is_lazy(parameter):
        raise InputError(
            f"parameter {name!r} has no shape yet", "pass a batch through the net first, as lazy modules need"
        )
    if parameter.is_meta:
        raise InputError(
            f"parameter {name!r} is not in memory (device meta)", "load the whole net, without offloading"
        )
    if parameter.is_complex():
        raise InputError(
            f"parameter {name!r} is complex ({parameter.dtype}), and filters are defined for real weights",
            "keep it as a real parameter and use torch.view_as_complex in forward()",
        )


def _tied(named: dict[str, Tensor]) -> list[tuple[str, ...]]:
    """Group the names of tensors that share memory; the first name is that of the largest tensor.

    The groups are in the order of their first names in `named`.
    """
    spans = {name: _span(tensor) for name, tensor in named.items()}

    def place(name: str) -> tuple[str, int, int]:
        first, last = spans[name]
        return str(named[name].device), first, -last

    ties: dict[str, list[str]] = {}
    owner, end, device = "", 0, None
    for name in sorted(named, key=place):
        first, last = spans[name]
        if first < last and first < end and named[name].device == device:
            if last > end:
                raise InputError(
                    f"tensors {owner!r} and {name!r} of the net share a part of their memory",
                    "make them separate parameters",
                )
            ties[owner].append(name)
            continue
        ties[name] = []
        has_gaps = last - first != named[name].nbytes  # other tensors may lie in the gaps
        if first < last and not has_gaps:
            owner, end, device = name, last, named[name].device
    return [(name, *(other for other in named if other in ties[name])) for name in named if name in ties]


def _span(tensor: Tensor) -> tuple[int, int]:
    """Return the addresses of the first byte and of the end (exclusive); (0, 0) if empty or sparse."""
    if not tensor.numel() or tensor.layout != torch.strided:
        return 0, 0
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size()


def _role(
    modules: Mapping[str, nn.Module], parameters: Mapping[str, Tensor], name: str
) -> tuple[str, bool, int]:
    """Return the `kind`, `is_parameter` and `transposed` of a `NetTensor`."""
    owner, leaf = _owner(modules, name)
    if name not in parameters:
        return "norm" if is_norm(owner) else "buffer", False, 0
    kind, transposed = role(owner, leaf, parameters[name])
    return kind, True, transposed


def _owner(modules: Mapping[str, nn.Module], name: str) -> tuple[nn.Module | None, str]:
    """Return the module that has a tensor, and the tensor's name in it.

    A parametrised weight belongs to the module with the parametrisation.
    """
    path, _, leaf = name.rpartition(".")
    module = modules.get(path)
    if isinstance(module, ParametrizationList):
        path, _, attribute = path.rpartition(".")
        return modules[path.rpartition(".")[0]], attribute if leaf == "original" else leaf
    return module, leaf


def _is_conv1d_of_transformers(module: nn.Module | None) -> bool:
    """Return whether this is GPT-2's linear layer, whose weight is (inputs, outputs).

    The class is recognised by its name, because importing transformers takes seconds.
    """
    return any(
        kind.__name__ == "Conv1D" and kind.__module__.split(".")[0] == "transformers"
        for kind in type(module).__mro__
    )
