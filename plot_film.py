"""Run losslandscape.cli.plot_film."""

from losslandscape.cli.plot_film import main

if __name__ == "__main__":
    main()
