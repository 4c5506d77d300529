"""python plot_2D.py --surf_file examples/surfaces/plane.h5 --format png

Draws contours, a heat map and a 3-D surface of a measured plane.
"""

from losslandscape.cli.plot_2D import main

if __name__ == "__main__":
    main()
