"""Makes text from elsewhere, such as a library's error or a string in a file, fit to be printed."""

LONGEST = 200  # characters; the errors of some libraries fill pages


def one_line(error: object) -> str:
    """Return the message of an error as one short line; the error's type if it has no message.

    >>> one_line(ValueError("two\\n lines")), one_line(KeyError())
    ('two lines', 'KeyError')
    """
    return " ".join(str(error).split())[:LONGEST] or type(error).__name__


def printable(line: str) -> str:
    """Return a line with `?` for each character that neither a terminal nor XML nor PDF should get.

    >>> printable("red \\x1b[31m")
    'red ?[31m'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in line)
