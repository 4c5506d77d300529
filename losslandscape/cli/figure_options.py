"""The options of every command that draws figures with matplotlib: formats, the page, and what is shown."""

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING

from losslandscape.cli.option_types import finite, positive
from losslandscape.draw.page_style import PAPERS, PUBLISHED_SIZE, Page
from losslandscape.files.file_names import FIGURE_FORMATS

if TYPE_CHECKING:
    from losslandscape.draw.figure_details import Details


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


def add_out(parser: argparse.ArgumentParser | argparse._ArgumentGroup, default: str, *, of: str) -> None:
    """Add `--out`, the beginning of the names of what `of` says; `default` says what it is otherwise."""
    text = f"beginning of {of} (default: {default})"
    parser.add_argument("--out", default="", metavar="STEM", help=text)


def add_level_options(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, *, fitted_to: str = "the data"
) -> None:
    """Add the options for the levels of contours; 10, 0.1 and 0.5 are the published ones."""
    add = parser.add_argument
    default = f"fitted to {fitted_to}, or 10 with --vmin or --vlevel"
    add("--vmax", type=finite, help=f"contours end before this (default: {default})")
    add("--vmin", type=finite, help="lowest contour (likewise, 0.1)")
    add("--vlevel", type=finite, help="step between contours (likewise, 0.5)")


def add_detail_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the options for what figures of curves and planes show apart from the data."""
    add = parser.add_argument
    add(
        "--footnote",
        type=footnote,
        metavar="TEXT",
        help="text below the figures; none: no text (default: what a figure cannot show)",
    )
    add("--xlabel", default="", metavar="TEXT", help="text below the horizontal axis")
    add("--ylabel", default="", metavar="TEXT", help="text beside the vertical axis")
    add("--no_centre", dest="centre", action="store_false", help="no mark at the minimiser")


def add_plane_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the options for what figures of planes show apart from the data."""
    add_detail_options(parser)
    add = parser.add_argument
    add("--cmap", default="", metavar="NAME", help="a colour map of matplotlib (default: viridis)")
    add(
        "--no_contour_labels",
        dest="contour_labels",
        action="store_false",
        help="no levels on contour lines",
    )
    add("--lines", action="store_true", help="contour lines over the filled contours too")
    add(
        "--zoom",
        type=zoom,
        default=(),
        metavar="R|XMIN:XMAX:YMIN:YMAX",
        help="enlarge this part in a corner: R around the lowest point, or these ends; --zoom=-0.1:0.1:0:0.2",
    )


def footnote(text: str) -> str:
    """Return a text, empty for `none`."""
    return "" if text == "none" else text


def zoom(text: str) -> tuple[float, ...]:
    """Convert one number, or four with colons."""
    parts = text.split(":")
    if len(parts) not in (1, 4):
        raise argparse.ArgumentTypeError(f"{text!r} is not half a width, or xmin:xmax:ymin:ymax")
    return tuple(map(finite, parts))


def details_of(args: argparse.Namespace) -> "Details":
    """Return what the options that a command has ask for.

    Raises:
        InputError: there is no such colour map, or the part to enlarge has no size.
    """
    from losslandscape.draw.figure_details import Details  # here: matplotlib takes time

    names = {field.name for field in fields(Details)} & vars(args).keys()
    return Details(**{name: getattr(args, name) for name in names})


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
