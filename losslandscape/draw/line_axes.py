"""Finishes the axes of 1-D figures: scales, ticks, labels, legend and footnotes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, MaxNLocator, NullFormatter

from losslandscape.core.errors import InputError
from losslandscape.draw import figure_details, figures, page_layout, page_style
from losslandscape.draw.contour_levels import log_ticks
from losslandscape.draw.figure_details import NONE
from losslandscape.draw.labels import axis_labels
from losslandscape.draw.page_layout import wrap_text
from losslandscape.draw.type_settings import width_of_page
from losslandscape.draw.vertical_axes import Limits, VerticalAxis
from losslandscape.files.surface import Surface

MAX_INTERVALS = 6  # between x ticks
ROUND_STEPS = (1, 2, 5, 10)  # of x ticks; steps of 2.5 need one digit more, which narrow panels lack
PLAIN = (1e-3, 1e5)  # sizes of numbers that are written without a power of ten
MAX_DIGITS = 15
RATIO = 0.7  # height / width of a panel
MAX_NOTES = 3  # lines of a footnote; if there are more notes, a further line says so


class UniformFormatter(Formatter):
    """A tick formatter that writes either all numbers plainly or all with a power of ten, each in full."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        return self.format_ticks([value])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        sizes = [abs(value) for value in values if value]
        is_plain = all(PLAIN[0] <= size < PLAIN[1] for size in sizes)
        return (_plain_texts if is_plain else _power_texts)(np.asarray(values, dtype=float))


class LogFormatter(UniformFormatter):
    """A `UniformFormatter` for a log scale, where numbers need not have the same decimals."""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        texts = super().format_ticks(values)
        return texts if any("$" in text for text in texts) else [f"{value:g}" for value in values]


