"""Report what is in surface, direction and projection files.

    python h5_util.py FILE...
"""

from losslandscape.cli.h5_util import main

if __name__ == "__main__":
    main()
