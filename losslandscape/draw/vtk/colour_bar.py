"""Draws the colour bar of a lit picture, in letters that stay legible at every size."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from losslandscape.draw.vtk.colours import Colours, colour_map

LETTERS = 0.018  # height of a line of text, as a share of the picture's mean side
MIN_LETTERS = 10  # pixels
# In heights of a line of text:
BAR_WIDTH, BAR_LENGTH, MARGIN = 0.9, 26.0, 1.0
MAX_LENGTH = 0.7  # as a share of the picture's height
MIN_LENGTH = 4.0  # in heights of a line; a shorter bar is left out
MAX_SHARE = 0.4  # of the picture's width; a broader bar is left out
DARK, LIGHT = "#262626", "#f2f2f2"


def letter_height(width: int, height: int) -> float:
    """Return the size of letters in a picture of so many pixels, in pixels."""
    return max(MIN_LETTERS, LETTERS * (width * height) ** 0.5)


def ink(background: np.ndarray | None) -> str:
    """Return the colour of text on a background of red, green and blue from 0 to 1, or on none."""
    is_dark = background is not None and background @ [0.299, 0.587, 0.114] < 0.5
    return LIGHT if is_dark else DARK


def colour_bar(
    colours: Colours,
    label: str,
    ticks: Sequence[tuple[float, str]],
    *,
    size: tuple[int, int],
    ink: str = DARK,
) -> np.ndarray:
    """Return a colour bar on a transparent background, as bytes (height, its own width, 4).

    Where heights lie beyond the colours' ends, the bar ends in an arrow. The width is zero if the picture has
    no room for a bar that can be read.

    Args:
        colours: the colours of the bar.
        label: the text beside the bar.
        ticks: heights, each with its text.
        size: width and height of the whole picture, in pixels.
        ink: the colour of text.
    """
    width, height = size
    letters = letter_height(width, height)
    length = min(BAR_LENGTH * letters, MAX_LENGTH * height)
    if length < MIN_LENGTH * letters:
        return np.zeros((height, 0, 4), np.uint8)
    fig = Figure(figsize=(width / 72, height / 72), dpi=72, facecolor="none")  # a point is a pixel
    canvas = FigureCanvasAgg(fig)
    left, bottom = MARGIN * letters / width, (1 - length / height) / 2
    axes = fig.add_axes((left, bottom, BAR_WIDTH * letters / width, length / height))
    shown = ScalarMappable(Normalize(*colours.ends), colour_map(colours.cmap))
    bar = fig.colorbar(shown, cax=axes, extend=_extend(colours), extendfrac=0.04)
    bar.set_ticks([tick for tick, _ in ticks], labels=[text for _, text in ticks], minor=False)
    bar.ax.tick_params(labelsize=letters, colors=ink, length=0.35 * letters, width=0.06 * letters)
    bar.set_label(label, size=letters, color=ink)
    bar.outline.set_visible(False)
    canvas.draw()
    strip = int(np.ceil(fig.get_tightbbox().x1 * fig.dpi + MARGIN * letters))
    if strip > MAX_SHARE * width:
        return np.zeros((height, 0, 4), np.uint8)
    return np.asarray(canvas.buffer_rgba())[:, :strip].copy()


def _extend(colours: Colours) -> str:
    below, above = colours.lowest < colours.low, colours.highest > colours.high
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
