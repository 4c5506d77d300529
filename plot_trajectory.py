"""Run losslandscape.cli.plot_trajectory."""

from losslandscape.cli.plot_trajectory import main

if __name__ == "__main__":
    main()
