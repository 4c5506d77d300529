"""Files for the figures: surfaces of known shape, a path, and PCA directions."""

import os
from collections.abc import Sequence

import h5py
import numpy as np
from matplotlib.figure import Figure

from tests.helpers import write_surface_file

X, Y = np.linspace(-1, 1, 9), np.linspace(-0.5, 1, 5)


def write_bowl(
    path: str = "s.h5",
    nx: int = 9,
    ny: int | None = None,
    *,
    names: Sequence[str] = ("train_loss", "train_acc"),
    values=None,
    measured: np.ndarray | None = None,
    dir_file: str = "d.h5",
) -> str:
    """Write a bowl with its minimum at the origin, wider in x than in y; `values` replaces the losses."""
    x = np.linspace(-1, 1, nx) if nx > 1 else np.zeros(1)
    y = None
    bowl = 0.2 + 8 * x**2
    if ny is not None:
        y = np.linspace(-0.5, 1, ny) if ny > 1 else np.zeros(1)
        bowl = bowl[None] + 3 * y[:, None] ** 2
    loss = bowl if values is None else np.broadcast_to(values, bowl.shape)
    quantities = {name: 100 * np.exp(-bowl) if name.endswith("acc") else loss for name in names}
    write_surface_file(path, x=x, y=y, quantities=quantities, measured=measured, dir_file=dir_file)
    return path


def write_line(path: str = "s.h5", **quantities) -> str:
    """Write a line at `X` in which every value is a result, -1 too."""
    values = {name: np.broadcast_to(array, 9) for name, array in quantities.items()}
    write_surface_file(path, x=X, quantities=values, measured=np.ones(9, bool))
    return path


def write_plane(path: str = "p.h5", **quantities) -> str:
    """Write a plane at `X` and `Y` in which every value is a result, -1 too."""
    values = {name: np.broadcast_to(array, (5, 9)) for name, array in quantities.items()}
    write_surface_file(path, x=X, y=Y, quantities=values, measured=np.ones((5, 9), bool))
    return path


def write_path(path: str = "d.h5_proj_cos.h5", *, scale: float = 0.9) -> str:
    """Write a projection of four checkpoints, as the published program does."""
    with h5py.File(path, "w") as file:
        file["proj_xcoord"] = scale * np.array([1.0, 0.5, 0.2, 0.0])
        file["proj_ycoord"] = scale * np.array([1.0, 0.2, 0.1, 0.0])
    return path


def write_pca(path: str = "d.h5") -> str:
    """Write what figures read of a PCA direction file."""
    with h5py.File(path, "w") as file:
        file["xdirection/0"] = np.ones(3, np.float32)
        file["explained_variance_ratio_"] = np.array([0.803, 0.1234])
    return path


def outputs() -> list[str]:
    """The files in the working folder, without the inputs."""
    return sorted(name for name in os.listdir() if not name.endswith(".h5"))


def notes(fig: Figure) -> str:
    """The texts around the axes of a figure."""
    return " ".join(text.get_text() for text in fig.texts) + " " + (fig.get_supxlabel() or "")


def words(fig: Figure) -> list[str]:
    """All texts in a figure and at its axes."""
    fig.draw_without_rendering()
    texts = [text for axes in fig.axes for text in [*axes.texts, axes.xaxis.label, axes.yaxis.label]]
    return [text.get_text() for text in [*texts, *fig.texts]]
