"""Run losslandscape.cli.plot_hessian_eigen."""

from losslandscape.cli.plot_hessian_eigen import main

if __name__ == "__main__":
    main()
