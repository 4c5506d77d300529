"""Draws convexity maps: the smallest Hessian eigenvalue by the largest (Li et al. 2018, section 6).

Where |min/max| is near 0, the loss is nearly convex. The signed ratio is negative where the loss curves down.
The divisor is |max|, so the ratio is also negative where the loss curves down in every direction.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.colors import Normalize

from losslandscape.core.errors import InputError
from losslandscape.draw import curves, figure_details, figures, metrics_table, panels
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.contour_levels import COLOURS, Scale
from losslandscape.draw.convexity import EIGENVALUES, eigenvalue_ratio
from losslandscape.draw.drawable import describe_missing
from losslandscape.draw.labels import label
from losslandscape.draw.page_style import Page, paged
from losslandscape.draw.vertical_axes import LEAST_USED, VerticalAxis
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface

RATIO, ABS_RATIO = "eig_ratio", "eig_abs_ratio"
MARGIN = 0.02  # of a line's axis, relative to its end: the frame would hide a curve at the end
# Possible ends of the scale: the published program's, and 1, where the loss curves down as much as up.
# Values beyond the end take its colour.
TOPS = (0.5, 1.0)
DIVERGING = "RdBu"  # red where the loss curves down, white where it is flat, blue where it curves up


@paged
def plot_eigenvalues(
    *surf_files: str | Surface,
    titles: Sequence[str] = (),
    out: str = "",
    json_file: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
    page: Page | None = None,
) -> list[str]:
    """Draw the ratio of eigenvalues of surfaces, side by side on one scale, and print the metrics.

    On a line, the figures are `<out>_1d_eig_ratio` and `<out>_1d_eig_abs_ratio`; in a plane,
    `<out>_min_eig_max_eig_ratio_heat_sns` and `<out>_min_eig_max_eig_abs_ratio_heat_sns`. The arguments are
    those of `plot_1d` and `plot_2d`.

    Returns:
        The paths of the figures.

    Raises:
        InputError: a surface has no eigenvalues, or there are lines among planes.
    """
    surfaces = [h5_util.as_surface(file) for file in surf_files]
    for surface in surfaces:
        require_eigenvalues(surface)
    is_line = surfaces[0].y is None
    if any((surface.y is None) != is_line for surface in surfaces):
        kind = "1-D" if is_line else "2-D"
        raise InputError(f"{surfaces[0].called} is {kind} and others are not", "give files of one kind")
    shown = Comparison.of(surfaces, titles=titles, out=out, show=show, formats=formats)
    for surface in surfaces:
        if text := describe_missing(surface, "min_eig"):
            print(f"{surface.called}: eigenvalues: {text}.")
    paths = draw_lines(shown) if is_line else draw_heats(shown)
    metrics_table.report(surfaces, shown.titles, [], json_file=json_file)
    if show:
        figures.show()
    return paths


def endings(*, is_line: bool) -> list[str]:
    """Return the ends of the figures' names."""
    return [_ending(name, is_line=is_line) for name in (RATIO, ABS_RATIO)]


def _ending(name: str, *, is_line: bool) -> str:
    return f"1d_{name}" if is_line else f"min_eig_max_{name}_heat_sns"


def has_eigenvalues(surface: Surface) -> bool:
    """Return whether a surface has a finite ratio to draw."""
    return set(EIGENVALUES) <= set(surface.names) and bool(np.isfinite(eigenvalue_ratio(surface)).any())


def require_eigenvalues(surface: Surface) -> None:
    """Raise `InputError` if a surface has no finite ratio to draw."""
    if not set(EIGENVALUES) <= set(surface.names):
        names = ", ".join(surface.names) or "no quantity"
        raise InputError(f"{surface.called} has no {' and '.join(EIGENVALUES)}; it has {names}")
    if not has_eigenvalues(surface):
        missing = describe_missing(surface, "max_eig") or "zero"
        raise InputError(f"{surface.called} has no finite ratio of eigenvalues to draw (max_eig: {missing})")


def draw_lines(shown: Comparison, *, xmin: float | None = None, xmax: float | None = None) -> list[str]:
    """Draw the ratio and its absolute value along lines; return the paths of the figures."""
    shown = replace(shown, surfaces=[_ratios(surface) for surface in shown.surfaces])
    top = _top(shown.surfaces, at_least=LEAST_USED)
    own = replace(figure_details.current(), ylabel="", barrier=False)  # which are those of the loss
    paths = []
    for name, low in ((RATIO, -1), (ABS_RATIO, 0)):
        limits = ((low - MARGIN) * top, (1 + MARGIN) * top)
        axis = VerticalAxis((name,), label(name), limits=limits, is_cut=True)
        with figure_details.drawn_with(own):
            fig = curves.side_by_side(shown, [axis], xmin=xmin, xmax=xmax)
        paths += shown.save(fig, _ending(name, is_line=True))
    return paths


def draw_heats(shown: Comparison) -> list[str]:
    """Draw the ratio and its absolute value in planes as heat maps; return the paths of the figures."""
    shown = replace(shown, surfaces=[_ratios(surface) for surface in shown.surfaces])
    top = _top(shown.surfaces)
    paths = []
    for name, low, colours in ((RATIO, -top, DIVERGING), (ABS_RATIO, 0.0, COLOURS)):
        scale = Scale(np.linspace(low, top, 11), Normalize(low, top), (low, top))
        fig = panels.heat_figure(shown, name, scale, colours=colours)
        paths += shown.save(fig, _ending(name, is_line=False))
    return paths


def _ratios(surface: Surface) -> Surface:
    """Return a surface on the same grid whose quantities are the ratio and its absolute value."""
    ratio = eigenvalue_ratio(surface)
    measured = surface.measured("min_eig") & surface.measured("max_eig")
    signed, absolute = np.where(measured, ratio, -1.0), np.where(measured, np.abs(ratio), -1.0)
    quantities = {RATIO: signed, ABS_RATIO: absolute}
    return Surface(
        surface.path, x=surface.x, y=surface.y, measured=measured, runs=surface.runs, quantities=quantities
    )


def _top(ratios: Sequence[Surface], *, at_least: float = 0.0) -> float:
    """Return the end of the scale: the first of `TOPS` that no absolute ratio exceeds, or the last.

    If all ratios are less than `at_least` times that end, return the greatest of them.
    """
    greatest = float(max(np.nanmax(surface.get(ABS_RATIO)) for surface in ratios))
    if 0 < greatest < at_least * TOPS[0]:
        return greatest
    return next((top for top in TOPS if greatest <= top), TOPS[-1])
