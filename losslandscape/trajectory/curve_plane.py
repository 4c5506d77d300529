"""The plane through two nets and the bend of the curve between them, in which the whole curve lies."""

import os
from collections.abc import ItemsView, Sequence
from itertools import chain

import numpy as np
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, fingerprint_of_arrays
from losslandscape.files import h5_util
from losslandscape.files.projection import CURVE, Projection
from losslandscape.files.surface import Place, places_fact
from losslandscape.nets import direction_file, net_tensors, plane
from losslandscape.nets.curve import Curve, shares

POINTS = 61  # of the curve, at equal distances of t


def write_plane(
    net: nn.Module,
    bend: list[Tensor],
    last: list[Tensor],
    kind: str,
    *,
    dir_type: str,
    names: Sequence[str],
    dir_file: str,
    proj_file: str,
    facts: Facts,
) -> None:
    """Write the orthonormal directions of the plane, and the curve in it as a projection file.

    Nothing is written if the files hold this curve already.

    Args:
        net: the first net.
        bend, last: the bend and the last net, as points of a `curve.Curve`.
        kind: the kind of the curve.
        dir_type: `weights` or `states`.
        names: the names of the first net, of the bend and of the last net, for figures.
        dir_file, proj_file: the files to write.
        facts: facts of the nets; `model_file`, if there is one, identifies the first.

    Raises:
        InputError: the bend lies on the line between the nets.
    """
    facts = {**facts, "axes": "orthonormal", "curve": Curve(kind, [bend, last]).describe()}
    if os.path.exists(proj_file) and _made_with(dir_file) >= facts.items():
        return
    start = [tensor.cpu() for tensor in net_tensors.moving_tensors(net, dir_type).values()]
    directions = [difference(start, last), difference(start, bend)]
    first_place, last_place, bend_place = plane.places(net, dir_type, directions)
    corners = first_place, bend_place, last_place
    arrays = direction_file.arrays(plane.orthonormal(net, dir_type, directions))
    nets = [Place(name, *place) for name, place in zip(names, corners, strict=True)]
    h5_util.write_directions(dir_file, arrays, made_with={**facts, **places_fact(nets)})
    x, y = (np.array([shares(kind, t, 3) for t in np.linspace(0, 1, POINTS)]) @ np.array(corners)).T
    made_with = {
        "origin": facts.get("model_file", ""),
        "method": CURVE,
        "directions": fingerprint_of_arrays(chain(*arrays)),
    }
    h5_util.write_projection(Projection(proj_file, x, y, made_with=made_with))


def difference(start: list[Tensor], end: list[Tensor]) -> list[Tensor]:
    """Return end minus start as a direction."""
    return [(there.double() - here.double()).float() for here, there in zip(start, end, strict=True)]


def _made_with(dir_file: str) -> ItemsView[str, str]:
    try:
        return h5_util.read_made_with(dir_file, "direction").items()
    except InputError:  # the file does not exist, or is damaged
        return {}.items()
