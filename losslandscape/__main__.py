"""Run the commands as `losslandscape COMMAND ...`, wherever the package is installed.

`python -m losslandscape COMMAND ...` does the same. A command's module is imported only when it runs.
"""

import sys
from importlib import import_module

from losslandscape import __version__
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.parallel.mpi4pytorch import launched

COMMANDS = {
    "plot_surface": "measure the loss on a line or in a plane",
    "align": "permute the neurons of a net so that they match another's",
    "connect": "train a curve of low loss between two nets, and measure along it",
    "evaluation": "print loss and accuracy of one checkpoint",
    "scheduler": "check whether this machine is ready: ranks, devices, working folder",
    "net_plotter": "make a direction file, or print what one holds",
    "plot_1D": "draw curves of a measured line",
    "plot_2D": "draw contours, a heat map and a 3-D surface of a measured plane",
    "figure": "draw contours, lit 3-D surfaces and curves of several nets as one figure of a paper",
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
    sys.argv[0] = "losslandscape"
    parser = Parser(None)
    if name not in ("-h", "--help", "--version"):
        parser.error(f"there is no command {name!r}; choose one of {', '.join(COMMANDS)}")
    with sentence(parser):
        if launched()[0] == 0:
            print(__version__ if name == "--version" else usage())


def usage() -> str:
    """Return the help text, with one line per command."""
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


if __name__ == "__main__":
    main()
