"""Ours, to a smaller error: what the others' values are judged by."""

from losslandscape.cli import hessian

arguments = """--model resnet20 --model_file net.t7 --dataset digits --data_split 32 --batch_size 32
    --only eigenvalues trace --json curvature.json --tolerance 0.0001 --trace_tolerance 0.005 --rank 32
    --probes 400"""
hessian.main(arguments.split())
