"""python script/figure.py examples/surfaces/plane.h5 examples/surfaces/line.h5 --out figure1

Draws contours, lit 3-D surfaces and curves of several nets as one figure of a paper, with its caption.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where the package is

from losslandscape.cli.figure import main

if __name__ == "__main__":
    main()
