"""Fills in the points of a surface that a run with `refine` left unmeasured."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from losslandscape.files.lattices import first_stride, on_lattice, predicted
from losslandscape.files.refinement import Heights, plan
from losslandscape.files.surface import Surface


@dataclass(frozen=True)
class Refinement:
    """A refinement that a run has recorded.

    Args:
        tolerance: the largest error that is accepted, as a share of the spread.
        names: the quantities that the run measured.
    """

    tolerance: float
    names: list[str]

    def record(self) -> dict[str, Any]:
        """Return the entry `refine` of the record of a run."""
        return {"tolerance": self.tolerance, "names": self.names}


def refinements(surface: Surface) -> Iterator[Refinement]:
    """Yield the different refinements that the runs of a surface recorded, the last first."""
    entries = [run.get("refine") for run in reversed(surface.runs) if isinstance(run, dict)]
    seen: list[Refinement] = []
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        tolerance, names = entry.get("tolerance"), entry.get("names")
        if not isinstance(tolerance, float) or not isinstance(names, list) or not names:
            continue
        if set(names) <= set(surface.names):
            found = Refinement(tolerance, names)
            if found not in seen:
                seen.append(found)
                yield found


def with_interpolated(surface: Surface) -> Surface:
    """Return a surface whose unmeasured points are interpolated, if a refinement of it is complete.

    Else return the surface itself. The returned surface is for figures: it is never written.
    """
    for refinement in refinements(surface):
        points = plan(surface, refinement.names, refinement.tolerance)
        if points.missing.size == 0:
            full = copy.deepcopy(surface)
            for name in refinement.names:
                values, error = _filled(surface, name, points.checked)
                full.interpolate(name, values, error)
            return full
    return surface


def _filled(surface: Surface, name: str, checked: np.ndarray) -> tuple[np.ndarray, float | None]:
    """Return the values with predictions where none is measured, and the largest error at checked points.

    The predictions stay within the range of the measured values. The error is a share of the spread; None
    without a check.
    """
    measured = surface.measured(name)
    heights = Heights.of(surface.get(name), name, measured)
    filled, errors = heights.values.copy(), np.full(surface.shape, np.nan)
    stride = first_stride(surface.shape)
    while stride > 1:
        stride //= 2
        new = on_lattice(surface.shape, stride) & ~on_lattice(surface.shape, 2 * stride)
        prediction = predicted(filled, stride)
        errors = np.where(new & checked, np.abs(prediction - heights.values), errors)
        filled = np.where(new & ~measured, prediction, filled)
    known = heights.values[np.isfinite(heights.values)]
    if known.size:
        filled = np.clip(filled, known.min(), known.max())
    values = np.exp(filled) if heights.log else filled
    known_errors = errors[np.isfinite(errors)]
    if not known_errors.size:
        return values, None
    return values, float(known_errors.max() / heights.spread) if heights.spread else 0.0
