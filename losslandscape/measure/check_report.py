"""What a careful person would ask about a surface before a long run, and warnings of what is likely a mistake, each with its cause and its cure."""

import re
from collections.abc import Mapping, Sized
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from losslandscape.core.angle import OBLIQUE
from losslandscape.measure.fit_check import Estimate
from losslandscape.nets import net_plotter, net_tensors
from losslandscape.nets.net_plotter import Direction
from losslandscape.nets.net_tensors import NetTensor

ADAPTER = re.compile(r"lora_|adapter", re.IGNORECASE)
SMALL_SHARE = 0.5  # of the parameters: if fewer move although all may, something is amiss
FAR_FROM_NET = 5.0  # a random direction this many times longer or shorter than the net needs another norm
UNSURE = 0.2  # standard error by loss
MOSTLY_PENALTY = 10.0  # times the data term


@dataclass(frozen=True)
class Report:
    """Facts, a line each, and warnings, a sentence each."""

    lines: list[str]
    warnings: list[str]

    def __str__(self) -> str:
        return "\n".join([*self.lines, *(f"warning: {warning}" for warning in self.warnings)])

    def as_dict(self) -> dict[str, list[str]]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Moved:
    """A tensor of the net with its part of each direction."""

    tensor: NetTensor
    parts: tuple[Tensor, ...]

    def entries(self) -> int:
        """How many of its numbers some direction changes."""
        if not self.tensor.moves:
            return 0
        changed = self.parts[0] != 0
        for part in self.parts[1:]:
            changed |= part != 0
        return int(changed.count_nonzero())


def report(
    net: nn.Module,
    directions: list[Direction],
    points: np.ndarray,
    *,
    dir_type: str,
    sets: Mapping[str, Sized],
    norms: Mapping[str, str] | None = None,
    params: str = "",
    other_model: bool = False,
    centre: Mapping[str, Estimate] | None = None,
    recorded: float | None = None,
    penalty: float | None = None,
) -> Report:
    """Facts and warnings of a surface that is to be measured.

    Args:
        net: at the centre of the surface, on the device that computes.
        points: (n, number of directions) coordinates of the surface.
        sets: data by part.
        norms: by axis, `x` or `y`, the norm of each direction that is random; none of those that are known from a file alone.
        params: the regular expression that chose what moves.
        other_model: whether a direction leads to another net.
        centre: what the net does there, by part, as far as it is known.
        recorded: accuracy in percent on the last part that the checkpoint says it has; None if it says none.
        penalty: weight penalty at the centre.
    """
    moved = [
        _Moved(tensor, tuple(parts))
        for tensor, *parts in zip(net_tensors.tensors(net, dir_type), *directions, strict=True)
    ]
    lines, warnings = [], []
    leaves_centre, known = bool(np.any(points)), centre or {}
    for found in (
        _share(moved, params),
        _lengths(moved, norms or {}),
        _cosine(moved, directions, other_model),
        _zero_filters(moved),
        _ties(moved),
        _adapters(moved),
    ):
        lines += found.lines
        warnings += found.warnings if leaves_centre else []
    for found in (_samples(sets, known.get("train")), _penalty(known.get("train"), penalty)):
        lines += found.lines
        warnings += found.warnings
    return Report(
        lines,
        [
            *warnings,
            *_modes(net),
            *_batch_norms(net, directions, points, dir_type, other_model),
            *_accuracy(known, recorded),
        ],
    )


def _share(moved: list[_Moved], params: str) -> Report:
    counts = {
        False: [0, 0],
        True: [0, 0],
    }  # of statistics and buffers, of parameters: how many move, and there are
    still: dict[str, int] = {}
    for part in moved:
        entries, size = part.entries(), part.tensor.value.numel()
        counts[part.tensor.is_parameter][0] += entries
        counts[part.tensor.is_parameter][1] += size
        if part.tensor.is_parameter:
            still[part.tensor.kind] = still.get(part.tensor.kind, 0) + size - entries
    entries, total = counts[True]
    statistics = (
        f", and {counts[False][0]:,} of {counts[False][1]:,} numbers of BN statistics and other buffers"
        if counts[False][1]
        else ""
    )
    line = (
        f"moves: {entries:,} of {total:,} parameters ({100 * entries / max(total, 1):.4g} %){statistics}"
        + (f"; --params {params!r} chose them" if params else "")
    )
    if not entries and not counts[False][0]:
        return Report(
            [line],
            [
                "nothing moves, so the surface is flat: "
                + (
                    f"what --params {params!r} finds is held by --xignore and --yignore, or has zero norm"
                    if params
                    else "--xignore and --yignore hold it, or all filters have zero norm"
                )
            ],
        )
    if entries < SMALL_SHARE * total and not params:
        kind = max(still, key=still.get)
        return Report(
            [line],
            [
                f"only {100 * entries / total:.3g} % of the parameters move; {still[kind]:,} that stay are of kind {kind}"
                + (
                    ": --xignore and --yignore hold them"
                    if kind in ("norm", "bias")
                    else ", and the directions are zero there"
                )
            ],
        )
    return Report([line], [])


