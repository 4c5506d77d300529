"""Checks the directions of a surface: which entries of the net's tensors move, and how far."""

import re
from collections.abc import Mapping, Sequence
from itertools import compress

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.measure.filter_checks import filters_off_norm, zero_filters
from losslandscape.measure.moved_tensors import Moved, moved_tensors
from losslandscape.measure.report import Caution, Report
from losslandscape.nets import net_plotter, net_tensors, quantised
from losslandscape.nets.blocks import length
from losslandscape.nets.net_plotter import Direction

MAX_COSINE = 0.2  # a larger cosine gives a warning; random directions of small nets often reach 0.1
ADAPTER = re.compile(r"lora_|adapter", re.IGNORECASE)
MIN_MOVED_SHARE = 0.5  # of the parameters; if fewer move although none is excluded, it is probably a mistake
MAX_LENGTH_RATIO = 5.0  # a random direction should not be more than 5 times longer or shorter than the net


def check_directions(
    net: nn.Module,
    directions: list[Direction],
    *,
    dir_type: str,
    norms: Mapping[str, str],
    params: str,
    other_model: bool,
) -> list[Report]:
    """Return facts and warnings about the directions. `check_report.report` explains the arguments."""
    stored, layers = moved_tensors(net, directions, dir_type, params)
    return [
        _share(stored, params),
        _lengths(layers, norms),
        _cosine(stored, directions, other_model=other_model, are_random=set(norms) == {"x", "y"}),
        zero_filters(layers, norms),
        *(filters_off_norm(layers, axis, norms[axis]) for axis in "xy"[: len(directions)] if axis in norms),
        _ties(stored),
        Report([line] if (line := quantised.sentence(net)) else []),
        _adapters(stored),
    ]


def _share(moved: list[Moved], params: str) -> Report:
    """Report which share of the net's parameters and buffers moves."""
    parameters = [part for part in moved if part.tensor.is_parameter]
    others = [part for part in moved if not part.tensor.is_parameter]
    entries, total = _count(parameters)
    other_entries, other_total = _count(others)
    unused = sum(part.unused() for part in parameters)
    line = f"moves: {entries:,} of {total:,} parameters ({100 * entries / max(total, 1):.4g} %)"
    if unused:
        line += f", {unused:,} are pruned or without effect"
    if other_total:
        line += f", and {other_entries:,} of {other_total:,} numbers of BN statistics and other buffers"
    if params:
        line += f"; chosen by the pattern {params!r}"
    if not entries and not other_entries:
        return Report([line], [_nothing_moves(params)])
    if entries < MIN_MOVED_SHARE * (total - unused) and not params:
        return Report([line], [_few_parameters_move(parameters, entries, total, unused)])
    return Report([line])


def _count(parts: list[Moved]) -> tuple[int, int]:
    """Return the number of entries that move, and the number of all entries."""
    return sum(part.entries() for part in parts), sum(part.tensor.value.numel() for part in parts)


def _nothing_moves(params: str) -> Caution:
    fault = "nothing moves, so the surface is flat"
    if params:
        return Caution(
            f"{fault}, as all that the pattern {params!r} finds is held or has zero norm",
            "give another {params}, or other {xignore} and {yignore}",
        )
    return Caution(fault, "{xignore} and {yignore} hold the whole net, or all filters have zero norm")


def _few_parameters_move(parameters: list[Moved], entries: int, total: int, unused: int) -> Caution:
    still: dict[str, int] = {}
    for part in parameters:
        staying = part.tensor.value.numel() - part.unused() - part.entries()
        still[part.tensor.kind] = still.get(part.tensor.kind, 0) + staying
    kind = max(still, key=still.__getitem__)
    of_what = "parameters that have an effect" if unused else "parameters"
    fault = (
        f"only {100 * entries / (total - unused):.3g} % of the {of_what} move; "
        f"{still[kind]:,} that stay are of kind {kind}"
    )
    if kind in ("norm", "bias"):
        return Caution(fault, "{xignore} and {yignore} hold them")
    return Caution(f"{fault}, and the directions are zero there")


def _lengths(moved: list[Moved], norms: Mapping[str, str]) -> Report:
    """Report ||d|| / ||w|| for each kind of tensor, with a direction d and the net's weights w."""
    net_lengths = _lengths_by_kind(moved, [part.tensor.value for part in moved])
    kinds = [kind for kind in net_tensors.KINDS if kind in net_lengths]
    directions = zip(*(part.parts for part in moved), strict=True)
    texts, warnings = [], []
    for axis, direction in zip("xy", directions, strict=False):
        lengths = _lengths_by_kind(moved, direction)
        ratios = {kind: _ratio(lengths[kind], net_lengths[kind]) for kind in kinds}
        texts.append(f"{axis} " + ", ".join(f"{kind} {ratio:.3g}" for kind, ratio in ratios.items()))
        if axis in norms and norms[axis] not in ("filter", "layer"):
            warnings += _far_from_net(axis, ratios, norms[axis])
    return Report([f"length of direction by length of net: {'; '.join(texts)}"], warnings)


