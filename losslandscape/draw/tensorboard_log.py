"""Figures and surfaces in a TensorBoard log, beside the curves of a training."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from losslandscape.draw import panels
from losslandscape.draw.contour_levels import Scale


class Log:
    """A log folder, to which each call adds one step of its tag: a figure drawn anew as a surface grows is the next step."""

    def __init__(self, folder: str):
        self._writer = SummaryWriter(folder)
        self._steps: dict[str, int] = {}

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add_figure(self, tag: str, fig: Figure) -> None:
        self._writer.add_figure(tag, fig, self._next_step(tag), close=False)
        self._writer.flush()

    def add_mesh(self, tag: str, surface, name: str, scale: Scale) -> None:
        """A 2-D surface as triangles: as wide as high, with the colours of the figures of this scale, and logarithmic heights where they have them."""
        vertices, colours, faces = mesh(surface, name, scale)
        self._writer.add_mesh(
            tag,
            torch.from_numpy(vertices)[None],
            torch.from_numpy(colours)[None],
            torch.from_numpy(faces)[None],
            global_step=self._next_step(tag),
        )
        self._writer.flush()

    def _next_step(self, tag: str) -> int:
        self._steps[tag] = self._steps.get(tag, -1) + 1
        return self._steps[tag]


def mesh(surface, name: str, scale: Scale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (n, 3) float32 in a cube around 0, their colours (n, 3) uint8, and triangles (m, 3) int32 of vertex numbers.

    The scale's lowest and highest values are at the cube's floor and ceiling. Cells with a corner that has no value are left out.
    """
    x, y, values = panels.known_part(surface, name, scale)
    heights, low, high = (np.log(part) if scale.log else part for part in (values, *scale.heights))
    known = np.isfinite(heights)
    unit = (
        np.clip((np.where(known, heights, low) - low) / (high - low), 0, 1)
        if high > low
        else np.zeros_like(heights)
    )
    vertices = np.stack([*np.meshgrid(_to_unit(x), _to_unit(y)), unit], axis=-1).reshape(-1, 3) * 2 - 1
    colours = (255 * colormaps[panels.COLOURS](unit.ravel())[:, :3]).astype(np.uint8)
    number = np.arange(values.size).reshape(values.shape)
    a, b, c, d = (
        number[rows, columns].ravel()
        for rows in (slice(None, -1), slice(1, None))
        for columns in (slice(None, -1), slice(1, None))
    )
    whole = np.logical_and.reduce([known.ravel()[corner] for corner in (a, b, c, d)])
    faces = np.concatenate([np.stack([a, b, c], axis=1)[whole], np.stack([b, d, c], axis=1)[whole]])
    return vertices.astype(np.float32), colours, faces.astype(np.int32)


def _to_unit(values: np.ndarray) -> np.ndarray:
    extent = np.ptp(values)
    return (values - values.min()) / extent if extent > 0 else np.zeros_like(values)
