"""Run losslandscape.cli.plot_1D."""

from losslandscape.cli.plot_1D import main

if __name__ == "__main__":
    main()
