"""What the user gave and we cannot use.

Modules raise `InputError`; a script's `command_line.sentence` turns it into one sentence and exit status 2. Any other exception
is a fault of ours and keeps its traceback.
"""
from collections.abc import Iterable


class InputError(ValueError):
    """What the user gave cannot be used; the message is one sentence naming the bad value and what to do."""


def require_choice(name: str, given: object, choices: Iterable[str]) -> None:
    """Raise `InputError`, naming the choices, unless what is given as `name` is one of them."""
    choices = tuple(choices)
    if given not in choices:
        raise InputError(f"there is no {name} {given!r}; choose one of {', '.join(map(repr, choices))}")
