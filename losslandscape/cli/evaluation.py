"""Evaluate one checkpoint: loss, accuracy and whatever else the loss returns, on training and test data.

    python evaluation.py --dataset digits --model resnet20 --model_file FILE.t7
    python evaluation.py --cuda --model resnet56 --model_file FILE.t7
    python evaluation.py --model mine.py:net --model_file mine.pt --dataset mine.py:data

Run this before you measure a surface: the accuracy must equal the one that the training reported for this
checkpoint. If it does not, the data, their preprocessing or the net differ from those of the training.
"""

from dataclasses import replace

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser, as_flag, sentence
from losslandscape.cli.landscapes import without_checkpoint
from losslandscape.cli.request import DataOptions, NetOptions
from losslandscape.core import quantity
from losslandscape.data.samples import Samples
from losslandscape.evaluate import losses
from losslandscape.evaluate.batching import BATCH_SIZE, choose_batches
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.evaluate.fit_check import MAX_ACCURACY_DROP, check_data
from losslandscape.measure.repeatability_checks import check_repeatability
from losslandscape.nets import spreading
from losslandscape.parallel import devices
from losslandscape.parallel.mpi4pytorch import Serial

DISPLAY_NAMES = {"acc": "accuracy", "top5": "top-5 accuracy"}


def build_parser() -> Parser:
    parser = Parser(__doc__)
    options.add_data(parser)
    options.add_subset(parser, test_set=False)
    options.add_model(parser, others=False)
    group = parser.add_argument_group("hardware")
    group.add_argument("--cuda", "-c", action="store_true", help="compute on the GPU")
    group.add_argument(
        "--batch_size",
        type=options.positive,
        help=f"samples in a forward pass (default: {BATCH_SIZE})",
    )
    options.add_gpus(group)
    options.add_precision(group)
    options.add_fix_randomness(group)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    data, net_options = DataOptions.of(args), NetOptions.of(args)
    with sentence(parser):
        device = devices.choose(args.cuda, Serial(), args.ngpu)
        devices.set_precision(args.precision, device)
        file = net_options.files().get("model_file", "")
        net = net_options.load(file)
        loss = losses.find(args.loss_name)
        sets = replace(data, test_set=None).load(Serial())
        if args.ngpu > 1:
            spreading.spread(net, devices.free_memory(device, args.ngpu))
        spreading.place(net, device)
        batching = choose_batches(
            net,
            sets,
            loss,
            model=args.model,
            ranks=Serial(),
            batch_size=args.batch_size,
            fix_randomness=args.fix_randomness,
        )
        for samples in batching.sets.values():
            check_data(net, samples, loss, args.model)
        repeatability = check_repeatability(batching).text(as_flag)
        if repeatability:
            print(repeatability)
        if not file:
            print(without_checkpoint(args.model))
        evaluator = Evaluator(
            net,
            batching.sets,
            loss=loss,
            batch_size=batching.batch_size or BATCH_SIZE,
            precision=args.precision,
            fix_randomness=args.fix_randomness,
        )
        values = evaluator.measure()
        print(report(values, sets))
        compare_accuracy(values, net_options.recorded_accuracy(file))


def compare_accuracy(values: dict[str, float], recorded: float | None) -> None:
    """Print the test accuracy that the checkpoint records, if any, and warn if the net's is much lower."""
    if recorded is None:
        return
    print(f"the checkpoint records a test accuracy of {recorded:.2f} %")
    if recorded - values.get("test_acc", recorded) > MAX_ACCURACY_DROP:
        print("warning: the data, their preprocessing or the net are not those of the training")


def report(values: dict[str, float], sets: dict[str, Samples]) -> str:
    """Return all quantities as text, with one line for each part of the data.

    >>> print(report({"train_loss": 0.25, "train_acc": 91.5}, {"train": range(200)}))
    train (200 samples): loss 0.25, accuracy 91.50 %
    """
    lines = []
    for part, samples in sets.items():
        texts = []
        for name, value in values.items():
            if name.startswith(part):
                short = name.removeprefix(f"{part}_")
                texts.append(f"{DISPLAY_NAMES.get(short, short)} {_number(short, value)}")
        lines.append(f"{part} ({len(samples)} samples): {', '.join(texts)}")
    return "\n".join(lines)


def _number(name: str, value: float) -> str:
    return f"{value:.2f} %" if quantity.is_percentage(name) else f"{value:.6g}"
