"""Loss landscapes of neural nets: measure the loss on a line or in a plane through the weights, and draw it.

    surface = losslandscape.loss_surface(net, train_data, x=(-1, 1, 25), y=(-1, 1, 25))
    losslandscape.plot_2d(surface)

Each public name is imported at its first use, so `import losslandscape` is fast and does not need torch.
"""

from importlib import import_module

__version__ = "1.0.0"
__all__ = [
    "Details",
    "InputError",
    "Page",
    "align",
    "connect",
    "loss_surface",
    "plot_1d",
    "plot_2d",
    "plot_contour_trajectory",
    "plot_eigenvalues",
    "plot_film",
    "plot_paper_figure",
    "plot_together",
    "plot_trajectory",
    "read_surface",
]

# The module that defines each public name.
_MODULES = {
    "Details": "draw.figure_details",
    "InputError": "core.errors",
    "Page": "draw.page_style",
    "align": "api",
    "connect": "api",
    "loss_surface": "api",
    "plot_1d": "draw.line_figures",
    "plot_2d": "draw.plane_figures",
    "plot_contour_trajectory": "draw.plane_figures",
    "plot_eigenvalues": "draw.eigen_figures",
    "plot_film": "draw.film_files",
    "plot_paper_figure": "draw.paper_figure",
    "plot_together": "draw.line_figures",
    "plot_trajectory": "draw.trajectory_figures",
    "read_surface": "files.h5_util",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
