"""Writes a film of a training: as GIF, as MP4 if ffmpeg is installed, and as an interactive page."""

import os
from collections.abc import Sequence

from losslandscape.core.errors import InputError
from losslandscape.draw import film
from losslandscape.draw.web.film_page import write_film_page


def plot_film(
    surf_files: Sequence[str],
    *,
    proj_file: str | Sequence[str] = "",
    dir_file: str = "",
    name: str = "train_loss",
    titles: Sequence[str] = (),
    out: str = "",
    vmin: float | None = None,
    vmax: float | None = None,
    vlevel: float | None = None,
    log: bool = False,
) -> list[str]:
    """Write a film of a training, and an interactive page with a slider over its checkpoints.

    Args:
        surf_files, proj_file, name, titles: what the film shows, as for `film.read`.
        dir_file: a PCA direction file, whose explained variance is then shown on the axes.
        out: the beginning of the files' names; by default, the path of the first surface file and `_film`.
        vmin, vmax, vlevel, log: contour levels, as for `contour_levels.choose_scale`.

    Returns:
        The paths of the files.

    Raises:
        InputError: the folder of `out` does not exist, files do not fit together, or levels are impossible.
    """
    folder = os.path.dirname(out)
    if folder and not os.path.isdir(folder):
        raise InputError(f"the folder {folder!r} does not exist", "make it, or give another {out}")
    reel = film.read(surf_files, proj_file=proj_file, name=name, titles=titles)
    scale = film.scale_of(reel, vmin=vmin, vmax=vmax, vlevel=vlevel, log=log)
    stem = out or film_stem(reel.surfaces[0].path)
    page = write_film_page(reel, f"{stem}.html", log=scale.log, dir_file=dir_file)
    paths = [f"{stem}.{extension}" for extension in film.formats()]
    return [*film.write(reel, paths, scale=scale, dir_file=dir_file), page]


def film_stem(surf_file: str) -> str:
    """Return the beginning of the names of a film's files."""
    return f"{surf_file}_film"
