"""Checks the modules of a net: their modes, and the statistics of batch norms."""

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from losslandscape.measure.report import Caution
from losslandscape.nets.negative_variance import negative_variances
from losslandscape.nets.net_plotter import Direction
from losslandscape.nets.wrappers import traced_in_training


def check_training_modes(net: nn.Module) -> list[Caution]:
    """Warn of dropout and batch norms that stay in training mode, and of batch norms without statistics."""
    training = _left_in_training(net)
    dropouts = [name for name, module in training.items() if _is_dropout(module)]
    norms = [name for name, module in training.items() if isinstance(module, _BatchNorm)]
    all_norms = {name: module for name, module in net.named_modules() if isinstance(module, _BatchNorm)}
    bare = [name for name, norm in all_norms.items() if norm.running_mean is None]
    cure = "let its train(mode) call super().train(mode)"
    warnings = []
    if dropouts:
        fault = f"{_some('dropout layer', dropouts)} in training mode after eval()"
        warnings.append(Caution(f"{fault}, so the loss is drawn at random at each point", cure))
    if norms:
        fault = f"{_some('batch norm', norms)} in training mode after eval()"
        advice = cure + ", or set the statistics with {bn_samples}"
        warnings.append(Caution(f"{fault}, so the loss depends on the batch size", advice))
    if bare:
        fault = f"{_some('batch norm', bare)} without running statistics"
        advice = "give the {batch_size} of the training, and the same for all surfaces that are compared"
        warnings.append(Caution(f"{fault}, so the loss depends on which samples share a batch", advice))
    if traced_in_training(net):
        fault = "torch.jit.trace recorded the net in training mode, which eval() cannot change"
        advice = "call eval() before the net is traced"
        warnings.append(Caution(f"{fault}, so the loss depends on which samples share a batch", advice))
    return warnings


def check_statistics(
    net: nn.Module,
    directions: list[Direction],
    points: np.ndarray,
    *,
    dir_type: str,
    other_model: bool,
    recomputed: bool = False,
) -> list[Caution]:
    """Warn if batch norms' statistics belong to another net, or if a variance is negative at some points.

    If the statistics are `recomputed` at each point, neither matters.
    """
    if recomputed:
        return []
    if dir_type == "weights":
        has_statistics = any(name.endswith("running_mean") for name in net.state_dict())
        if not (other_model and has_statistics):
            return []
        fault = (
            "directions of weights leave the BN statistics at those of the centre, "
            "so the loss at the other net is not its own"
        )
        return [Caution(fault, "use {dir_type:states} to interpolate")]
    layers, places = negative_variances(net, directions, points)
    if not layers:
        return []
    place = ", ".join(f"{coordinate:g}" for coordinate in places[0])
    fault = (
        f"a batch norm's variance is negative at {len(places)} of {len(points)} points, "
        f"first that of {layers[0]} at ({place})"
    )
    return [
        Caution(f"{fault}: the loss is NaN there", "use {bn_samples:recompute} for statistics of each point")
    ]


def _is_dropout(module: nn.Module) -> bool:
    return isinstance(module, _DropoutNd) or "Drop" in type(module).__name__


def _left_in_training(net: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that stay in training mode after `eval()`, and restore the modes of all modules."""
    modes = {module: module.training for module in net.modules()}
    try:
        net.eval()
        return {name: module for name, module in net.named_modules() if module.training}
    finally:
        for module, mode in modes.items():
            module.training = mode


def _some(kind: str, names: list[str]) -> str:
    """Return the subject and the verb of a sentence about these modules.

    >>> _some("batch norm", ["bn1"]), _some("batch norm", ["bn1", "bn2"])
    ("batch norm 'bn1' is", "2 batch norms, 'bn1' first, are")
    """
    return f"{kind} {names[0]!r} is" if len(names) == 1 else f"{len(names)} {kind}s, {names[0]!r} first, are"
