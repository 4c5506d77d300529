"""python plot_1D.py --surf_file examples/surfaces/line.h5 --log

Draws curves of a measured line.
"""

from losslandscape.cli.plot_1D import main

if __name__ == "__main__":
    main()
