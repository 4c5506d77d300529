"""Turns a quantity of a plane into heights over a grid: cut off, cut out and resampled.

A height is NaN where the value is NaN, infinite, too large, not measured, or has no logarithm.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw.grid_part import measured_part
from losslandscape.draw.resampling import resample, whole_cells
from losslandscape.files.surface import Surface

LOG_OFFSET = 0.1  # of the published program; it makes the logarithm of a zero loss finite
LARGEST = 1e100  # beyond it, squares and products of coordinates could overflow
# Before a spline is fitted, heights are cut off at low + MAX_CLIFF * (ceiling - low), where `low` is the
# lowest height. A higher cliff would make the spline ripple far around it.
MAX_CLIFF = 2
INTERPOLATED = "interpolated"  # the name of the array that is 1 at interpolated points, else 0
ROUNDING = 1e-12  # relative rounding error of heights


@dataclass(frozen=True)
class Sheet:
    """The part of a plane that is shown, as heights and values over a grid.

    Args:
        x: ascending coordinates (nx,).
        y: ascending coordinates (ny,).
        height: the heights (ny, nx), NaN where unknown.
        values: the values (ny, nx) of each quantity, NaN where unknown; and `INTERPOLATED`, if some are.
    """

    x: np.ndarray
    y: np.ndarray
    height: np.ndarray
    values: dict[str, np.ndarray]

    @property
    def z_range(self) -> tuple[float, float]:
        return float(np.nanmin(self.height)), float(np.nanmax(self.height))

    @property
    def has_cells(self) -> bool:
        return bool(whole_cells(np.isfinite(self.height)).any())


def is_flat(low: float, high: float) -> bool:
    """Return whether `low` and `high` differ by no more than the rounding error of heights."""
    return not high - low > ROUNDING * max(abs(low), abs(high))


def make_sheet(
    surface: Surface,
    name: str,
    *,
    zmax: float | None = None,
    log: bool = False,
    points: tuple[int, int] | None = None,
    bounded: bool = False,
) -> Sheet:
    """Return a quantity of a plane as heights.

    Rows and columns without any measured point are left out. So a run that began with a coarse grid shows
    that grid.

    Args:
        surface: a plane.
        name: the quantity.
        zmax: the value at which heights are cut off.
        log: whether heights are ln(value + 0.1).
        points: the numbers of points along x and y after resampling with a cubic spline; None to keep the
            grid. A new point has a height if the corners of its cell have one.
        bounded: whether to clip heights to the measured range, which a spline leaves at cliffs. They are
            then not cut off at `zmax`; `cut_off` does it along the isocontour.

    Raises:
        InputError: the surface is a line, there is no cell to draw, or `zmax` is not above any value.
    """
    sheet = _measured_sheet(surface, name, log=log)
    low, high = sheet.z_range
    ceiling = ceiling_height(zmax, log=log)
    if zmax is not None and not ceiling > low:
        least = np.nanmin(sheet.values[name])
        fault = f"zmax {zmax:g} is not above any value of {name} in {surface.path}"
        raise InputError(fault, f"give {{zmax}} above the least of them, {least:.3g}")
    if points:
        without_cliffs = np.minimum(sheet.height, low + MAX_CLIFF * (ceiling - low))
        sheet = _resampled(replace(sheet, height=without_cliffs), *points)
    if bounded:
        return replace(sheet, height=np.clip(sheet.height, low, high))
    return replace(sheet, height=np.minimum(sheet.height, ceiling))


def ceiling_height(zmax: float | None, *, log: bool) -> float:
    """Return the height at which a sheet is cut off; infinite without `zmax`."""
    if zmax is None:
        return math.inf
    return float(np.log(zmax + LOG_OFFSET)) if log else zmax


def _measured_sheet(surface: Surface, name: str, *, log: bool) -> Sheet:
    """Return the measured part of a plane; raise `InputError` if it has no cell."""
    if surface.y is None:
        raise InputError(f"{surface.path} is 1-D", "use plot_1D.py")
    part = rows, columns = measured_part(surface, name)
    values = {other: _finite(surface.get(other)[np.ix_(*part)]) for other in surface.names}
    if name in surface.interpolated and surface.interpolated[name].points.any():
        values[INTERPOLATED] = surface.interpolated[name].points[np.ix_(*part)].astype(float)
    height = _logarithm(surface.get(name)[np.ix_(*part)]) if log else values[name]
    sheet = Sheet(surface.x[columns], surface.y[rows], height, values)
    if not sheet.has_cells:
        need = "a surface needs 2x2 neighbouring points that have finite values"
        fault = f"{surface.path}: {name} leaves nothing to draw: {need}"
        if not log and (np.abs(surface.get(name)) >= LARGEST).any():
            fault = f"{fault}, and {LARGEST:g} or beyond is too large"
            raise InputError(fault, "{log:True} shows it")
        raise InputError(fault)
    return sheet


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < LARGEST, values, np.nan)


def _logarithm(values: np.ndarray) -> np.ndarray:
    has_logarithm = np.isfinite(values) & (values > -LOG_OFFSET)
    return np.log(values + LOG_OFFSET, out=np.full(values.shape, np.nan), where=has_logarithm)


def _resampled(sheet: Sheet, nx: int, ny: int) -> Sheet:
    x = np.linspace(sheet.x[0], sheet.x[-1], nx)
    y = np.linspace(sheet.y[0], sheet.y[-1], ny)
    values = {name: resample(sheet.x, sheet.y, array, x, y) for name, array in sheet.values.items()}
    for name, array in values.items():
        if quantity.is_percentage(name):
            np.clip(array, 0, 100, out=array)  # a spline may swing beyond the ends of a percentage
    return Sheet(x, y, resample(sheet.x, sheet.y, sheet.height, x, y), values)
