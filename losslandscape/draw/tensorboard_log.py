"""Writes figures and surfaces to a TensorBoard log, beside the curves of a training."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from matplotlib.figure import Figure

from losslandscape.draw.contour_levels import Scale
from losslandscape.draw.figures import each_saved
from losslandscape.draw.mesh import surface_mesh
from losslandscape.files.surface import Surface


class TensorBoardLog:
    """A log folder that counts steps: each call adds one to its tag, so a growing surface becomes a film."""

    def __init__(self, folder: str):
        from torch.utils.tensorboard import SummaryWriter  # here: optional, and takes seconds

        self._writer = SummaryWriter(folder)
        self._steps: dict[str, int] = {}

    def add_figure(self, tag: str, fig: Figure) -> None:
        self._writer.add_figure(tag, fig, self._next_step(tag), close=False)
        self._writer.flush()

    def add_mesh(self, tag: str, surface: Surface, name: str, scale: Scale) -> None:
        """Add a plane as a mesh, coloured like the figures of this scale."""
        vertices, colours, triangles = (array[None] for array in surface_mesh(surface, name, scale))
        self._writer.add_mesh(tag, vertices, colours, triangles, global_step=self._next_step(tag))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _next_step(self, tag: str) -> int:
        self._steps[tag] = self._steps.get(tag, -1) + 1
        return self._steps[tag]


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
