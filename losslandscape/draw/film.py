"""Makes a film of a training: its path over the contours of one surface, or of one per checkpoint.

Over one surface, a point moves in a straight line from each checkpoint to the next. Several surfaces are
shown one after the other, for equal times and without transitions: nothing was measured in between.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.animation import FFMpegWriter, PillowWriter
from tqdm import tqdm

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import require_same
from losslandscape.core.text import legible
from losslandscape.draw import figures, training_paths
from losslandscape.draw.contour_levels import Scale, choose_scale
from losslandscape.draw.drawable import describe_missing, has_cells, values_of
from losslandscape.draw.ffmpeg import ffmpeg
from losslandscape.draw.film_screen import DPI, Reel, Screen
from losslandscape.draw.trajectory_figures import read_shares
from losslandscape.files import h5_util
from losslandscape.files.atomic_file import replacing
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface
from losslandscape.files.training_order import differing_parts, in_order

FRAMES_PER_SECOND = 15
SECONDS, LAST_SECONDS = 6, 2  # durations of the film, and of its last picture, which then stays
MAX_LENGTHENING = 3  # a film of many checkpoints may last this many times `SECONDS`
SHOWN_QUANTILE = 0.98  # of the values of the later half of the surfaces, up to which a scale goes at least
MIN_SHARE = 0.7  # of the colours, for the values up to this quantile
WRITERS = {".gif": PillowWriter, ".mp4": FFMpegWriter}


def read(
    surf_files: Sequence[str],
    *,
    proj_file: str | Sequence[str] = "",
    name: str = "train_loss",
    titles: Sequence[str] = (),
) -> Reel:
    """Read the files of a film and check that they fit together.

    Args:
        surf_files: one surface file per checkpoint, in the order of training, or one for all. If the names
            are in alphabetical order, as a shell lists them, they are sorted by the numbers in them.
        proj_file: the file with the path of the training, or several, which move together by epoch; without
            it, several surfaces are needed.
        name: the quantity to draw.
        titles: one per checkpoint; by default its epoch, or its index if the path has no epochs, or without a
            path the name of its surface file.

    Raises:
        InputError: a surface is not a plane or has nothing to draw; surfaces have different grids or
            directions; the path lies in another plane; a single surface has no path; the number of
            checkpoints differs from the number of titles, or of several surfaces.
    """
    if len(surf_files) > 1 and list(surf_files) == sorted(surf_files):
        surf_files = in_order(surf_files)
    surfaces = [_read_surface(path, name) for path in surf_files]
    first = surfaces[0]
    for surface in surfaces[1:]:
        _require_same_plane(surface, first)
    if not proj_file and len(surfaces) == 1:
        raise InputError(
            f"{first.path!r} alone is no film",
            "give the path of a training ({proj_file}), or several surfaces",
        )
    paths = _read_paths(proj_file, surfaces) if proj_file else []
    default_titles = _default_titles(surfaces, paths)
    count = len(default_titles)
    if titles and len(titles) != count:
        raise InputError(
            f"there are {len(titles)} titles for {count} checkpoints", "give one for each ({titles})"
        )
    titles = list(titles) or default_titles
    return Reel(surfaces, name, paths, list(map(legible, titles)))


def _read_surface(path: str, name: str) -> Surface:
    surface = h5_util.as_surface(path)
    if surface.y is None or not has_cells(surface):
        raise InputError(f"{path} has no contours: a film needs a surface of two coordinates with 2x2 points")
    missing = describe_missing(surface, name)
    if not np.isfinite(values_of(surface, name)).any():
        raise InputError(f"{path} has no {name} to draw ({missing})")
    if missing:
        print(f"{path}: {name}: {missing}.")
    return surface


def _require_same_plane(surface: Surface, first: Surface) -> None:
    assert surface.y is not None and first.y is not None
    if not np.array_equal(surface.x, first.x) or not np.array_equal(surface.y, first.y):
        raise InputError(
            f"{surface.path!r} has another grid than {first.path!r}", "a film needs surfaces of one grid"
        )
    facts = {fact: value for fact, value in first.made_with.items() if fact == "directions"}
    advice = "a film needs surfaces along the same directions"
    require_same(surface.path, surface.made_with, facts, advice)


def _read_paths(proj_file: str | Sequence[str], surfaces: Sequence[Surface]) -> list[Projection]:
    paths = training_paths.read_paths(proj_file)
    for path in paths:
        path.require_on(surfaces[0])
    if len(paths) > 1 and len(surfaces) > 1:
        fault = f"{len(surfaces)} surfaces are those of the checkpoints of one training"
        raise InputError(fault, "give one {surf_file} with several {proj_file}")
    checkpoints = paths[0].x.size
    if len(surfaces) not in (1, checkpoints):
        raise InputError(
            f"{paths[0].path!r} has {checkpoints} checkpoints where there are {len(surfaces)} surfaces",
            "give one surface per checkpoint, or one for all",
        )
    return paths


def _default_titles(surfaces: Sequence[Surface], paths: Sequence[Projection]) -> list[str]:
    if not paths:
        return differing_parts([surface.path for surface in surfaces])
    return training_paths.titles(paths)


def formats() -> list[str]:
    """Return the formats that can be written here: "gif", and "mp4" if ffmpeg is installed."""
    return ["gif", "mp4"] if ffmpeg() else ["gif"]


def scale_of(
    reel: Reel,
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    vlevel: float | None = None,
    log: bool = False,
) -> Scale:
    """Return one scale for all surfaces of a film; the arguments are those of `choose_scale`.

    The values of the first checkpoints may be far above those of the trained net. If the later half of the
    surfaces would keep less than `MIN_SHARE` of the colours, the scale ends above their values, and higher
    values get the last colour.
    """
    values = [values_of(surface, reel.name) for surface in reel.surfaces]
    is_loss = quantity.is_loss(reel.name)
    scale = choose_scale(values, is_loss=is_loss, vmin=vmin, vmax=vmax, vlevel=vlevel, log=log)
    if (vmin, vmax, vlevel) != (None, None, None) or len(values) == 1 or not scale.levels.size:
        return scale
    later = np.concatenate([one.ravel() for one in values[len(values) // 2 :]])
    top = float(np.nanquantile(later, SHOWN_QUANTILE))
    if not scale.heights[0] < top or float(scale.norm(top)) > MIN_SHARE:
        return scale
    return choose_scale([np.minimum(one, top) for one in values], is_loss=is_loss, log=log)


def write(
    reel: Reel, out: str | Sequence[str], *, scale: Scale | None = None, dir_file: str = ""
) -> list[str]:
    """Write a film to one file or several.

    Args:
        out: the file names, which end in `.gif`, or in `.mp4` if ffmpeg is installed.
        scale: the scale of the contours; by default, it is fitted to the data.
        dir_file: a PCA direction file, whose explained variance is then shown on the axes.

    Returns:
        The paths of the files.

    Raises:
        InputError: a format cannot be written.
    """
    paths = [out] if isinstance(out, str) else list(out)
    for path in paths:
        _require_format(path)
    scale = scale or scale_of(reel)
    shares = read_shares(dir_file)
    for path in paths:
        _write(reel, path, scale=scale, shares=shares)
        print(f"saved {path}")
    return paths


def _require_format(path: str) -> None:
    ending = _ending(path)
    if ending not in WRITERS:
        raise InputError(f"{path!r} is no film", f"give a name that ends in {' or '.join(WRITERS)}")
    if ending.removeprefix(".") not in formats():
        raise InputError(
            f"{path!r} needs ffmpeg, which is not installed",
            "give a name that ends in .gif, or `pip install imageio-ffmpeg`",
        )


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


@figures.styled
def _write(reel: Reel, path: str, *, scale: Scale, shares: np.ndarray | None) -> None:
    screen = Screen(reel, scale, shares)
    count = len(reel.surfaces)
    rate = FRAMES_PER_SECOND if count == 1 else min(FRAMES_PER_SECOND, count / SECONDS)
    times = frame_times(len(reel.titles), between=count == 1)
    times = np.append(times, [times[-1]] * round(LAST_SECONDS * rate))
    folder = os.path.dirname(path) or "."
    with (
        replacing(path) as part,
        tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=folder) as scratch,
    ):
        film = os.path.join(scratch, f"film{_ending(path)}")  # the writers infer the format from the name
        _write_frames(screen, times, film, rate)
        os.replace(film, part)


def _write_frames(screen: Screen, times: Iterable[float], path: str, rate: float) -> None:
    program: Any = {"animation.ffmpeg_path": ffmpeg() or ""}
    writer = WRITERS[_ending(path)](fps=rate)
    with matplotlib.rc_context(program), writer.saving(screen.fig, path, DPI):
        for time in tqdm(times, desc="film", unit="frame", disable=None, leave=False):
            screen.show(time)
            writer.grab_frame()


def frame_times(checkpoints: int, *, between: bool) -> np.ndarray:
    """Return the time of each frame, in units of checkpoints: checkpoint i has time i.

    Args:
        between: whether there are frames between checkpoints, enough for a smooth motion.
    """
    if not between:
        return np.arange(checkpoints, dtype=float)
    frames = FRAMES_PER_SECOND * SECONDS
    return np.linspace(0, checkpoints - 1, max(frames, min(checkpoints, MAX_LENGTHENING * frames)))
