"""Writes texts of figures as LaTeX, and a figure with its caption as an environment to paste."""

import re
from collections.abc import Sequence

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "×": r"$\times$",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "α": r"$\alpha$",
    "β": r"$\beta$",
}
# A formula, or a dollar sign that is none, as matplotlib reads them.
FORMULA = re.compile(r"(?<!\\)(\$(?:\\\$|[^$])*\$)")


def escape(text: str) -> str:
    r"""Return a text that matplotlib can draw as LaTeX: formulas between $ stay, and `\$` is a dollar sign.

    >>> escape(r"lr_0.1 & $\alpha$, 5 %, \$3")
    'lr\\_0.1 \\& $\\alpha$, 5 \\%, \\$3'
    """
    parts = FORMULA.split(text)
    return "".join(part if index % 2 else _plain(part) for index, part in enumerate(parts))


def _plain(text: str) -> str:
    return "".join(SPECIAL.get(letter, letter) for letter in text.replace(r"\$", "$"))


def figure_environment(
    picture: str, caption: Sequence[str], *, label: str, wide: bool = False, comments: Sequence[str] = ()
) -> str:
    """Return a figure environment.

    Args:
        picture: the path of the picture, which keeps its size.
        caption: sentences, as matplotlib would draw them.
        label: the name for references, without `fig:`.
        wide: whether the figure spans both columns of a page.
        comments: lines for readers of the source.
    """
    name = "figure*" if wide else "figure"
    words = re.sub(r"[^\w.:-]+", "-", label).strip("-") or "figure"
    lines = [
        *(f"% {line}" for line in comments),
        rf"\begin{{{name}}}[t]",
        r"  \centering",
        rf"  \includegraphics{{{picture}}}",
        r"  \caption{%",
        *(f"    {escape(sentence)}" for sentence in caption),
        r"  }",
        rf"  \label{{fig:{words}}}",
        rf"\end{{{name}}}",
    ]
    return "\n".join(lines) + "\n"
