"""The options of every command that draws figures with matplotlib: formats, the page, and what is shown."""

import argparse

from losslandscape.cli.option_types import finite, positive
from losslandscape.draw.page_style import PAPERS, PUBLISHED_SIZE, Page
from losslandscape.files.file_names import FIGURE_FORMATS


def add_page_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `--format` and the options of the printed page."""
    add = parser.add_argument
    add(
        "--format",
        nargs="+",
        choices=FIGURE_FORMATS,
        default=["pdf"],
        help="formats of the figures (default: pdf)",
    )
    add(
        "--paper",
        default="",
        choices=["", *PAPERS],
        metavar="NAME",
        help=f"make the figures for this page, with its width and type: {', '.join(PAPERS)}",
    )
    add("--width", type=finite, metavar="INCHES", help="width of the figures, as they are printed")
    add(
        "--font_size",
        type=finite,
        metavar="PT",
        help=f"size of the type, in points (default: {PUBLISHED_SIZE:g}, or that of --paper)",
    )
    add("--font", default="", metavar="FAMILY", help="serif, sans-serif or an installed font")
    add("--latex", action="store_true", help="let LaTeX set all text, if it is installed")
    add("--columns", type=positive, metavar="N", help="panels in a row (default: as many as fit, at most 3)")
    add("--letters", action="store_true", default=None, help="name panels (a), (b), … as --paper does")
    add(
        "--style",
        nargs="+",
        default=[],
        metavar="SHEET",
        help="matplotlib style sheets, as files or names; they win over matplotlibrc and --paper",
    )
    add("--svg_text", action="store_true", help="keep text in SVG files as text rather than outlines")


def page_of(args: argparse.Namespace) -> Page:
    """Return the page that the options ask for.

    Raises:
        InputError: a value is impossible, or a font, a style sheet or LaTeX is not installed.
    """
    page = Page(
        paper=args.paper,
        width=args.width,
        font_size=args.font_size,
        font=args.font,
        latex=args.latex,
        columns=args.columns,
        letters=args.letters,
        style=args.style,
        svg_text=args.svg_text,
    )
    if page.style or page.font:
        from losslandscape.draw.type_settings import require_possible  # here: matplotlib takes time

        require_possible(page)
    return page
