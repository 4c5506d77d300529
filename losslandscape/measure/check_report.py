"""Reports on a surface before a long run: facts, and warnings of likely mistakes.

Each warning says what is wrong and what to do about it.
"""

from collections.abc import Mapping, Sized

import numpy as np
from torch import nn

from losslandscape.evaluate.batching import Batching
from losslandscape.evaluate.fit_check import Estimate
from losslandscape.measure.direction_checks import check_directions
from losslandscape.measure.net_checks import check_statistics, check_training_modes
from losslandscape.measure.repeatability_checks import check_repeatability
from losslandscape.measure.report import Caution, Report
from losslandscape.measure.rounding_checks import check_rounding
from losslandscape.nets.net_plotter import Direction

MAX_ERROR_SHARE = 0.2  # a warning is given above this ratio of the standard error to the loss
MAX_PENALTY_RATIO = 10.0  # a warning is given above this ratio of the weight penalty to the data term


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
    batching: Batching | None = None,
    recomputed: bool = False,
    over_inputs: bool = False,
) -> Report:
    """Return facts and warnings about a surface before it is measured.

    Args:
        net: the net at the centre of the surface, on the device that measures.
        directions: the directions of x, and in a plane of y.
        points: (n, number of directions) coordinates of the surface.
        dir_type: `weights` or `states`.
        sets: the samples of each part of the data (`train`, `test`).
        norms: the normalisation of each random direction, by axis `x` or `y`. Other directions have no entry.
        params: the regular expression that selected the tensors that move; empty for all.
        other_model: whether some direction points to another net.
        centre: the estimated loss and accuracy at the centre, for each part of the data that was tried.
        recorded: the accuracy in percent on the last part in `centre`, as the checkpoint records it; None if
            the checkpoint records none.
        penalty: the weight penalty at the centre; None if it is not measured.
        batching: the batches in which the loss is measured, and how it depends on them; None if not known.
        recomputed: whether batch norms' statistics are estimated again at each point.
        over_inputs: whether the inputs of the data move and not the net.
    """
    centre = centre or {}
    if over_inputs:
        direction_reports = [Report(["moves: the inputs; the net stays as it is"])]
    else:
        direction_reports = check_directions(
            net, directions, dir_type=dir_type, norms=norms or {}, params=params, other_model=other_model
        )
        direction_reports.append(check_rounding(net, directions, points, dir_type=dir_type))
    data_reports = [_samples(sets, centre.get("train")), _penalty(centre.get("train"), penalty)]
    if batching:
        data_reports.append(check_repeatability(batching))
    directions_report, data_report = Report.joined(direction_reports), Report.joined(data_reports)
    leaves_centre = bool(np.any(points))  # if only the centre is measured, the directions do not matter
    warnings = [
        *(directions_report.warnings if leaves_centre else []),
        *data_report.warnings,
        *check_training_modes(net),
        *check_statistics(
            net, directions, points, dir_type=dir_type, other_model=other_model, recomputed=recomputed
        ),
        *_accuracy(centre, recorded),
    ]
    return Report(directions_report.lines + data_report.lines, warnings)


def _samples(sets: Mapping[str, Sized], centre: Estimate | None) -> Report:
    """Report the number of samples of each part, and the standard error of the loss at the centre."""
    line = "samples: " + ", ".join(f"{len(data):,} {part}" for part, data in sets.items())
    if centre is None or centre.error is None:
        return Report([line])
    share = 0.0
    if centre.error:
        share = abs(centre.error / centre.loss) if centre.loss else float("inf")
    line += f"; standard error of the loss at the centre {centre.error:.3g} ({100 * share:.2g} %)"
    if share <= MAX_ERROR_SHARE:
        return Report([line])
    fault = (
        f"the standard error of the loss at the centre is {100 * share:.2g} % of it, "
        "so features near the centre that are no higher are noise"
    )
    return Report([line], [Caution(fault, "measure on more samples (a smaller {data_split}, or none)")])


def _penalty(centre: Estimate | None, penalty: float | None) -> Report:
    if centre is None or penalty is None:
        return Report()
    lines = [f"at the centre: data term {centre.loss:.4g}, weight penalty {penalty:.4g}"]
    if penalty <= MAX_PENALTY_RATIO * abs(centre.loss):
        return Report(lines)
    fault = (
        f"the weight penalty at the centre is {penalty:.4g} where the data term is {centre.loss:.4g}, "
        "so train_regularised_loss shows a parabola"
    )
    return Report(lines, [Caution(fault, "plot train_loss, or give the {weight_decay} of the training")])


def _accuracy(centre: Mapping[str, Estimate], recorded: float | None) -> list[Caution]:
    """Warn if the accuracy at the centre is far below the accuracy that the checkpoint records."""
    if recorded is None or not centre:
        return []
    part, estimate = list(centre.items())[-1]
    if not estimate.far_below(recorded):
        return []
    fault = (
        f"the accuracy at the centre is {estimate.accuracy:.1f} % of the {part} samples tried, "
        f"and the checkpoint says {recorded:.1f} %; "
        "the usual cause is preprocessing that differs from the training's"
    )
    return [Caution(fault, "see {raw_data}, {mean}, {std} and {dataset}")]
