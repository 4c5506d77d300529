"""python plot_html.py --surf_file examples/surfaces/plane.h5

Makes an interactive page of a surface.
"""

from losslandscape.cli.plot_html import main

if __name__ == "__main__":
    main()
