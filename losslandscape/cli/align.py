"""Permute the neurons of one net so that they match those of another, without a change of its function.

    python align.py --dataset digits --model resnet20 --model_file A.t7 --model_file2 B.t7 --out B_ALIGNED.t7
    python align.py --model vgg9 --model_file A.t7 --model_file2 B.t7 --match activations --out B_ALIGNED.t7

The barrier on the straight line between A and B is often higher than that between A and the permuted B. For
weights, the data only show how the net is called. The built-in datasets then need not be there.
"""

import os
from dataclasses import dataclass, replace

import torch

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser, output_file, sentence
from losslandscape.cli.request import DataOptions, NetOptions, Options
from losslandscape.core.errors import InputError
from losslandscape.core.text import shortlist
from losslandscape.data.samples import Samples, SampleSet
from losslandscape.evaluate import losses
from losslandscape.evaluate.alignment import MATCH_SAMPLES, MATCHES, Alignment, align
from losslandscape.nets.checkpoint import read_checkpoint, write_checkpoint
from losslandscape.parallel.mpi4pytorch import Serial

IMAGE_SHAPE = (3, 32, 32)  # of the built-in datasets
NAMES_SHOWN = 3


@dataclass(frozen=True)
class AlignOptions(Options):
    """The options of the matching."""

    match: str
    match_samples: int
    seed: int
    out: str
    loss_name: str


def build_parser() -> Parser:
    parser = Parser(__doc__)
    group = parser.add_argument_group("matching")
    group.add_argument(
        "--match",
        default="weights",
        choices=MATCHES,
        help="by what neurons are matched: weights, or activations, their outputs on data (default: weights)",
    )
    group.add_argument(
        "--match_samples",
        type=options.positive,
        default=MATCH_SAMPLES,
        metavar="N",
        help="training samples for activations, at even distances (default: %(default)s)",
    )
    group.add_argument(
        "--seed",
        type=options.not_negative,
        default=0,
        help="of the order of layers in which weights are matched (default: %(default)s)",
    )
    group.add_argument(
        "--out",
        required=True,
        type=output_file,
        metavar="FILE",
        help="checkpoint to write: the net of --model_file2 with its neurons permuted",
    )
    options.add_model(parser, others=False)
    group.add_argument("--model_file2", default="", metavar="FILE", help="checkpoint of the net to permute")
    options.add_data(parser)
    options.add_subset(parser, test_set=False)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    data, net, wanted = DataOptions.of(args), NetOptions.of(args), AlignOptions.of(args)
    with sentence(parser):
        files = net.files()
        for flag in ("model_file", "model_file2"):
            if flag not in files:
                raise InputError("neurons of two nets are matched", f"give a checkpoint as {{{flag}}}")
        if os.path.lexists(wanted.out):
            raise InputError(f"{wanted.out} exists", "give another {out}, or remove it")
        aligned = align(
            net.load(files["model_file"]),
            net.load(files["model_file2"]),
            samples_for(data, wanted.match),
            losses.find(wanted.loss_name),
            match=wanted.match,
            match_samples=wanted.match_samples,
            seed=wanted.seed,
        )
        print(report(aligned))
        read = read_checkpoint(files["model_file2"], state_key=net.state_key, unsafe_pickle=net.unsafe_pickle)
        write_checkpoint(wanted.out, aligned.net, epoch=read.epoch, acc=read.acc)
        print(f"written: {wanted.out}")


def samples_for(data: DataOptions, match: str) -> Samples:
    """Load the training samples; for weights only two, and of a built-in dataset only their shape."""
    if match == "activations":
        return data.load(Serial())["train"]
    if data.dataset in ("cifar10", "digits") and not data.trainloader:
        generator = torch.Generator().manual_seed(0)
        return SampleSet(((torch.randn(2, *IMAGE_SHAPE, generator=generator), torch.zeros(2).long()),))
    return replace(data, samples=2, data_split=1, split_idx=0).load(Serial())["train"]


def report(aligned: Alignment) -> str:
    """Return what was matched, how far, and what could not be matched, in one line each."""
    sizes = [group.size for group in aligned.groups]
    before, after = aligned.distances
    lines = [
        f"groups:      {len(sizes)}, with {'-'.join(map(str, sorted({min(sizes), max(sizes)})))} neurons",
        f"moved:       {aligned.moved} of {sum(sizes)} neurons",
        f"distance:    {before:.5g} between the weights before, {after:.5g} after",
        f"function:    unchanged, to {aligned.change:.1g} of the largest output",
    ]
    for operation, names in aligned.refused.items():
        lines.append(f"not matched: {shortlist(names, NAMES_SHOWN)} (because of {operation})")
    return "\n".join(lines)
