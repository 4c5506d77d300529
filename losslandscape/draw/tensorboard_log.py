"""Writes figures and surfaces to a TensorBoard log, beside the curves of a training.

TensorBoard shows an image in a card of `CARD` pixels, and coarsens a larger one. It looks at a mesh along
-z, with y upwards, from where the bounding box of the vertices would fill the view if it had no depth.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from losslandscape.draw import page_layout
from losslandscape.draw.contour_levels import Scale
from losslandscape.draw.figures import each_saved
from losslandscape.draw.mesh import surface_mesh
from losslandscape.draw.type_settings import rc_context
from losslandscape.files.surface import Surface

CARD = 350  # pixels
AZIMUTH, ELEVATION = np.radians([-60.0, 35.0])  # of the eye
ROOM = 1.1  # the bounding box, by the mesh
# A small angle, so that what is near does not leave the view; two lights and two sides, so that slopes show.
LOOK = {
    "camera": {"cls": "PerspectiveCamera", "fov": 25},
    "lights": [
        {"cls": "AmbientLight", "color": "#ffffff", "intensity": 0.75},
        {"cls": "DirectionalLight", "color": "#ffffff", "intensity": 0.75, "position": [-1, 1.5, 1]},
    ],
    "material": {"cls": "MeshStandardMaterial", "side": 2, "roughness": 1, "metalness": 0},
}


class TensorBoardLog:
    """A log folder that counts steps: each call adds one to its tag, so a growing surface becomes a film."""

    def __init__(self, folder: str):
        from torch.utils.tensorboard import SummaryWriter  # here: optional, and takes seconds

        self._writer = SummaryWriter(folder)
        self._steps: dict[str, int] = {}

    def add_figure(self, tag: str, fig: Figure) -> None:
        self._writer.add_image(tag, _thumbnail(fig), self._next_step(tag), dataformats="HWC")
        self._writer.flush()

    def add_mesh(self, tag: str, surface: Surface, name: str, scale: Scale) -> None:
        """Add a plane as a mesh, coloured like the figures of this scale."""
        vertices, colours, triangles = surface_mesh(surface, name, scale)
        vertices = _turned(vertices)
        frame = ROOM * np.array([np.min(vertices, axis=0), np.max(vertices, axis=0)])  # no triangle has these
        vertices = np.concatenate([vertices, frame.astype(np.float32)])
        colours = np.concatenate([colours, np.zeros((2, 3), np.uint8)])
        batch = vertices[None], colours[None], triangles[None]
        self._writer.add_mesh(tag, *batch, config_dict=LOOK, global_step=self._next_step(tag))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _next_step(self, tag: str) -> int:
        self._steps[tag] = self._steps.get(tag, -1) + 1
        return self._steps[tag]


def _thumbnail(fig: Figure) -> np.ndarray:
    """Return a picture (height, width, 3) of a figure, `CARD` pixels wide for each panel of a row."""
    place = fig.axes[0].get_subplotspec()
    columns = place.get_gridspec().ncols if place else 1
    with rc_context(), io.BytesIO() as file:
        frame = page_layout.fit(fig, full_width=False)
        dpi = CARD * columns / frame.width
        fig.savefig(file, format="png", dpi=dpi, bbox_inches=frame, pad_inches=0)
        return np.asarray(Image.open(file).convert("RGB"))


def _turned(vertices: np.ndarray) -> np.ndarray:
    """Turn a mesh whose heights are z, so that TensorBoard shows it from a corner above."""
    right = [-np.sin(AZIMUTH), np.cos(AZIMUTH), 0]
    eye = [np.cos(ELEVATION) * np.cos(AZIMUTH), np.cos(ELEVATION) * np.sin(AZIMUTH), np.sin(ELEVATION)]
    return (vertices @ np.stack([right, np.cross(eye, right), eye], axis=1)).astype(np.float32)


_log: ContextVar[TensorBoardLog | None] = ContextVar("_log", default=None)


@contextmanager
def logged_to(folder: str) -> Iterator[None]:
    """Copy to a log every figure that is saved and every mesh that is sent inside the `with` block.

    Args:
        folder: the folder of the log; "" for no log.
    """
    if not folder:
        yield
        return
    log = TensorBoardLog(folder)
    token = _log.set(log)
    try:
        with each_saved(log.add_figure):
            yield
    finally:
        _log.reset(token)
        log.close()


def send_mesh(title: str, surface: Surface, name: str, scale: Scale) -> None:
    """Add a plane as a mesh to the log of `logged_to`, tagged `<title>/<name>`; without a log, do nothing."""
    if log := _log.get():
        log.add_mesh(f"{title}/{name}", surface, name, scale)
