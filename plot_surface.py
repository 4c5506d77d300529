"""Run losslandscape.cli.plot_surface."""

from losslandscape.cli.plot_surface import main

if __name__ == "__main__":
    main()
