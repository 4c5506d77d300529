"""Make text from elsewhere, such as a library's error or a string in a file, safe to print."""

from collections.abc import Sequence

MAX_LENGTH = 200  # characters; the errors of some libraries fill pages


def one_line(error: object) -> str:
    """Return the message of an error as one short line, or the error's type if the message is empty.

    >>> one_line(ValueError("two\\n lines")), one_line(KeyError())
    ('two lines', 'KeyError')
    """
    return " ".join(str(error).split())[:MAX_LENGTH] or type(error).__name__


def with_type(error: BaseException) -> str:
    """Return the type and the message of an error as one short line.

    >>> with_type(ValueError("two\\n lines"))
    'ValueError: two lines'
    """
    return f"{type(error).__name__}: {one_line(error)}"


def shortlist(texts: Sequence[str], most: int) -> str:
    """Return the first texts, separated by commas, with an ellipsis if there are more than `most`.

    >>> shortlist(["a", "b"], 2), shortlist(["a", "b", "c"], 2)
    ('a, b', 'a, b, …')
    """
    shown = ", ".join(texts[:most])
    return f"{shown}, …" if len(texts) > most else shown


def printable(line: str) -> str:
    """Return a line with `?` for each character that is not printable, such as a control character.

    >>> printable("red \\x1b[31m")
    'red ?[31m'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def legible(text: str) -> str:
    """Return a file name or an argument of the command line as text whose characters a font has.

    If its bytes are not text in the encoding of the system, such as that of `LC_ALL=C`, Python turns them
    into special characters. These become bytes again, and the bytes are read as UTF-8.

    >>> legible("m\\udcc3\\udca9sure"), legible("\\udcff")
    ('mésure', '\ufffd')
    """
    return text.encode(errors="surrogateescape").decode(errors="replace")
