"""python h52vtp.py --surf_file examples/surfaces/plane.h5 --log --png

Makes a lit 3-D picture, and a file for ParaView.
"""

from losslandscape.cli.h52vtp import main

if __name__ == "__main__":
    main()
