"""Run losslandscape.cli.h52vtp."""

from losslandscape.cli.h52vtp import main

if __name__ == "__main__":
    main()
