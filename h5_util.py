"""python h5_util.py examples/surfaces/plane.h5

Says what is in direction, surface and projection files.
"""

from losslandscape.cli.h5_util import main

if __name__ == "__main__":
    main()