def _lengths(moved: list[_Moved], norms: Mapping[str, str]) -> Report:
    """||d|| / ||w|| by kind, for each direction."""
    net = _lengths_by_kind(
        [part.tensor.kind for part in moved],
        [part.tensor.value if part.tensor.moves else None for part in moved],
    )
    words, warnings = [], []
    for axis, parts in zip("xy", zip(*(part.parts for part in moved), strict=True), strict=False):
        direction = _lengths_by_kind(
            [part.tensor.kind for part in moved],
            [d if part.tensor.moves else None for d, part in zip(parts, moved, strict=True)],
        )
        ratios = {kind: _ratio(direction[kind], net[kind]) for kind in net_tensors.KINDS if kind in net}
        words.append(f"{axis} " + ", ".join(f"{kind} {ratio:.3g}" for kind, ratio in ratios.items()))
        away = {
            kind: ratio
            for kind, ratio in ratios.items()
            if ratio > 0 and not 1 / FAR_FROM_NET < ratio < FAR_FROM_NET
        }
        if axis in norms and norms[axis] not in ("filter", "layer") and away:
            kind = max(away, key=lambda kind: abs(np.log(away[kind])))
            warnings.append(
                f"the {axis} direction is {away[kind]:.3g} times as long as the net in its {kind} tensors, as it is normalised by {norms[axis] or 'nothing'}; "
                f"--{axis}norm filter gives one that compares between nets"
            )
    return Report([f"length of direction by length of net: {'; '.join(words)}"], warnings)


def _lengths_by_kind(kinds: list[str], tensors: list[Tensor | None]) -> dict[str, float]:
    squares: dict[str, float] = {}
    for kind, tensor in zip(kinds, tensors, strict=True):
        if tensor is not None:
            squares[kind] = (
                squares.get(kind, 0.0)
                + float(torch.linalg.vector_norm(tensor.to(net_tensors.wide(tensor.dtype)))) ** 2
            )
    return {kind: square**0.5 for kind, square in squares.items()}


def _ratio(direction: float, net: float) -> float:
    if direction == 0:
        return 0.0
    return direction / net if net > 0 else float("inf")


def _cosine(moved: list[_Moved], directions: list[Direction], other_model: bool) -> Report:
    if len(directions) < 2:
        return Report([], [])
    cosine = net_plotter.cosine(*directions)
    warnings = []
    if abs(cosine) > OBLIQUE and not all(torch.equal(x, y) for x, y in zip(*directions, strict=True)):
        if other_model:
            cause = "they lead to other nets, which need not lie at right angles"
        elif any(
            part.tensor.is_parameter
            and not part.tensor.by_filters
            and part.parts[0].any()
            and torch.equal(*part.parts)
            for part in moved
        ):
            cause = "both hold the net's own biases and norm layers; --xignore biasbn --yignore biasbn leaves them out"
        else:
            cause = "so few numbers move that random directions are not at right angles by themselves; another --idx gives others"
        warnings.append(
            f"the cosine between x and y is {cosine:.3f}, and figures draw them at right angles: {cause}"
        )
    return Report([f"cosine between x and y: {cosine:.6f}"], warnings)


def _zero_filters(moved: list[_Moved]) -> Report:
    """Of embeddings, whose row for padding is zero, nothing is said."""
    total, zero, first, held = 0, 0, "", True
    for tensor, parts in (
        (part.tensor, part.parts)
        for part in moved
        if part.tensor.by_filters and part.tensor.kind != "embedding"
    ):
        dead = tensor.filter_norms(tensor.value.to(net_tensors.wide(tensor.value.dtype))).cpu() == 0
        total, zero = total + len(dead), zero + int(dead.count_nonzero())
        if dead.any():
            first = first or tensor.names[0]
            held &= not any(tensor.filter_norms(d)[dead].any() for d in parts)
    if not zero:
        return Report([], [])
    fate = (
        "they never move, as a filter of zero norm gives a direction of zero norm; --xnorm layer moves them with the rest"
        if held
        else "the directions move them away from zero"
    )
    return Report(
        [f"filters of zero norm: {zero:,} of {total:,}, the first in {first}"],
        [
            f"{zero:,} of {total:,} filters {'has' if zero == 1 else 'have'} zero norm (pruned, or never trained), the first in {first}: {fate}"
        ],
    )


def _ties(moved: list[_Moved]) -> Report:
    ties = [" = ".join(part.tensor.names) for part in moved if len(part.tensor.names) > 1]
    return Report([f"tied tensors, moved once: {'; '.join(ties)}"] if ties else [], [])


