"""What a user gave and we cannot use.

Modules raise `InputError`. The command line turns it into one sentence and exit status 2. Any other exception is a
fault of the program and keeps its traceback.
"""

from collections.abc import Callable, Iterable

NameOption = Callable[
    [str, str], str
]  # how an interface writes the option of a name with a value, if it has one

# Options that have another name in `loss_surface`.
ARGUMENTS = {
    "xnorm": "norm",
    "ynorm": "norm",
    "xignore": "ignore",
    "yignore": "ignore",
    "dir_file": "directions",
}


def as_argument(name: str, value: str) -> str:
    """An option as Python writes it.

    >>> as_argument("overwrite", "True"), as_argument("dir_type", "states"), as_argument("dir_file", "")
    ('overwrite=True', "dir_type='states'", 'directions=')
    """
    name = ARGUMENTS.get(name, name)
    return f"{name}={value if value in ('', 'True') else repr(value)}"


class InputError(ValueError):
    """A value of the user cannot be used.

    Args:
        fault: what is wrong, naming the bad value.
        advice: what to do. It names options in braces, `{surf_file}`, `{dir_type:states}` or `{overwrite:True}`. Each
            interface writes them in its own way: `--dir_type states` or `dir_type='states'`.

    >>> str(InputError("'a.h5' was made with another model", "give {overwrite:True} to start again"))
    "'a.h5' was made with another model; give overwrite=True to start again"
    """

    def __init__(self, fault: str, advice: str = ""):
        super().__init__(fault, advice)  # both, so that a copy sent to another rank is whole
        self.fault, self.advice = fault, advice

    def __str__(self) -> str:
        return self.sentence(as_argument)

    def sentence(self, name_option: NameOption) -> str:
        """Fault and advice, with the options as an interface writes them."""
        return "; ".join(filter(None, (self.fault, name_options(self.advice, name_option))))


class _Option:
    def __init__(self, name: str, name_option: NameOption):
        self._name, self._name_option = name, name_option

    def __format__(self, value: str) -> str:
        return self._name_option(self._name, value)


class _Options(dict[str, _Option]):
    def __init__(self, name_option: NameOption):
        super().__init__()
        self._name_option = name_option

    def __missing__(self, name: str) -> _Option:
        return _Option(name, self._name_option)


def name_options(text: str, name_option: NameOption) -> str:
    """The text with its options, such as `{surf_file}`, as an interface writes them."""
    return text.format_map(_Options(name_option))


def require_choice(name: str, given: object, choices: Iterable[str]) -> None:
    """Raise `InputError`, naming the choices, unless `given` is one of them."""
    choices = tuple(choices)
    if given not in choices:
        raise InputError(f"there is no {name} {given!r}; choose one of {', '.join(map(repr, choices))}")
