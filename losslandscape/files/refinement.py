"""Decides which points of a surface must be measured so that the others can be interpolated.

The points are measured lattice by lattice, from coarse to fine. A point of a finer lattice is trusted if the
error of its prediction (`lattices.predicted`), judged by the errors of the predictions around it on the
lattice before, is at most the tolerance. Some trusted points are measured all the same, as checks; around a
prediction that turns out wrong, the trusted points are measured too.

Every decision depends only on values at points that were chosen before. So it does not matter which ranks
measured them, when a run was stopped, and which other points a file has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from losslandscape.core import quantity
from losslandscape.files.lattices import first_stride, on_lattice, predicted
from losslandscape.files.surface import Surface

LARGEST = 1e200  # a larger value counts as infinite, as in figures
# On a lattice twice as fine, cubics have a sixteenth of the error where a surface is smooth, and half of it
# at a kink. This share is expected, as the kink may lie less well.
EXPECTED_SHARE = 0.7
WRONG = 0.5  # of the tolerance: around a prediction that errs by more, the points are measured
CHECK_EVERY = 32  # of the trusted points of a lattice, one in so many is measured, but at least one
ROUNDING = 1e-6  # of a height: float32 has no more digits


@dataclass(frozen=True)
class Plan:
    """The points that must be measured, as far as the measured ones tell.

    Args:
        chosen: a mask of the points that must be measured.
        missing: the flat indices of those that are not measured, in C order; none if the plan is complete.
        checked: a mask of the measured points whose prediction was trusted.
    """

    chosen: np.ndarray
    missing: np.ndarray
    checked: np.ndarray


@dataclass(frozen=True)
class Heights:
    """A quantity as it is drawn: its logarithm where contours are logarithmic, else its values.

    Args:
        values: the heights, NaN where the value is not known, not finite, or has no logarithm.
        log: whether they are logarithms.
        spread: highest less lowest.
    """

    values: np.ndarray
    log: bool
    spread: float

    @classmethod
    def of(cls, values: np.ndarray, name: str, known: np.ndarray) -> "Heights":
        """Return the heights of values; those at `known` decide on the logarithm, and have the spread."""
        values = np.where(np.abs(values) < LARGEST, values, np.nan)
        finite = values[known & np.isfinite(values)]
        log = (
            finite.size > 0
            and not quantity.is_percentage(name)
            and quantity.is_logarithmic(finite.min(), finite.max())
        )
        if log:
            positive = values > 0
            values = np.log(values, out=np.full(values.shape, np.nan), where=positive)
            finite = np.log(finite)
        return cls(values, log, float(np.ptp(finite)) if finite.size else 0.0)


def plan(surface: Surface, names: Sequence[str], tolerance: float) -> Plan:
    """Return which points of a surface must be measured.

    The losses decide, or if there is none, the first quantity. When the finest lattice is done, a loss may
    prove to be logarithmic that did not seem so on the coarsest; then all is decided again.

    Args:
        surface: the surface with the values so far.
        names: the quantities that are measured.
        tolerance: the largest error that is accepted, as a share of the spread on the coarsest lattice.
    """
    shown = quantity.shown(names)
    deciding = [name for name in shown if quantity.is_loss(name)] or shown[:1]
    measured: np.ndarray = np.logical_and.reduce([surface.measured(name) for name in names])
    scale = on_lattice(surface.shape, first_stride(surface.shape))
    while True:
        heights = _heights(surface, deciding, scale)
        found = _plan(heights, measured, tolerance)
        chosen = scale | found.chosen
        logs = [one.log for one in _heights(surface, deciding, chosen)]
        if found.missing.size or logs == [one.log for one in heights]:
            return found
        scale = chosen


def _heights(surface: Surface, names: Sequence[str], known: np.ndarray) -> list[Heights]:
    return [Heights.of(surface.get(name), name, known) for name in names]


def _plan(heights: Sequence[Heights], measured: np.ndarray, tolerance: float) -> Plan:
    shape = measured.shape
    stride = first_stride(shape)
    chosen, checked = on_lattice(shape, stride), np.zeros(shape, bool)
    predictions = [_Prediction(one, stride, tolerance) for one in heights]
    while measured[chosen].all() and stride > 1:
        stride //= 2
        new = on_lattice(shape, stride) & ~on_lattice(shape, 2 * stride)
        doubted = new & _any([one.doubted(stride) for one in predictions])
        wanted = doubted | _checks(new & ~doubted)
        while measured[wanted].all():
            wrong = _any([one.wrong(wanted) for one in predictions])
            more = new & ~wanted & _greatest_near(wrong, 2 * stride)
            if not more.any():
                break
            wanted |= more
        chosen |= wanted
        checked |= wanted & ~doubted
        for one in predictions:
            one.refine(wanted, new)
    return Plan(chosen, np.flatnonzero(chosen & ~measured), checked & measured)


class _Prediction:
    """The prediction of a quantity, lattice by lattice, and the errors that it is expected to have."""

    def __init__(self, heights: Heights, stride: int, tolerance: float):
        """Begin with the first lattice; the errors there are those of its prediction from a coarser one."""
        known = heights.values
        largest = np.abs(known[np.isfinite(known)]).max(initial=0)
        self._limit = max(tolerance * heights.spread, ROUNDING * largest)
        self._measured = known
        self._prediction = predicted(known, stride)
        first = on_lattice(known.shape, stride)
        self._errors = self._errors_at(first & ~on_lattice(known.shape, 2 * stride))
        self._filled = np.where(first, known, np.nan)

    def doubted(self, stride: int) -> np.ndarray:
        """Predict the next lattice; return a mask of the points whose prediction is not trusted."""
        self._prediction = predicted(self._filled, stride)
        self._expected = EXPECTED_SHARE * _greatest_near(self._errors, 2 * stride)
        return ~(self._expected <= self._limit) | ~np.isfinite(self._prediction)

    def wrong(self, wanted: np.ndarray) -> np.ndarray:
        """Return a mask of the points whose measured value is too far from the prediction."""
        return self._errors_at(wanted) > WRONG * self._limit

    def refine(self, wanted: np.ndarray, new: np.ndarray) -> None:
        """Take the measured values of the lattice, and the predicted ones between them."""
        self._errors = np.where(wanted, self._errors_at(wanted), np.where(new, self._expected, 0))
        self._filled = np.where(wanted, self._measured, np.where(new, self._prediction, self._filled))

    def _errors_at(self, wanted: np.ndarray) -> np.ndarray:
        """Return the errors of the prediction; infinite without one or a finite value, 0 elsewhere."""
        errors = np.abs(self._prediction - self._measured)
        return np.where(wanted, np.where(np.isfinite(errors), errors, np.inf), 0)


def _any(masks: Sequence[np.ndarray]) -> np.ndarray:
    result: np.ndarray = np.logical_or.reduce(masks)
    return result


def _checks(trusted: np.ndarray) -> np.ndarray:
    """Return a mask of the trusted points to measure as checks, evenly among all."""
    points = np.flatnonzero(trusted)
    mask = np.zeros(trusted.shape, bool)
    mask.flat[points[min(CHECK_EVERY, points.size) // 2 :: CHECK_EVERY]] = True
    return mask


def _greatest_near(values: np.ndarray, distance: int) -> np.ndarray:
    """Return the greatest value in the square of this many points to each side."""
    from scipy.ndimage import maximum_filter  # here, as the import is slow

    return maximum_filter(values, size=2 * distance + 1, mode="constant")
