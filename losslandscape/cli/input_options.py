"""The options of plot_surface.py for surfaces over inputs, and what they do not go with."""

import argparse
from collections.abc import Mapping

from losslandscape.cli.option_types import not_negative
from losslandscape.core.errors import InputError
from losslandscape.evaluate.input_directions import LABELS, is_known
from losslandscape.measure.landscape import ORIGINS

# Options that say how weights move.
ONLY_WEIGHTS = (
    *("model_file2", "model_file3", "dir_type", "xnorm", "ynorm", "xignore", "yignore"),
    *("params", "same_dir", "axes", "proj_file"),
)
NOT_GIVEN: tuple[object, ...] = (None, False, "", "weights", [], ())


def add_over(group: argparse._ArgumentGroup) -> None:
    """Add the options that choose what moves."""
    group.add_argument(
        "--over",
        default="weights",
        choices=("weights", "inputs"),
        help="what moves: the weights, or the inputs of the data along --xdir and --ydir, which are then "
        "random (signs), sign (of the gradient of each sample's loss), gradient (of length 1), or sample:K "
        "(towards training sample K); for images in units of pixels in [0, 1] (default: weights)",
    )
    group.add_argument(
        "--sample",
        type=not_negative,
        metavar="K",
        help="for --over inputs: measure only sample K, from 0 (default: the mean over all)",
    )


def direction(text: str) -> str:
    """Accept the name of a direction of weights or of inputs."""
    if text not in ORIGINS and not is_known(text):
        names = ", ".join(dict.fromkeys([*LABELS, *ORIGINS]))
        raise argparse.ArgumentTypeError(f"there is no direction {text!r}; choose one of {names}, sample:K")
    return text


def require_fit(options: Mapping[str, object]) -> None:
    """Raise `InputError` for options that do not go with what moves, the weights or the inputs.

    Args:
        options: the values of all options by name.
    """
    over, names = options["over"], {flag: str(options[flag]) for flag in ("xdir", "ydir")}
    others: dict[str, object]
    if over == "weights":
        others = {flag: name for flag, name in names.items() if name not in ("random", *ORIGINS)}
        others["sample"] = options["sample"]
    else:
        others = {flag: name for flag, name in names.items() if not is_known(name)}
        others |= {flag: options[flag] for flag in ONLY_WEIGHTS if options[flag] not in NOT_GIVEN}
    for flag, value in others.items():
        if value is not None:
            text = " ".join(value) if isinstance(value, list) else str(value)
            word = f"--{flag}" if value is True else f"--{flag} {text}"
            raise InputError(f"{word} does not go with --over {over}", "leave one of them out")
