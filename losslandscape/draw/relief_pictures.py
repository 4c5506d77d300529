"""Makes pictures of planes in 3-D for the panels of a figure: lit by VTK, or by matplotlib without it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from mpl_toolkits.mplot3d import Axes3D

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import surface_panels
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.contour_levels import Scale
from losslandscape.draw.page_style import MIN_SIZE, MIN_WIDTH, Page, drawn_on
from losslandscape.draw.vtk.look import Look
from losslandscape.draw.vtk.pictures import pictures
from losslandscape.draw.vtk.sheet import LOG_OFFSET
from losslandscape.draw.vtk.stage import HUGE_RATIO, Subject, prepare
from losslandscape.draw.vtk.window import usable_kind
from losslandscape.files.surface import Surface

ASPECT = 4 / 3  # width by height of a picture before its empty margin is cut off
LOOK = Look(bar=False, background="transparent")
EMPTY = 250  # from 0 to 255; what is whiter is empty in a picture of matplotlib


@dataclass(frozen=True)
class Reliefs:
    """Pictures of surfaces, which all have the same scale and frame.

    Args:
        pictures: bytes (height, width, 4), one per surface; red, green, blue and opacity.
        log: whether heights are logarithmic.
        offset: what is added to a value before its logarithm.
        colours: the colours of the heights; None if the pictures have axes that tell the heights.
        ticks: heights for a colour bar, each with its text.
    """

    pictures: list[np.ndarray]
    log: bool
    offset: float = 0.0
    colours: ScalarMappable | None = None
    ticks: list[tuple[float, str]] = field(default_factory=list)


def reliefs(surfaces: Sequence[Surface], name: str, scale: Scale, *, width: float, dpi: int) -> Reliefs:
    """Return 3-D pictures of planes, lit if VTK is installed and works here.

    Args:
        surfaces: planes.
        name: the quantity shown as height.
        scale: the scale of the contours. Heights are logarithmic if it is, or if they have a huge range.
        width: of a picture, in inches.
        dpi: pixels per inch.

    Raises:
        InputError: a plane has nothing to draw.
    """
    if fault := _why_not_lit():
        print(f"{fault}, so matplotlib draws the 3-D surfaces.")
        return Reliefs(_cropped(_by_matplotlib(surfaces, name, scale, width=width, dpi=dpi)), scale.log)
    log = scale.log or (not quantity.is_percentage(name) and _is_huge(scale))
    subjects = prepare(surfaces, name, zmax=None if log else math.inf, log=log, look=LOOK)
    azimuth, elevation = LOOK.viewpoint("corner")
    size = round(width * dpi), round(width * dpi / ASPECT)
    (made,) = pictures(subjects, [azimuth], elevation, size=size, look=LOOK)
    first = subjects[0]
    return Reliefs(_cropped(made), log, LOG_OFFSET if log else 0.0, _colours(first), first.ticks)


def _why_not_lit() -> str:
    """Return why VTK cannot draw here; empty if it can."""
    if not find_spec("vtkmodules"):
        return "VTK is not installed"
    try:
        usable_kind()
    except InputError as error:
        return str(error.fault)
    return ""


def _is_huge(scale: Scale) -> bool:
    low, high = (height + LOG_OFFSET for height in scale.heights)
    return low > 0 and high / low > HUGE_RATIO


def _colours(subject: Subject) -> ScalarMappable:
    return ScalarMappable(Normalize(*subject.colours.ends), ListedColormap(subject.colours.shades()))


def _by_matplotlib(
    surfaces: Sequence[Surface], name: str, scale: Scale, *, width: float, dpi: int
) -> list[np.ndarray]:
    made = []
    for surface in surfaces:
        with drawn_on(Page(width=max(width, MIN_WIDTH), font_size=MIN_SIZE)):
            fig = surface_panels.surface_figure(Comparison([surface], [""], ""), name, scale)
        fig.set_dpi(dpi)
        for axes in fig.axes:
            axes.set_visible(isinstance(axes, Axes3D))  # one colour bar is enough
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        picture = np.array(canvas.buffer_rgba())
        picture[..., 3] = np.where((picture[..., :3] < EMPTY).any(axis=-1), 255, 0)
        made.append(picture)
    return made


def _cropped(made: list[np.ndarray]) -> list[np.ndarray]:
    """Return the part of pictures that any of them uses, the same of each."""
    used = np.logical_or.reduce([picture[..., 3] > 0 for picture in made])
    rows, columns = (np.flatnonzero(used.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return made
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return [picture[part] for picture in made]
