"""python connect.py --dataset digits --model resnet20 --model_file examples/resnet20.t7 --model_file2 tests/golden/resnet20_digits_bs=512/model_40.t7 --epochs 2 --out examples/curve

Trains a curve of low loss between two nets, and measures the loss along it.
"""  # noqa: E501

from losslandscape.cli.connect import main

if __name__ == "__main__":
    main()
