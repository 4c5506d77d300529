"""Run losslandscape.cli.plot_html."""

from losslandscape.cli.plot_html import main

if __name__ == "__main__":
    main()
