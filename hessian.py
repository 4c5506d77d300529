"""Run losslandscape.cli.hessian."""

from losslandscape.cli.hessian import main

if __name__ == "__main__":
    main()
