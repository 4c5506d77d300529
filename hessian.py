"""python hessian.py --dataset digits --data_split 32 --model resnet20 --model_file examples/resnet20.t7

Computes eigenvalues, trace and spectral density of the Hessian at a checkpoint.
"""

from losslandscape.cli.hessian import main

if __name__ == "__main__":
    main()
