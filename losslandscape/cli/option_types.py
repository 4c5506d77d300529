"""Converts the text of an option to its value, or refuses it with one sentence."""

import argparse
import math
from collections.abc import Callable, Iterable

from losslandscape.core import user_code
from losslandscape.files.file_names import Axis, axis_fault
from losslandscape.measure.auto_range import Auto

BN_SAMPLES = 1000  # training samples for `--bn recompute`


def axis(text: str) -> Axis | Auto:
    """Convert `min:max:number`, such as -1:1:51, or `auto`, or `auto:number`."""
    parts = text.split(":")
    if parts[0] == "auto":
        return _auto(text, parts[1:])
    try:
        low, high, number = parts
        values = float(low), float(high), int(number)
    except ValueError:
        values = 0.0, 0.0, 0
    form = "min:max:number with at least one point, such as -1:1:51"
    fault = axis_fault(*values, form)
    if fault:
        raise argparse.ArgumentTypeError(f"{text!r} {fault}")
    return values


def _auto(text: str, numbers: list[str]) -> Auto:
    if not numbers:
        return Auto()
    if len(numbers) > 1 or not numbers[0].isdigit() or int(numbers[0]) < 2:
        form = "auto, or auto:number with at least two points, such as auto:25"
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}")
    return Auto(int(numbers[0]))


def optional_axis(text: str) -> Axis | Auto | None:
    """Convert like `axis`; the text `None`, the published default, stands for a surface of one dimension."""
    return None if text == "None" else axis(text)


def finite(text: str) -> float:
    """Convert a finite number."""
    return _number(text, math.isfinite, "a finite number")


def factor(text: str) -> float:
    """Convert a finite number above 1."""
    return _number(text, lambda value: 1 < value < math.inf, "a number above 1, such as 10")


def share(text: str) -> float:
    """Convert a number above 0 and below 1."""
    return _number(text, lambda value: 0 < value < 1, "a number above 0 and below 1, such as 0.001")


def not_negative_number(text: str) -> float:
    """Convert a finite number of at least 0."""
    return _number(text, lambda value: 0 <= value < math.inf, "a number of at least 0")


def gibibytes(text: str) -> int:
    """Convert a number of GiB to bytes."""
    size = _number(text, lambda value: 0 <= value < math.inf, "a number of GiB, such as 20 or 0.5")
    return int(size * 2**30)


def _number(text: str, is_valid: Callable[[float], bool], form: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value) or not is_valid(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}")
    return value


def positive(text: str) -> int:
    """Convert a whole number of at least 1."""
    return _whole_number(text, minimum=1)


def not_negative(text: str) -> int:
    """Convert a whole number of at least 0."""
    return _whole_number(text, minimum=0)


def _whole_number(text: str, *, minimum: int) -> int:
    if not text.isdigit() or int(text) < minimum:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {minimum}")
    return int(text)


def one_gpu(text: str) -> int:
    """Accept only 1. The published program's DataParallel is slower than one rank per GPU."""
    if positive(text) > 1:
        fault = f"a rank uses one GPU, not {text}"
        raise argparse.ArgumentTypeError(f"{fault}; start one rank per GPU instead, with mpirun -n {text}")
    return 1


def channel_values(text: str) -> tuple[float, ...]:
    """Convert one number, or one number per channel, separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        form = "a number, or numbers with commas, such as 0.5,0.5,0.5"
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}") from None


def bn_samples(text: str) -> int:
    """Return the number of samples: 0 for `stored`, BN_SAMPLES for `recompute`, N for `recompute:N`."""
    word, colon, number = text.partition(":")
    if text == "stored":
        return 0
    if word != "recompute" or (colon and (not number.isdigit() or int(number) < 2)):
        form = "stored, recompute or recompute:N with at least 2 samples, such as recompute:2000"
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}")
    return int(number or BN_SAMPLES)


def known_or_own(what: str, names: Iterable[str]) -> Callable[[str], str]:
    """Return a converter that accepts one of `names`, FILE.py:FUNCTION or package.module:function."""

    def check(text: str) -> str:
        if text not in names and not user_code.is_own(text):
            choices = ", ".join(names)
            raise argparse.ArgumentTypeError(
                f"there is no {what} {text!r}; choose one of {choices}, or give FILE.py:FUNCTION"
            )
        return text

    return check


def choice_or_empty(choices: tuple[str, ...]) -> list[str]:
    """Return the choices and an empty text, the published default, which stands for no choice."""
    return [*choices, ""]
