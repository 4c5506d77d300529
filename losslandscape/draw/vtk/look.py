"""How lit pictures look: the viewpoint, the height, the colours and what is drawn besides the surface."""

from dataclasses import dataclass

from losslandscape.core.errors import InputError
from losslandscape.draw.vtk.colours import DEFAULT_CMAP, background_colour, colour_map

# Azimuth and elevation in degrees.
VIEWS = {"corner": (-50.0, 42.0), "front": (-90.0, 28.0), "side": (0.0, 28.0), "top": (-90.0, 90.0)}
HEIGHT = 0.8  # height of the surfaces, in widths of their plane
MAX_HEIGHT, MAX_ZOOM = 10.0, 100.0


@dataclass(frozen=True)
class Look:
    """How pictures look.

    Args:
        azimuth: degrees around the vertical axis, instead of those of the view; -90 looks along +y.
        elevation: degrees above the plane, instead of those of the view; 90 shows the plane as a map.
        height: height of the surfaces, in widths of their plane.
        zoom: more than 1 shows the middle larger, less than 1 leaves a margin.
        cmap: the name of a colour map of matplotlib. `turbo` is shown from deep blue to red, without its
            nearly black ends.
        own_colours: whether each surface has the colours of its own heights.
        background: a colour as matplotlib takes it, or "transparent".
        bar: whether there is a colour bar.
        minimiser: whether to mark the centre (0, 0) of the plane.

    Raises:
        InputError: a value is impossible.
    """

    azimuth: float | None = None
    elevation: float | None = None
    height: float = HEIGHT
    zoom: float = 1.0
    cmap: str = DEFAULT_CMAP
    own_colours: bool = False
    background: str = "white"
    bar: bool = True
    minimiser: bool = False

    def __post_init__(self) -> None:
        _require("elevation", self.elevation or 0.0, -90, 90)
        _require("height", self.height, 0.01, MAX_HEIGHT)
        _require("zoom", self.zoom, 0.01, MAX_ZOOM)
        colour_map(self.cmap)
        background_colour(self.background)

    def viewpoint(self, view: str) -> tuple[float, float]:
        """Return azimuth and elevation of a view, a name in `VIEWS`."""
        azimuth, elevation = VIEWS[view]
        return (
            azimuth if self.azimuth is None else self.azimuth,
            elevation if self.elevation is None else self.elevation,
        )


def _require(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} {value:g} is out of range", f"give {{{name}}} from {low:g} to {high:g}")
