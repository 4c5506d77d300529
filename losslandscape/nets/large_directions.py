"""Makes the directions of a large net block by block, in a temporary file (`core.large`).

They differ from those of `net_plotter` in two ways. Each tensor of a random direction is drawn by its own
generator, so that no tensor waits for the draws of the others. And directions have the net's precision.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from losslandscape.nets import kept_tensors, net_tensors
from losslandscape.nets.blocks import blocks, filter_blocks
from losslandscape.nets.computed_weights import computed_weights
from losslandscape.nets.direction_parts import difference, normalise, normalise_motion, raw_part
from losslandscape.nets.net_tensors import NetTensor


def random_direction(
    net: nn.Module, dir_type: str, *, norm: str, ignore: str, chosen: Collection[str] | None
) -> list[Tensor]:
    """Return a Gaussian direction; one number is drawn from torch's global generator.

    Args:
        net, dir_type, norm, ignore: as for `net_plotter.random_direction`.
        chosen: the first names of the tensors that move; None for all.
    """
    seed = int(torch.randint(2**62, ()))
    tensors = net_tensors.tensors(net, dir_type)
    moves = [_moves(tensor, ignore) and (chosen is None or tensor.names[0] in chosen) for tensor in tensors]
    direction = _room([tensor.value for tensor in tensors], moves)
    rest = {place for place, is_moved in enumerate(moves) if is_moved}
    for weight in computed_weights(net, tensors):
        parts = [torch.zeros(tensors[place].value.shape) for place in weight.members]
        for place, part in zip(weight.members, parts, strict=True):
            if moves[place]:
                _draw(part, tensors[place], seed, norm if norm == "weight" else "", ignore)
        parts = weight.masked(parts)
        if any(tensors[place].by_filters for place in weight.members):
            parts = normalise_motion(parts, weight, norm)
        for place, part in zip(weight.members, parts, strict=True):
            if moves[place]:
                direction[place].copy_(part)
        rest -= set(weight.members)
    for place in rest:
        _draw(direction[place], tensors[place], seed, norm, ignore)
    return direction


def _moves(tensor: NetTensor, ignore: str) -> bool:
    """Return whether `raw_part` is not zero in a tensor."""
    is_copied = tensor.moves and tensor.kind != "buffer" and ignore != "biasbn"
    return tensor.by_filters or is_copied


def _room(tensors: Sequence[Tensor], moves: Sequence[bool]) -> list[Tensor]:
    """Return a direction to be filled, in a temporary file; parts that do not move take no memory."""
    moving = [tensor for tensor, is_moved in zip(tensors, moves, strict=True) if is_moved]
    kept = iter(kept_tensors.empty(moving, [kept_type(tensor.dtype) for tensor in moving]))
    return [
        next(kept) if is_moved else torch.zeros((), dtype=kept_type(tensor.dtype)).expand(tensor.shape)
        for tensor, is_moved in zip(tensors, moves, strict=True)
    ]


def kept_type(dtype: torch.dtype) -> torch.dtype:
    """Return the type of a direction's part in a tensor of this type: 16 bits if the tensor has 16."""
    if dtype.itemsize >= torch.float32.itemsize or not dtype.is_floating_point:
        return torch.float32
    return torch.float16 if dtype == torch.float16 else torch.bfloat16


def _draw(room: Tensor, tensor: NetTensor, seed: int, norm: str, ignore: str) -> None:
    """Draw the part of a direction in a tensor of the net, and normalise it."""
    norm = norm if tensor.by_filters else ""
    factor = 1.0
    if norm in ("layer", "dlayer"):
        factor, norm = _factor(tensor, seed, norm), ""
    generator = _generator(seed, tensor.names[0])
    for part, into in filter_blocks(tensor, room):
        d = raw_part(torch.randn(part.value.shape, generator=generator), part, ignore)
        into.value.copy_(normalise(d, part, norm) * factor)


def _factor(tensor: NetTensor, seed: int, norm: str) -> float:
    """Return the factor by which `layer` or `dlayer` scales the draws for a tensor."""
    generator = _generator(seed, tensor.names[0])
    drawn, own = 0.0, 0.0
    for (part,) in filter_blocks(tensor):
        drawn += float(torch.randn(part.value.shape, generator=generator).double().square().sum())
        own += float(part.value.double().square().sum())
    return ((own if norm == "layer" else 1.0) / (drawn or 1.0)) ** 0.5


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))


def target_direction(
    starts: Mapping[str, Tensor], ends: Mapping[str, Tensor], chosen: Collection[str] | None
) -> list[Tensor]:
    """Return the direction from one net to another, by the tensors' names.

    Args:
        starts: the tensors of the net at the centre.
        ends: those of the other net, perhaps with others, in any precision.
        chosen: the names of the tensors that move; None for all.
    """
    moves = [not start.is_complex() and (chosen is None or name in chosen) for name, start in starts.items()]
    direction = _room(list(starts.values()), moves)
    for (name, start), room, is_moved in zip(starts.items(), direction, moves, strict=True):
        if is_moved:
            for into, begin, end in blocks(room, start.detach(), ends[name].detach()):
                into.copy_(difference(begin.cpu(), end.to("cpu", begin.dtype)))
    return direction
