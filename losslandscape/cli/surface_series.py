"""Measures surfaces around several checkpoints, in the plane of the last checkpoint, and makes a film."""

from dataclasses import replace
from itertools import chain

import numpy as np

from losslandscape.cli.landscapes import find_request_axes, named_surface_file
from losslandscape.cli.request import Machine, SurfaceRequest
from losslandscape.cli.surface_job import PlotOptions, SurfaceJob
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays, fingerprint_of_file
from losslandscape.data.samples import Samples
from losslandscape.files import h5_util
from losslandscape.files.file_names import shortened
from losslandscape.files.projection import Projection
from losslandscape.files.writable import require_writable
from losslandscape.measure.grid import measure_surface
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.loss_measure import Measuring
from losslandscape.measure.surface_files import require_surface_file
from losslandscape.trajectory import checkpoint_series
from losslandscape.trajectory.checkpoint_files import Checkpoints


def measure_series(
    request: SurfaceRequest,
    measuring: Measuring,
    machine: Machine,
    sets: dict[str, Samples],
    plots: PlotOptions,
) -> None:
    """Measure a surface around each checkpoint that --model_file names.

    In two dimensions, also write the path of the checkpoints, and plot a film if --plot is given.
    """
    ranks, net = machine.ranks, request.net
    checkpoints = ranks.first(checkpoint_series.find, net.model_folder, net.model_file)
    files = checkpoints.files
    last = SurfaceJob.of(request.with_model_file(files[-1]), measuring, machine, sets)
    places, fingerprints = ranks.first(_find_places, request, last, files)
    axes = find_request_axes(request, last.landscape, last.measure, last.run, path=places.T)
    name = named_surface_file(request, last.landscape, axes)
    paths = checkpoint_series.surface_files(files, name, request.run.surf_file)
    ranks.first(_require_writable, [paths[file] for file in files], plots, is_plane="y" in axes)
    for number, file in enumerate([files[-1], *files[:-1]], start=1):  # the directions come from the last
        last.run.say(f"checkpoint {number} of {len(files)}: {file}")
        is_last = file == files[-1]
        job = last
        if not is_last:
            job = SurfaceJob.of(request.with_model_file(file), measuring, machine, sets)
        ranks.all(_require_unchanged, job.landscape, file, fingerprints[file])
        in_plane = replace(
            job.landscape,
            dir_file=last.landscape.dir_file,
            dir_file_given=not is_last or last.landscape.dir_file_given,
            place=tuple(places[files.index(file)].tolist()),
        )
        measure_surface(in_plane, axes, job.measure, job.run, surf_file=paths[file])
    if ranks.rank == 0 and "y" in axes:
        _finish([paths[file] for file in files], checkpoints, places, last.landscape.dir_file, plots)


def _find_places(
    request: SurfaceRequest, last: SurfaceJob, files: list[str]
) -> tuple[np.ndarray, dict[str, str]]:
    """Find the coordinates of each checkpoint along the directions of the last one.

    Returns:
        The coordinates, of shape (checkpoints, dimensions), and the fingerprint of each file.

    Raises:
        InputError: a checkpoint holds NaN or infinity.
    """
    landscape = last.landscape
    directions, _ = landscape.find_directions(overwrite=last.run.overwrite)
    fingerprints = {file: fingerprint_of_file(file) for file in files}
    places = []
    for file in files:
        net = request.net.load(file)
        place = checkpoint_series.place(net, landscape.net, directions, landscape.dir_type)
        if not np.isfinite(place).all():
            fault = f"{file}: holds NaN or infinity, so it has no place in the plane"
            raise InputError(fault, "leave it out of {model_file}")
        places.append(place)
    return np.array(places), fingerprints


def _require_writable(surf_files: list[str], plots: PlotOptions, *, is_plane: bool) -> None:
    """Raise `InputError` before the measurement if a file of the series cannot be written."""
    for surf_file in surf_files:
        require_surface_file(surf_file)
    if is_plane:
        require_writable(_projection_file(surf_files), "give another {surf_file}")
    if is_plane and plots.plot:
        from losslandscape.draw.film_files import film_stem

        advice = "give another {out}" if plots.out else "give another {surf_file}"
        require_writable(f"{plots.out or film_stem(surf_files[0])}.html", advice)


def _projection_file(surf_files: list[str]) -> str:
    return shortened(f"{surf_files[-1]}_series_proj.h5")


def _require_unchanged(landscape: Landscape, file: str, fingerprint: str) -> None:
    """Raise `InputError` if the checkpoint of a landscape does not have this fingerprint."""
    if landscape.net_facts["model_file"] != fingerprint:
        advice = "give the same command again when nothing writes the checkpoints any more"
        raise InputError(f"{file}: was changed while this ran", advice)


def _finish(
    surf_files: list[str], checkpoints: Checkpoints, places: np.ndarray, dir_file: str, plots: PlotOptions
) -> None:
    """Write the path of the checkpoints as a projection; plot the film if --plot is given."""
    directions = h5_util.read_directions(dir_file)[:2]
    projection = Projection(
        path=_projection_file(surf_files),
        x=places[:, 0],
        y=places[:, 1],
        epochs=checkpoints.numbers,
        made_with={"directions": fingerprint_of_arrays(chain(*directions)), **checkpoints.facts()},
    )
    h5_util.write_projection(projection)
    print(f"projection: {projection.path}")
    if plots.plot:
        from losslandscape.draw.film_files import plot_film

        plot_film(
            surf_files,
            proj_file=projection.path,
            dir_file=dir_file,
            out=plots.out,
            vmin=plots.vmin,
            vmax=plots.vmax,
            vlevel=plots.vlevel,
        )
