"""Lit pictures of small surfaces as arrays, transparent around the surface and without a colour bar."""

import numpy as np
from PIL import Image

from losslandscape.draw.vtk.album import Album, export_views
from losslandscape.draw.vtk.look import Look
from losslandscape.files import h5_util
from tests.draw.vtk.planes import write_plane

X, Y = np.linspace(-1, 1, 9), np.linspace(-0.5, 1, 7)
BOWL = 8 * X[None] ** 2 + 3 * Y[:, None] ** 2
SMALL, TINY = (320, 240), (160, 120)


def plane(path="s.h5", *, values=BOWL + 0.2, x=X, y=Y):
    return write_plane(path, x, y, values=values)


def rough_plane(path="rough.h5", side=25):
    """Write a mountain range over two orders of magnitude."""
    x = np.linspace(-1, 1, side)
    ridges = 1.4 * np.sin(9 * x[None] + 3 * x[:, None]) * np.cos(7 * x[:, None] - 2 * x[None])
    return write_plane(path, x, x, values=np.exp(2 * np.hypot(x[None], x[:, None]) + ridges))


def pictures(*files, views=("corner",), size=TINY, look=None, **options):
    """Pictures by name: red, green, blue and, on a transparent background, alpha, from 0 to 1."""
    surfaces = [h5_util.read_surface(file) for file in files or ("s.h5",)]
    shown = Look(**{"background": "transparent", "bar": False, **(look or {})})
    paths = export_views(Album(surfaces, look=shown, **options), views, size)
    return {path: np.asarray(Image.open(path)) / 255.0 for path in paths}


def shot(*files, **options):
    """The only picture of `pictures`."""
    [picture] = pictures(*files, **options).values()
    return picture


def is_drawn(picture):
    return picture[..., 3] > 0.5


def drawn(picture):
    """The colours (n, 3) of the pixels that a surface covers entirely."""
    return picture[picture[..., 3] == 1][:, :3]


def share_of_blue(picture):
    return np.mean(drawn(picture)[:, 2] > drawn(picture)[:, 0] + 0.05)


def share_of_red(picture):
    """The share of orange and red pixels."""
    red, green, blue = drawn(picture).T
    return np.mean(red > np.maximum(blue, 1.4 * green))


def extent(picture):
    """Height and width of what is drawn, in pixels."""
    rows, columns = np.nonzero(is_drawn(picture))
    return np.ptp(rows) + 1, np.ptp(columns) + 1
