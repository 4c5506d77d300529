"""Ours: a command, whose arguments are run in this process."""

from losslandscape.cli import plot_surface

arguments = """--model resnet20 --model_file net.t7 --dataset digits --data_split 4 --x=-1:1:5 --y=-1:1:5
    --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --surf_file surface.h5 --plot"""
plot_surface.main(arguments.split())
