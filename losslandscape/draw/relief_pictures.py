"""Makes pictures of planes in 3-D for the panels of a figure: lit by VTK, or by matplotlib without it."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mpl_toolkits.mplot3d import Axes3D

from losslandscape.core.errors import InputError
from losslandscape.draw import surface_panels
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.contour_levels import Scale
from losslandscape.draw.page_style import Page, drawn_on
from losslandscape.draw.vtk import polydata, rendering
from losslandscape.draw.vtk.sheet import make_sheet
from losslandscape.files.surface import Surface

ASPECT = 4 / 3  # width by height of a picture before the empty margin is cut off
POINTS = 601  # per axis of a lit surface
WHITE = 250  # from 0 to 255; what is whiter is empty
MARGIN = 0.01  # around the surfaces, in widths of the picture


@dataclass(frozen=True)
class Reliefs:
    """Pictures of surfaces, which all have the same scale and frame.

    Args:
        pictures: bytes (height, width, 3), one per surface.
        log: whether heights are logarithmic.
        offset: what is added to a value before its logarithm.
    """

    pictures: list[np.ndarray]
    log: bool
    offset: float = 0.0


def reliefs(surfaces: Sequence[Surface], name: str, scale: Scale, *, width: float, dpi: int) -> Reliefs:
    """Return 3-D pictures of planes, lit if VTK is installed and works here.

    Args:
        surfaces: planes.
        name: the quantity shown as height.
        scale: the scale of the contours, which says whether heights are logarithmic.
        width: of a picture, in inches.
        dpi: pixels per inch.
    """
    try:
        if not find_spec("vtkmodules"):
            raise InputError("VTK is not installed", "pip install 'losslandscape-toolkit[figures]'")
        made = _lit(surfaces, name, log=scale.log, pixels=round(width * dpi))
    except InputError as error:
        if "vtk" not in str(error).lower() and "cannot render" not in str(error):
            raise
        print(f"{error.fault}: matplotlib draws the 3-D surfaces.")
        made = Reliefs(_by_matplotlib(surfaces, name, scale, width=width, dpi=dpi), scale.log)
    return Reliefs(_cropped(made.pictures), made.log, made.offset)


def _lit(surfaces: Sequence[Surface], name: str, *, log: bool, pixels: int) -> Reliefs:
    from losslandscape.draw.vtk.sheet import LOG_OFFSET

    points = (POINTS, POINTS)
    sheets = [make_sheet(surface, name, log=log, points=points, bounded=True) for surface in surfaces]
    meshes = [polydata.make_polydata(sheet) for sheet in sheets]
    pictures = rendering.render(meshes, size=(pixels, round(pixels / ASPECT)))
    return Reliefs(pictures, log, LOG_OFFSET if log else 0.0)


def _by_matplotlib(
    surfaces: Sequence[Surface], name: str, scale: Scale, *, width: float, dpi: int
) -> list[np.ndarray]:
    pictures = []
    for surface in surfaces:
        with drawn_on(Page(width=max(width, 1.5), font_size=6)):
            fig = surface_panels.surface_figure(Comparison([surface], [""], ""), name, scale)
        fig.set_dpi(dpi)
        for axes in fig.axes:
            axes.set_visible(isinstance(axes, Axes3D))  # the figure has a colour bar for all
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba())[..., :3])
    return pictures


def _cropped(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Return the part of pictures that any of them uses, the same of each."""
    used = np.logical_or.reduce([(picture < WHITE).any(axis=-1) for picture in pictures])
    rows, columns = (np.flatnonzero(used.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return pictures
    margin = round(MARGIN * used.shape[1])
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    return [picture[top : rows[-1] + 1 + margin, left : columns[-1] + 1 + margin] for picture in pictures]
