"""python plot_surface.py --dataset digits --model resnet20 --model_file examples/resnet20.t7 --x=-1:1:11 --plot

Measures the loss on a line through a trained net and draws it. More commands, and all options: --help
"""  # noqa: E501

from losslandscape.cli.plot_surface import main

if __name__ == "__main__":
    main()
