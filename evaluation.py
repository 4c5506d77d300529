"""python evaluation.py --dataset digits --model resnet20 --model_file examples/resnet20.t7

Evaluates one checkpoint: loss and accuracy on training and test data.
"""

from losslandscape.cli.evaluation import main

if __name__ == "__main__":
    main()
