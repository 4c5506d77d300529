"""The paper's convexity maps: how the smallest Hessian eigenvalue compares with the largest, on a line and in a plane (Li et al. 2018, section 6).

Where |min/max| is near 0 the loss is nearly convex; the signed ratio is negative where the loss curves down. In the signed one, max stands for
its size, so that a point that curves down in every direction is negative too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Normalize

from losslandscape.core.errors import InputError
from losslandscape.draw import curves, figures, metrics_table, panels
from losslandscape.draw.contour_levels import Scale
from losslandscape.draw.surface_metrics import eigenvalue_ratio
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface

EIGENVALUES = ("min_eig", "max_eig")
RATIO, ABS_RATIO = "eig_ratio", "eig_abs_ratio"
ROOM = 0.02  # of the scale, beyond its ends on a line: a curve at an end is not hidden by the frame
TOPS = (
    0.5,
    1.0,
)  # of the scale: the published program's, and where the loss curves down as much as up; values beyond take the colour of the end
DIVERGING = "RdBu"  # red where the loss curves down, white where it does not curve, blue where it curves up


def plot_eigenvalues(
    *surf_files: str | Surface,
    titles: Sequence[str] = (),
    out: str = "",
    json_file: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
) -> list[str]:
    """Draw the ratio of the eigenvalues of surface files, several side by side on one scale, print its numbers, and return the paths written.

    On a line `<surf>_1d_eig_ratio` and `<surf>_1d_eig_abs_ratio`, in a plane `<surf>_min_eig_max_eig_ratio_heat_sns` and `…_abs_ratio_heat_sns`.
    Raises `InputError` for a file without eigenvalues, or lines among planes.
    """
    surfaces = [h5_util.as_surface(path) for path in surf_files]
    for surface in surfaces:
        require_eigenvalues(surface)
    if len({surface.y is None for surface in surfaces}) > 1:
        raise InputError(
            f"{surfaces[0].called} is {'1-D' if surfaces[0].y is None else '2-D'} and others are not; give files of one kind"
        )
    titles, stem = figures.titles_and_stem(surf_files, titles, out)
    for surface in surfaces:
        if text := figures.describe_missing(surface, "min_eig"):
            print(f"{surface.called}: eigenvalues: {text}.")
    draw = draw_lines if surfaces[0].y is None else draw_heats
    paths = draw(surfaces, titles, stem, show=show, formats=formats)
    metrics_table.tell(surfaces, titles, [], json_file=json_file)
    if show:
        figures.show()
    return paths


def has_eigenvalues(surface: Surface) -> bool:
    """Whether there is a ratio to draw."""
    return set(EIGENVALUES) <= set(surface.names) and bool(np.isfinite(eigenvalue_ratio(surface)).any())


def require_eigenvalues(surface: Surface) -> None:
    """Raise `InputError` if there is no ratio to draw."""
    if not set(EIGENVALUES) <= set(surface.names):
        raise InputError(
            f"{surface.called} has no {' and '.join(EIGENVALUES)}; it has {', '.join(surface.names) or 'no quantity'}"
        )
    if not has_eigenvalues(surface):
        raise InputError(
            f"{surface.called} has no finite ratio of eigenvalues to draw (max_eig: {figures.describe_missing(surface, 'max_eig') or 'zero'})"
        )


def ratios(surface: Surface) -> Surface:
    """A surface of the same grid whose quantities are the ratio of the eigenvalues and its size."""
    ratio = eigenvalue_ratio(surface)
    known = np.logical_and(*(surface.measured(name) for name in EIGENVALUES))
    return Surface(
        surface.path,
        x=surface.x,
        y=surface.y,
        measured=known,
        runs=surface.runs,
        quantities={RATIO: np.where(known, ratio, -1.0), ABS_RATIO: np.where(known, np.abs(ratio), -1.0)},
    )


def draw_lines(
    surfaces: Sequence[Surface],
    titles: Sequence[str],
    stem: str,
    *,
    xmin: float | None = None,
    xmax: float | None = None,
    show: bool = False,
    formats: Sequence[str] = ("pdf",),
) -> list[str]:
    """The ratio, and its size, along a line."""
    drawn = [ratios(surface) for surface in surfaces]
    paths = []
    for name, low in ((RATIO, -1), (ABS_RATIO, 0)):
        top = _top(drawn)
        side = curves.Side((name,), figures.label(name), limits=((low - ROOM) * top, (1 + ROOM) * top))
        fig = curves.side_by_side(drawn, titles, [side], xmin=xmin, xmax=xmax, show=show)
        paths += figures.save(fig, f"{stem}_1d_{name}", formats, made_by=figures.commands(*surfaces))
    return paths


def draw_heats(
    surfaces: Sequence[Surface],
    titles: Sequence[str],
    stem: str,
    *,
    show: bool = False,
    formats: Sequence[str] = ("pdf",),
) -> list[str]:
    """The ratio, and its size, as heat maps."""
    drawn = [ratios(surface) for surface in surfaces]
    paths = []
    for name, low, colours in ((RATIO, -1, DIVERGING), (ABS_RATIO, 0, panels.COLOURS)):
        top = _top(drawn)
        scale = Scale(np.linspace(low * top, top, 11), Normalize(low * top, top), (low * top, top))
        fig = panels.side_by_side(drawn, titles, name, scale, panels.draw_heat, show=show, colours=colours)
        paths += figures.save(
            fig,
            f"{stem}_min_eig_max_eig_{name.removeprefix('eig_')}_heat_sns",
            formats,
            made_by=figures.commands(*surfaces),
        )
    return paths


def _top(drawn: Sequence[Surface]) -> float:
    """The end of the scale of these surfaces: the first of `TOPS` that holds all sizes, else the last."""
    greatest = max(np.nanmax(surface.get(ABS_RATIO)) for surface in drawn)
    return next((top for top in TOPS if greatest <= top), TOPS[-1])
