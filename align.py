"""python align.py --dataset digits --model resnet20 --model_file examples/resnet20.t7 --model_file2 tests/golden/resnet20_digits_bs=512/model_40.t7 --out examples/aligned.t7

Permutes the neurons of one net so that they match those of another.
"""  # noqa: E501

from losslandscape.cli.align import main

if __name__ == "__main__":
    main()