def _adapters(moved: list[_Moved]) -> Report:
    parameters = [part for part in moved if part.tensor.is_parameter]
    adapters = [part for part in parameters if ADAPTER.search(part.tensor.names[0])]
    if not adapters or len(adapters) == len(parameters):
        return Report([], [])
    move, base = (
        any(part.entries() for part in parts)
        for parts in (adapters, [part for part in parameters if not ADAPTER.search(part.tensor.names[0])])
    )
    which = {
        (True, True): "they and the base move",
        (True, False): "they move, the base does not",
        (False, True): "the base moves, they do not",
        (False, False): "neither they nor the base move",
    }[move, base]
    line = f"adapters: {len(adapters)} tensors such as {adapters[0].tensor.names[0]}; {which}"
    word = ADAPTER.search(adapters[0].tensor.names[0])[0]
    return Report(
        [line],
        [f"the net has adapters and its base moves with them; --params {word} moves the adapters alone"]
        if move and base
        else [],
    )


def _samples(sets: Mapping[str, Sized], centre: Estimate | None) -> Report:
    line = "samples: " + ", ".join(f"{len(data):,} {part}" for part, data in sets.items())
    if centre is None or centre.error is None:
        return Report([line], [])
    share = abs(centre.error / centre.loss) if centre.loss else float("inf")
    return Report(
        [f"{line}; standard error of the loss at the centre {centre.error:.3g} ({100 * share:.2g} %)"],
        [
            f"the standard error of the loss at the centre is {100 * share:.2g} % of it, so features near the centre that are no higher are noise; "
            "measure on more samples (a smaller --data_split, or none)"
        ]
        if share > UNSURE
        else [],
    )


def _penalty(centre: Estimate | None, penalty: float | None) -> Report:
    if centre is None or penalty is None:
        return Report([], [])
    return Report(
        [f"at the centre: data term {centre.loss:.4g}, weight penalty {penalty:.4g}"],
        [
            f"the weight penalty at the centre is {penalty:.4g} where the data term is {centre.loss:.4g}: train_regularised_loss shows a parabola; "
            "plot train_loss, or give the --weight_decay of the training"
        ]
        if penalty > MOSTLY_PENALTY * abs(centre.loss)
        else [],
    )


def _modes(net: nn.Module) -> list[str]:
    """Dropout and batch norms that are in training mode although the net is evaluated, or as good as that."""
    modes = {module: module.training for module in net.modules()}
    try:
        net.eval()
        left = {name: module for name, module in net.named_modules() if module.training}
    finally:
        for module, mode in modes.items():
            module.training = mode
    cure = "let its train(mode) call super().train(mode)"
    dropouts = [
        name
        for name, module in left.items()
        if isinstance(module, _DropoutNd) or "Drop" in type(module).__name__
    ]
    norms = [name for name, module in left.items() if isinstance(module, _BatchNorm)]
    warnings = []
    if dropouts:
        warnings.append(
            f"{_some('dropout layer', dropouts)} in training mode after eval(), so that the loss is drawn at random at each point; {cure}"
        )
    if norms:
        warnings.append(
            f"{_some('batch norm', norms)} in training mode after eval(), so that the loss depends on --batch_size; {cure}, or set the statistics with "
            "--bn recompute"
        )
    if bare := [
        name
        for name, module in net.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is None
    ]:
        warnings.append(
            f"{_some('batch norm', bare)} without running statistics, so that the loss depends on which samples share a batch; give the --batch_size "
            "of the training, and the same for all surfaces that are compared"
        )
    return warnings


def _some(what: str, names: list[str]) -> str:
    """
    >>> _some("batch norm", ["bn1"]), _some("batch norm", ["bn1", "bn2"])
    ("batch norm 'bn1' is", "2 batch norms, 'bn1' first, are")
    """
    return f"{what} {names[0]!r} is" if len(names) == 1 else f"{len(names)} {what}s, {names[0]!r} first, are"


def _batch_norms(
    net: nn.Module, directions: list[Direction], points: np.ndarray, dir_type: str, other_model: bool
) -> list[str]:
    if (
        other_model
        and dir_type == "weights"
        and any(name.endswith("running_mean") for name in net.state_dict())
    ):
        return [
            "--dir_type weights leaves the BN statistics at those of --model_file, so the loss at the other net is not its own; "
            "use --dir_type states to interpolate"
        ]
    if dir_type != "states":
        return []
    layers, places = net_plotter.negative_variances(net, directions, points)
    if not layers:
        return []
    return [
        f"a batch norm's variance is negative at {len(places)} of {len(points)} points, first that of {layers[0]} at "
        f"({', '.join(f'{c:g}' for c in places[0])}): the loss is NaN there"
    ]


def _accuracy(centre: Mapping[str, Estimate], recorded: float | None) -> list[str]:
    if recorded is None or not centre:
        return []
    part, found = list(centre.items())[-1]
    if not found.far_below(recorded):
        return []
    return [
        f"at the centre {found.accuracy:.1f} % of the {part} samples tried are told right, and the checkpoint says {recorded:.1f} %; the usual cause is "
        "preprocessing that differs from the training's: see --raw_data, --mean, --std and --dataset"
    ]