def _plain_texts(values: np.ndarray) -> list[str]:
    tolerance = _tolerance(values)
    decimals = 0
    while decimals < MAX_DIGITS and (np.abs(np.round(values, decimals) - values) > tolerance).any():
        decimals += 1
    return [f"{value + 0.0:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for value in values]


def _power_texts(values: np.ndarray) -> list[str]:
    tolerance = _tolerance(values)
    digits = 0
    while digits < MAX_DIGITS and any(abs(float(f"{v:.{digits}e}") - v) > tolerance for v in values):
        digits += 1
    parts = [f"{value:.{digits}e}".split("e") for value in values]
    is_power = all(float(factor) == 1 for factor, _ in parts)
    texts = []
    for value, (factor, power) in zip(values, parts, strict=True):
        times = "" if is_power else rf"{factor}\times"
        texts.append(rf"${times}10^{{{int(power)}}}$" if value else "0")
    return texts


def _tolerance(values: np.ndarray) -> float:
    """Return a hundredth of the least distance between values, or of the value if there is one."""
    if values.size < 2:
        return float(np.abs(values).max(initial=0)) / 100
    return float(np.diff(np.sort(values)).min()) / 100


def finish_vertical(axes: Axes, vertical: VerticalAxis, *, coloured: bool) -> None:
    """Set the scale, limits, ticks and label of a vertical axis."""
    colour = vertical.colour if coloured else "black"
    axes.set_ylabel(vertical.label, color=colour)
    axes.tick_params(axis="y", which="both", labelcolor=colour)
    axes.margins(y=0.05)
    if vertical.log:
        axes.set_yscale("log")
    if vertical.limits:
        axes.set_ylim(*vertical.limits)
    if vertical.log and vertical.limits:
        axes.set_yticks(log_ticks(*vertical.limits))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(LogFormatter() if vertical.log else UniformFormatter())


def finish_horizontal(
    axes: Axes, ends: Limits, *, xlabel: str = r"$\alpha$", surface: Surface | None = None
) -> None:
    """Set the ends, ticks, label and grid of a panel; the file of the surface may say what moves."""
    if surface:
        (xlabel,) = axis_labels(surface, xlabel)
    axes.set_xlim(*ends)
    axes.xaxis.set_major_locator(MaxNLocator(MAX_INTERVALS, steps=ROUND_STEPS))
    axes.xaxis.set_major_formatter(UniformFormatter())
    axes.set_xlabel(figure_details.current().xlabel or xlabel)
    axes.grid(True, axis="y", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)


def horizontal_ends(surfaces: Sequence[Surface], xmin: float | None, xmax: float | None) -> Limits:
    """Return the ends of the horizontal axis; None takes the end of the data.

    Raises:
        InputError: no surface has a point between the ends.
    """
    low = min(surface.x.min() for surface in surfaces) if xmin is None else xmin
    high = max(surface.x.max() for surface in surfaces) if xmax is None else xmax
    if low > high:
        raise InputError(f"xmin {low:g} is greater than xmax {high:g}")
    if all(surface.x.max() < low or surface.x.min() > high for surface in surfaces):
        first = surfaces[0]
        extent = f"{first.called} goes from {first.x.min():g} to {first.x.max():g}"
        raise InputError(f"nothing lies between xmin {low:g} and xmax {high:g}: {extent}")
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def name_outermost(with_curves: Sequence[list[Axes]]) -> None:
    """Label each shared scale once per row of panels: at the leftmost panel with curves, or the rightmost."""
    for side, outermost, panels in zip(("left", "right"), (0, -1), with_curves, strict=False):
        rows: dict[int, list[Axes]] = {}
        for axes in panels:
            spec = axes.get_subplotspec()
            rows.setdefault(spec.rowspan.start if spec else 0, []).append(axes)
        named = [row[outermost] for row in rows.values()]
        for axes in panels:
            is_named = axes in named
            axes.tick_params(axis="y", which="both", **{f"label{side}": is_named})
            if not is_named:
                axes.set_ylabel("")


def write_notes(fig: Figure, notes: Sequence[str]) -> None:
    """Write the first different notes below a figure, unless the user gives another text."""
    different = list(dict.fromkeys(notes))
    lines = different[:MAX_NOTES]
    if len(different) > MAX_NOTES:
        lines.append("and more missing in other files")
    figures.footnote(fig, "\n".join(lines))


def add_legend(fig: Figure, handles: Sequence[Artist]) -> None:
    """Add a legend where the user wants it, by default above the panels, where it hides nothing.

    Of handles with equal texts it shows the last. It is left out if axis labels already name all curves.
    """
    by_label = {str(handle.get_label()): handle for handle in handles}
    is_named = by_label.keys() <= {axes.get_ylabel() for axes in fig.axes}
    legend = figure_details.current().legend
    if legend == NONE or (is_named and not legend):
        return
    if legend:
        # The axes that were added last are drawn over all others: so nothing covers the legend.
        above = [axes for axes in fig.axes if axes.bbox.bounds == fig.axes[0].bbox.bounds][-1]
        place: Any = legend
        above.legend(handles=list(by_label.values()), loc=place, framealpha=0.9)
        return
    _add_legend_above(fig, list(by_label.values()))


def _add_legend_above(fig: Figure, handles: Sequence[Artist]) -> None:
    """Add a legend above the panels in as few rows as fit; wrap texts that are wider than the figure."""
    for rows in range(1, len(handles) + 1):
        columns = -(-len(handles) // rows)
        style: dict[str, Any] = {"ncols": columns, "frameon": False, "columnspacing": 1.2}
        legend = fig.legend(handles=handles, loc="outside upper center", handletextpad=0.6, **style)
        beyond = legend.get_window_extent().width - fig.bbox.width
        if beyond <= 0 or columns == 1:
            break
        legend.remove()
    if beyond > 0:
        texts = legend.get_texts()
        widest = max(text.get_window_extent().width for text in texts)
        for text in texts:
            wrap_text(text, widest - beyond)


def fit_height(fig: Figure, ratio: float = RATIO) -> None:
    """Give a figure the height at which its panels have this height / width, whatever stands around them."""
    panel = fig.axes[0]
    spec = panel.get_subplotspec()
    rows = spec.get_gridspec().nrows if spec else 1
    # What stands around the panels needs the same room at any height, so one trial with enough room is exact.
    trial = fig.get_figheight() + rows * fig.get_figwidth()
    fig.set_figheight(trial)
    if any(axes.get_title() for axes in fig.axes):
        page_layout.fit(fig, full_width=width_of_page() is not None)  # which wraps titles
    else:
        fig.draw_without_rendering()
    spare = rows * (panel.bbox.height - ratio * panel.bbox.width) / fig.dpi
    fig.set_figheight(min(trial - spare, page_style.current().max_height))
