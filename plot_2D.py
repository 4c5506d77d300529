"""Run losslandscape.cli.plot_2D."""

from losslandscape.cli.plot_2D import main

if __name__ == "__main__":
    main()
