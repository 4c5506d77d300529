"""Train a net with the paper's recipe."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # finds the package, wherever this is started from

from losslandscape.cli.train import main

if __name__ == "__main__":
    main(datapath=os.path.relpath(HERE / "data"))
