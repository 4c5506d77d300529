"""python net_plotter.py --model resnet20 --model_file examples/resnet20.t7 --xnorm filter --xignore biasbn

Makes a direction file and says what it holds; with --dir_file FILE it says what that file holds.
"""

from losslandscape.cli.net_plotter import main

if __name__ == "__main__":
    main()
