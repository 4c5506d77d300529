"""Reports what a projection file holds, and where its path leaves the plane."""

import numpy as np

from losslandscape.cli.file_report import FileReport, Rows, author, count, percent, place
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection

# The largest difference of the two losses, relative to the true loss, at which the loss on the plane still
# says something about the checkpoint.
MAX_DIFFERENCE = 0.5


def describe(path: str, names: set[str]) -> FileReport:
    """Return the report on a projection file; `names` are the names of its HDF5 datasets."""
    projection = h5_util.read_projection(path)
    what = f"the projection of a trajectory of {count(projection.x.size, 'checkpoint')}"
    if projection.is_curve:
        what = f"a curve between two nets, at {count(projection.x.size, 'place')}"
    return FileReport(
        f"{path}: {what}, {author(names)}",
        {
            "x": _extent(projection.x),
            "y": _extent(projection.y),
            "first": place((projection.x[0], projection.y[0])),
            "last": place((projection.x[-1], projection.y[-1])),
            **_extras(projection),
        },
        {
            "made with": projection.made_with,
            "conclusions": [*_without_place(projection), *_off_the_plane(projection)],
        },
    )


def _extras(projection: Projection) -> Rows:
    per_checkpoint = {
        "epochs": projection.epochs,
        "distance from the plane": projection.distance,
        "true loss": projection.true_loss,
        "loss on the plane": projection.projected_loss,
    }
    rows = {name: _extent(values) for name, values in per_checkpoint.items() if values is not None}
    drops = projection.lr_drops
    if drops is not None and drops.size:
        epochs = ", ".join(f"{epoch:g}" for epoch in drops)
        rows["learning rate drops"] = f"at epoch{'' if drops.size == 1 else 's'} {epochs}"
    if projection.shares is not None:
        rows["variance along x, y"] = percent(projection.shares)
    return rows


def _extent(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    return f"from {values.min():g} to {values.max():g}" if values.size else "no finite value"


def _without_place(projection: Projection) -> list[str]:
    bad = np.count_nonzero(~np.isfinite(projection.x) | ~np.isfinite(projection.y))
    return [f"{bad} of {projection.x.size} checkpoints have no place: NaN or infinite"] if bad else []


def _off_the_plane(projection: Projection) -> list[str]:
    """Return a sentence on the checkpoint whose two losses differ most, if they differ too much."""
    true, on_plane = projection.true_loss, projection.projected_loss
    if true is None or on_plane is None:
        return []
    with np.errstate(all="ignore"):
        difference = np.abs(on_plane - true) / np.abs(true)
    difference[~np.isfinite(difference)] = 0
    worst = int(difference.argmax())
    if difference[worst] < MAX_DIFFERENCE:
        return []
    epochs = projection.epochs
    which = (
        f"{worst + 1} of {projection.x.size}"
        if epochs is None
        else f"of {projection.unit} {epochs[worst]:.10g}"
    )
    return [
        f"the checkpoint {which} has loss {true[worst]:.4g}, and its place on the plane "
        f"{on_plane[worst]:.4g}: the path leaves the plane"
    ]
