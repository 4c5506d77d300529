"""python plot_trajectory.py --model resnet20 --model_folder tests/golden/resnet20_digits_bs=64 --max_epoch 6

Projects the checkpoints of a training on the plane of their principal components.
"""

from losslandscape.cli.plot_trajectory import main

if __name__ == "__main__":
    main()
