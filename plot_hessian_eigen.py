"""python plot_hessian_eigen.py --dataset digits --data_split 32 --model resnet20 --model_file examples/resnet20.t7 --x=0:1:3 --plot

Measures the extreme eigenvalues of the Hessian on a line and draws their ratio.
"""  # noqa: E501

from losslandscape.cli.plot_hessian_eigen import main

if __name__ == "__main__":
    main()
