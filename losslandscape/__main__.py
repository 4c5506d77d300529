"""losslandscape COMMAND …: the commands of the root, from wherever the package is installed."""

import sys
from importlib import import_module

COMMANDS = {
    "plot_surface": "measure the loss on a line or in a plane, and plot it",
}


def main() -> None:
    import_module(f"losslandscape.cli.{sys.argv[1]}").main(sys.argv[2:])


if __name__ == "__main__":
    main()