def _far_from_net(axis: str, ratios: dict[str, float], norm: str) -> list[Caution]:
    """Warn of the ratio that is farthest from 1, if it is outside 1/5 to 5. Ratios of 0 are ignored."""
    moving = {kind: ratio for kind, ratio in ratios.items() if ratio > 0}
    far = {
        kind: ratio for kind, ratio in moving.items() if not 1 / MAX_LENGTH_RATIO < ratio < MAX_LENGTH_RATIO
    }
    if not far:
        return []
    distances = {kind: abs(np.log(ratio)) for kind, ratio in far.items()}
    kind = max(distances, key=distances.__getitem__)
    fault = (
        f"the {axis} direction is {far[kind]:.3g} times as long as the net in its {kind} tensors, "
        f"as it is normalised by {norm or 'nothing'}"
    )
    return [Caution(fault, f"{{{axis}norm:filter}} gives one that compares between nets")]


def _lengths_by_kind(moved: list[Moved], tensors: Sequence[Tensor]) -> dict[str, float]:
    """Return the joint norm of all tensors of each kind, without the tensors that cannot move."""
    squares: dict[str, float] = {}
    for part, tensor in zip(moved, tensors, strict=True):
        if part.tensor.moves:
            squares[part.tensor.kind] = squares.get(part.tensor.kind, 0.0) + length(tensor) ** 2
    return {kind: square**0.5 for kind, square in squares.items()}


def _ratio(direction: float, net: float) -> float:
    if direction == 0:
        return 0.0
    return direction / net if net > 0 else float("inf")


def _cosine(
    moved: list[Moved], directions: list[Direction], *, other_model: bool, are_random: bool
) -> Report:
    if len(directions) < 2:
        return Report()
    if other_model:  # the plane's angles are those of the parameters, not of BN statistics (`nets.plane`)
        counted = [part.tensor.is_parameter for part in moved]
        directions = [list(compress(direction, counted)) for direction in directions]
    cosine = net_plotter.cosine(*directions)
    lines = [f"cosine between x and y: {cosine:.6f}"]
    are_same = all(torch.equal(x, y) for x, y in zip(*directions, strict=True))
    if abs(cosine) <= MAX_COSINE or are_same:
        return Report(lines)
    fault = f"the cosine between x and y is {cosine:.3f}, and figures draw them at right angles"
    if other_model:
        fault += ": they lead to other nets, which need not lie at right angles"
        return Report(lines, [Caution(fault)])
    if any(_is_own_bias_in_both(part) for part in moved):
        fault += ", as both hold the net's own biases and norm layers"
        return Report(lines, [Caution(fault, "{xignore:biasbn} and {yignore:biasbn} leave these out")])
    if not are_random:
        return Report(lines, [Caution(fault)])
    fault += ", as so few numbers move that random directions are not at right angles"
    return Report(lines, [Caution(fault, "another {seed} gives others")])


def _is_own_bias_in_both(part: Moved) -> bool:
    """Return whether both directions are equal and not zero in a bias or a norm layer."""
    tensor = part.tensor
    if not tensor.is_parameter or tensor.by_filters:
        return False
    x, y = part.parts
    return bool(x.any()) and torch.equal(x, y)


def _ties(moved: list[Moved]) -> Report:
    ties = [" = ".join(part.tensor.names) for part in moved if len(part.tensor.names) > 1]
    return Report([f"tied tensors, moved once: {'; '.join(ties)}"] if ties else [])


def _adapters(moved: list[Moved]) -> Report:
    """Report whether low-rank or other adapters move, and whether the net without them moves."""
    parameters = [part for part in moved if part.tensor.is_parameter]
    adapters = [part for part in parameters if ADAPTER.search(part.tensor.names[0])]
    base = [part for part in parameters if not ADAPTER.search(part.tensor.names[0])]
    if not adapters or not base:
        return Report()
    adapters_move = any(part.entries() for part in adapters)
    base_moves = any(part.entries() for part in base)
    movement = {
        (True, True): "they and the base move",
        (True, False): "they move, the base does not",
        (False, True): "the base moves, they do not",
        (False, False): "neither they nor the base move",
    }[adapters_move, base_moves]
    name = adapters[0].tensor.names[0]
    line = f"adapters: {len(adapters)} tensors such as {name}; {movement}"
    if not (adapters_move and base_moves):
        return Report([line])
    match = ADAPTER.search(name)
    assert match is not None
    advice = f"{{params:{match[0]}}} moves the adapters alone"
    return Report([line], [Caution("the net has adapters and its base moves with them", advice)])
