"""Draws a spectral density, which shows where the eigenvalues of a curvature matrix lie."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from losslandscape.curvature.density import Density
from losslandscape.draw import figures
from losslandscape.draw.contour_levels import log_ticks
from losslandscape.draw.line_axes import LogFormatter, UniformFormatter, add_legend
from losslandscape.draw.type_settings import scaled

FLOOR = 0.1  # the lower end of the axis, relative to the peak of one eigenvalue, so that each is visible
HEADROOM = 3  # the upper end of the axis, relative to the highest density


@figures.styled
def draw_density(
    density: Density,
    stem: str,
    *,
    name: str,
    count: int,
    known: Sequence[float] = (),
    formats: Sequence[str] = ("pdf",),
) -> list[str]:
    """Draw a density on a logarithmic scale, with a band of one standard error.

    Args:
        stem: the figure is saved as `<stem>.<format>`.
        name: the name of the matrix, which becomes the title.
        count: the number of all eigenvalues of the matrix.
        known: the eigenvalues to mark.

    Returns:
        The paths of the figures.
    """
    fig, (axes,) = figures.new_panels([name], panel=(6.4, 4.8))
    axes.set(xlabel="eigenvalue", ylabel="density of eigenvalues")
    if np.isfinite(density.density).all():
        _draw_curve(axes, density, count)
        _mark(fig, axes, [value for value in known if math.isfinite(value)])
        probes, steps = density.nodes.shape
        note = (
            f"{probes} random vectors, {steps} Lanczos steps, Gaussians of deviation {density.width:.2g}; "
            "band: one standard error"
        )
    else:
        axes.set(xticks=[], yticks=[])
        note = "the second derivative is not finite here"
    figures.footnote(fig, note)
    return figures.save(fig, stem, formats)


def _draw_curve(axes: Axes, density: Density, count: int) -> None:
    floor = FLOOR / (count * density.width * math.sqrt(2 * math.pi))
    grid, values = density.grid, density.density
    low = np.maximum(values - density.standard_error, floor)
    high = values + density.standard_error
    axes.fill_between(grid, low, high, where=high > floor, color="tab:blue", alpha=0.25, linewidth=0)
    axes.semilogy(grid, np.where(values > floor, values, np.nan), color="tab:blue")
    top = HEADROOM * values.max()
    axes.set(ylim=(floor, top), xlim=(grid[0], grid[-1]))
    axes.set_yticks(log_ticks(floor, top))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.xaxis.set_major_formatter(UniformFormatter())


def _mark(fig: Figure, axes: Axes, eigenvalues: Sequence[float]) -> None:
    """Mark eigenvalues just above the lower axis."""
    if not eigenvalues:
        return
    handles = axes.plot(
        eigenvalues,
        np.full(len(eigenvalues), 0.02),
        "|",
        color="tab:red",
        markersize=scaled(12),
        markeredgewidth=scaled(1.8),
        transform=axes.get_xaxis_transform(),
        label="outermost eigenvalues" if len(eigenvalues) > 1 else "eigenvalue",
    )
    add_legend(fig, handles)
