"""The error for input that the program cannot use. Each interface writes its advice with its own options.

Modules raise `InputError`. The command line turns it into one sentence and exit status 2. Any other
exception is a fault of the program and keeps its traceback.
"""

from collections.abc import Callable, Iterable

# Takes the name and the value (which may be empty) of an option, and returns it as an interface writes it.
NameOption = Callable[[str, str], str]

# The argument of `loss_surface` for each option that has another name there.
ARGUMENTS = {
    "xnorm": "norm",
    "ynorm": "norm",
    "xignore": "ignore",
    "yignore": "ignore",
    "xdir": "directions",
    "dir_file": "directions",
}

# Words that are values on the command line, and the values in Python that mean the same.
VALUES = {"recompute": 1000}


def as_argument(name: str, value: str) -> str:
    """Return an option as an argument of a Python call.

    >>> as_argument("overwrite", "True"), as_argument("dir_type", "states"), as_argument("dir_file", "")
    ('overwrite=True', "dir_type='states'", 'directions=')
    >>> as_argument("bn_samples", "recompute")
    'bn_samples=1000'
    """
    argument = ARGUMENTS.get(name, name)
    if value in ("", "True"):
        return f"{argument}={value}"
    return f"{argument}={VALUES.get(value, value)!r}"


class InputError(ValueError):
    """The error that is raised when the user gives a value that cannot be used.

    Args:
        fault: what is wrong, naming the bad value.
        advice: what to do. It names options in braces, `{surf_file}`, `{dir_type:states}` or
            `{overwrite:True}`. Each interface writes them in its own way: `--dir_type states` or
            `dir_type='states'`.

    >>> str(InputError("'a.h5' was made with another model", "give {overwrite:True} to start again"))
    "'a.h5' was made with another model; give overwrite=True to start again"
    """

    def __init__(self, fault: str, advice: str = ""):
        super().__init__(fault, advice)  # both, or a copy on another rank lacks the advice
        self.fault, self.advice = fault, advice

    def __str__(self) -> str:
        return self.sentence(as_argument)

    def sentence(self, name_option: NameOption) -> str:
        """Return fault and advice, with the options as an interface writes them."""
        return "; ".join(filter(None, (self.fault, name_options(self.advice, name_option))))


class _Option:
    """An option in a format string, whose value is the text after the colon."""

    def __init__(self, name: str, name_option: NameOption):
        self._name, self._name_option = name, name_option

    def __format__(self, value: str) -> str:
        return self._name_option(self._name, value)


class _Options(dict[str, _Option]):
    """A mapping that returns an option for every name in a format string."""

    def __init__(self, name_option: NameOption):
        super().__init__()
        self._name_option = name_option

    def __missing__(self, name: str) -> _Option:
        return _Option(name, self._name_option)


def name_options(text: str, name_option: NameOption) -> str:
    """Return a text with its options, such as `{surf_file}`, as an interface writes them."""
    return text.format_map(_Options(name_option))


def require_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise `InputError`, naming the choices, unless the value is one of them."""
    choices = tuple(choices)
    if value not in choices:
        raise InputError(f"there is no {name} {value!r}; choose one of {', '.join(map(repr, choices))}")
