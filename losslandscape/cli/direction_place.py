"""Names the direction file of a request, and checks that it can be written."""

import os

from losslandscape.cli.request import DirectionOptions, SurfaceRequest
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, require_same
from losslandscape.files import file_names, h5_util
from losslandscape.files.writable import require_writable
from losslandscape.measure.landscape import ORIGINS
from losslandscape.measure.surface_files import require_surface_file


def holds_given_directions(directions: DirectionOptions) -> bool:
    """Return whether --dir_file names a file that exists; its directions are used without a comparison.

    If it does not exist, the directions are made there. A line says so, because the name may be a typing
    error.

    Raises:
        InputError: an axis asks for a named direction, and the file has another direction for it.
    """
    path = directions.dir_file
    if not path or directions.over == "inputs":
        return False
    if not os.path.exists(path):
        print(f"--dir_file {path} does not exist; new directions are made there")
        return False
    for axis in ("x", "y"):
        kind = getattr(directions, f"{axis}dir")
        if kind == "random":
            continue
        origin = h5_util.read_made_with(path, "direction").get(f"{axis} direction", "")
        if not origin.startswith(f"{ORIGINS[kind]},"):
            fault = f"--{axis}dir {kind} is one of two directions that are given for {axis}"
            raise InputError(fault, "leave it out, or the other ({dir_file})")
    return True


def require_writable_places(request: SurfaceRequest, dir_file: str, *, given: bool) -> None:
    """Raise `InputError` unless the requested surface file and new directions can be written."""
    if request.run.surf_file:
        require_surface_file(request.run.surf_file)
    is_made = not os.path.exists(dir_file) or request.run.overwrite
    if is_made and not given:
        require_writable(dir_file, "give another file for the directions with {dir_file}")


def find(request: SurfaceRequest, files: dict[str, str], net_facts: Facts) -> str:
    """Return the path of the direction file, which is named after the checkpoint, or without one the net.

    In earlier versions all nets without a checkpoint shared one name, which began with `_`. An existing file
    of that name is used for the net that it was made with.
    """
    if "model_file" in files:
        return _named(request, files, files["model_file"])
    named = _named(request, files, file_names.model_name(request.net.model, request.net.model_args))
    earlier = _named(request, files, "")
    is_resumed = not os.path.exists(named) and _was_made_with(earlier, net_facts)
    return earlier if is_resumed else named


def _was_made_with(dir_file: str, net_facts: Facts) -> bool:
    """Return whether this is a direction file, and was made with the net of these facts."""
    try:
        made_with = h5_util.read_made_with(dir_file, "direction")
        require_same(dir_file, made_with, net_facts, "")
    except InputError:
        return False
    return all(made_with.get(name) == net_facts.get(name) for name in ("model", "model_args"))


def _named(request: SurfaceRequest, files: dict[str, str], model_file: str) -> str:
    directions = request.directions
    return file_names.direction_file_name(
        model_file,
        "inputs" if directions.over == "inputs" else directions.dir_type,
        model_file2=files.get("model_file2", ""),
        model_file3=files.get("model_file3", ""),
        two_d=request.is_plane,
        xdir=directions.xdir,
        xignore=directions.xignore,
        xnorm=directions.xnorm,
        ydir=directions.ydir,
        yignore=directions.yignore,
        ynorm=directions.ynorm,
        same_dir=directions.same_dir,
        axes=directions.axes,
        params=directions.params,
        idx=directions.idx,
        sample=directions.sample,
    )
