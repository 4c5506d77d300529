"""Ours: a command, whose arguments are run in this process."""

from losslandscape.cli import hessian

arguments = """--model resnet20 --model_file net.t7 --dataset digits --data_split 32 --batch_size 32
    --only eigenvalues trace --json curvature.json"""
hessian.main(arguments.split())
