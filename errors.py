"""What the user gave and we cannot use: one sentence, exit status 2, no traceback.

Modules raise `InputError`; scripts wrap their story in `sentence`, which is the only place that turns it into an exit.
Any other exception is a fault of ours and keeps its traceback.
"""
import argparse
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """What the user gave cannot be used; the message is one sentence naming the bad value and what to do."""


@contextmanager
def sentence(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Turn an `InputError`, or the operating system's refusal of a file, into `parser.error` (exit status 2)."""
    try:
        yield
    except InputError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
