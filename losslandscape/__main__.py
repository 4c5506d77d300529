"""`losslandscape COMMAND ...`: the commands of the repository's root, from wherever the package is installed.

`python -m losslandscape COMMAND ...` does the same. A command is imported only when it is asked for.
"""

import sys
from importlib import import_module

from losslandscape import __version__
from losslandscape.parallel.mpi4pytorch import launched

COMMANDS = {
    "plot_surface": "measure the loss on a line or in a plane",
    "evaluation": "evaluate one checkpoint: loss and accuracy",
    "scheduler": "is this machine ready? ranks, devices, working folder",
    "net_plotter": "make a direction file, or say what one holds",
    "plot_1D": "draw curves of a measured line",
    "plot_2D": "draw contours, a heat map and a 3-D surface of a measured plane",
    "plot_html": "draw a surface as an interactive page",
    "h52vtp": "draw a lit 3-D picture, or write a file for ParaView",
    "plot_trajectory": "project the checkpoints of a training on a plane",
    "plot_film": "draw a training as a film",
    "hessian": "eigenvalues, trace and spectral density of the Hessian at a checkpoint",
    "plot_hessian_eigen": "measure Hessian eigenvalues on a line or in a plane",
    "h5_util": "print what is in direction, surface and projection files",
    "train": "train a net with the paper's recipe (cifar10/main.py)",
}


def main() -> None:
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in COMMANDS:
        # Messages and records of runs name the program as the user started it.
        sys.argv = [f"losslandscape {name}", *arguments]
        import_module(f"losslandscape.cli.{name}").main()
        return
    first_rank = launched()[0] == 0
    if name in ("-h", "--help", "--version"):
        if first_rank:
            print(__version__ if name == "--version" else usage())
        return
    if first_rank:
        print(f"losslandscape: error: {unknown(name)}", file=sys.stderr)
    raise SystemExit(2)


def usage() -> str:
    """All commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: losslandscape COMMAND ...",
            "",
            "Measure and draw the loss landscape of a neural net.",
            "",
            *lines,
            "",
            "losslandscape COMMAND --help lists the options of a command.",
        ]
    )


def unknown(name: str) -> str:
    return f"there is no command {name!r}; choose one of {', '.join(COMMANDS)}"


if __name__ == "__main__":
    main()
