"""Draws one figure of several nets for a paper, and writes it with its caption for LaTeX."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from losslandscape.core import quantity
from losslandscape.core.errors import InputError, require_choice
from losslandscape.core.text import printable
from losslandscape.draw import (
    figures,
    latex,
    metrics_table,
    page_style,
    paper_layout,
    paper_panels,
    surface_facts,
)
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.contour_labels import label_contours
from losslandscape.draw.contour_levels import Scale, choose_scale
from losslandscape.draw.drawable import describe_missing, describe_thin, has_cells, values_of
from losslandscape.draw.figure_metadata import commands, drawing_command
from losslandscape.draw.labels import escape_mathematics, label
from losslandscape.draw.page_style import Page
from losslandscape.draw.paper_caption import Shown, caption
from losslandscape.draw.relief_pictures import Reliefs, reliefs
from losslandscape.draw.surface_title import all_titles
from losslandscape.files import h5_util
from losslandscape.files.atomic_file import replacing
from losslandscape.files.surface import Surface

KINDS = ("contour", "3d", "curve")
DPI = 300  # of the pictures, and of the figure as PNG
PAPER = Page("neurips")  # without another page


def plot_paper_figure(
    *surf_files: str | Surface,
    kinds: Sequence[str] = KINDS,
    name: str = "",
    titles: Sequence[str] = (),
    out: str = "figure",
    log: bool = False,
    formats: str | Sequence[str] = ("pdf", "png"),
    page: Page = PAPER,
) -> list[str]:
    """Draw contours, lit 3-D surfaces and curves of several nets in one figure, and write its caption.

    Each kind has rows of its own, with one scale for all nets. The curves of a plane are its cross-sections,
    unless a line of the same net is given.

    Args:
        surf_files: files of lines and planes, or surfaces.
        kinds: what to draw, from top to bottom: some of contour, 3d and curve.
        name: the quantity; by default the first that all have, which is train_loss if possible.
        titles: one per surface; by default the names of the nets, or of the files.
        out: the figure is `<out>.pdf` and so on, and its LaTeX source `<out>.tex`.
        log: whether the scale is logarithmic also where the loss ranges over less than two orders.
        formats: file formats of the figure.
        page: the printed page; by default that of NeurIPS.

    Returns:
        The paths of the files.

    Raises:
        InputError: a surface has nothing to draw, or the panels do not fit the page.
    """
    for kind in kinds:
        require_choice("kinds", kind, KINDS)
    surfaces = [h5_util.as_surface(file) for file in surf_files]
    name = name or _shared_quantity(surfaces)
    for surface in surfaces:
        if not np.isfinite(values_of(surface, name)).any():
            raise InputError(f"{surface.called} has no {name} to draw ({describe_missing(surface, name)})")
    titles = _titles(surfaces, titles)
    with page_style.drawn_on(page):
        fig, sentences = _draw(surfaces, titles, name, list(dict.fromkeys(kinds)), log=log)
        with matplotlib.rc_context({"savefig.dpi": DPI}):
            paths = figures.save(fig, out, formats, made_by=commands(*surfaces))
        paths.append(_write_latex(out, paths, sentences, width=fig.get_figwidth()))
    metrics_table.report(surfaces, titles, [name])
    return paths


@figures.styled
@figures.overflow_ignored
def _draw(
    surfaces: Sequence[Surface], titles: Sequence[str], name: str, kinds: Sequence[str], *, log: bool
) -> tuple[Figure, list[str]]:
    """Return the figure and the sentences of its caption."""
    pairs = list(zip(surfaces, titles, strict=True))
    planes = [(surface, title) for surface, title in pairs if surface.y is not None]
    by_kind = {kind: _with_curve(pairs) if kind == "curve" else planes for kind in kinds}
    by_kind = {kind: some for kind, some in by_kind.items() if some}
    if not by_kind:
        raise InputError("only planes have contours and 3-D surfaces", "choose {kinds} curve")
    if set(by_kind) - {"curve"}:
        for surface, _ in planes:
            if not has_cells(surface):
                fault = f"{surface.called}: {describe_thin(surface)}"
                raise InputError(fault, "leave it out, or choose {kinds} curve")
    scale = _scale(surfaces, name, log=log)
    made = _reliefs([surface for surface, _ in planes], name, scale, by_kind)
    blocks = [_block(kind, some, made) for kind, some in by_kind.items()]
    blocks = [replace(one, titles=_told_once(one, blocks[:i])) for i, one in enumerate(blocks)]
    fig, places = paper_layout.lay_out(blocks)
    shown = []
    for (kind, some), place in zip(by_kind.items(), places, strict=True):
        them = [surface for surface, _ in some]
        if kind == "contour":
            paper_panels.draw_contours(fig, place, them, name, scale)
        elif kind == "3d" and made:
            paper_panels.draw_reliefs(fig, place, made, name)
        else:
            paper_panels.draw_curves(fig, place, them, name, scale)
        shown.append(Shown(_clause(kind, them, name, made), place.letters))
    label_contours(fig)
    return fig, caption(surfaces, titles, name, shown, _notes(name, scale, by_kind))


def _shared_quantity(surfaces: Sequence[Surface]) -> str:
    names = quantity.shown(surfaces[0].names)
    shared = [one for one in names if all(one in surface.names for surface in surfaces)]
    if not shared:
        raise InputError(f"the surfaces have no quantity in common, such as those of {surfaces[0].called}")
    return shared[0]


def _titles(surfaces: Sequence[Surface], titles: Sequence[str]) -> list[str]:
    """Return the title of each surface; different ones for different planes, and for different lines.

    Raises:
        InputError: they are not one per surface, or two planes or two lines have the same.
    """
    if titles and len(titles) != len(surfaces):
        fault = f"there are {len(titles)} titles for {len(surfaces)} surface files"
        raise InputError(fault, "give one for each ({titles})")
    nets = [surface_facts.net(surface) for surface in surfaces]
    if len(surfaces) == 1 and not titles:
        return [""]
    own = list(titles) or nets
    if not (titles or (all(nets) and _are_different(surfaces, nets))):
        own = list(map(escape_mathematics, all_titles(surfaces)))
    for is_line in (False, True):
        some = [(s, title) for s, title in zip(surfaces, own, strict=True) if (s.y is None) == is_line]
        if some:  # checks the titles
            Comparison.of([surface for surface, _ in some], titles=[title for _, title in some])
    return own


def _are_different(surfaces: Sequence[Surface], titles: Sequence[str]) -> bool:
    keys = [(surface.y is None, title) for surface, title in zip(surfaces, titles, strict=True)]
    return len(set(keys)) == len(keys)


def _with_curve(pairs: Sequence[tuple[Surface, str]]) -> list[tuple[Surface, str]]:
    """Return the surfaces that get a panel of curves: all but planes of which a line of the net is given."""
    lines = {_identity(surface) for surface, _ in pairs if surface.y is None} - {""}
    return [(one, title) for one, title in pairs if one.y is None or _identity(one) not in lines]


def _identity(surface: Surface) -> str:
    """Return what tells nets apart; empty if the file does not say."""
    facts = surface.made_with
    return f"{facts.get('model', '')} {facts['model_file']}" if facts.get("model_file") else ""


def _scale(surfaces: Sequence[Surface], name: str, *, log: bool) -> Scale:
    values = [values_of(surface, name) for surface in surfaces]
    return choose_scale(values, log=log, is_loss=not quantity.is_percentage(name))


def _reliefs(
    planes: Sequence[Surface], name: str, scale: Scale, by_kind: dict[str, list[tuple[Surface, str]]]
) -> Reliefs | None:
    if "3d" not in by_kind:
        return None
    counts = [len(some) for some in by_kind.values()]
    columns, beside = paper_layout.columns_of(counts)
    width = paper_layout.panel_width(columns, beside, sum(counts))
    return reliefs(planes, name, scale, width=width, dpi=DPI)


def _block(kind: str, some: Sequence[tuple[Surface, str]], made: Reliefs | None) -> paper_layout.Block:
    titles = [title for _, title in some]
    if kind == "curve":
        return paper_layout.Block(titles, [paper_panels.CURVE_ASPECT] * len(titles))
    if kind == "3d" and made:
        height, width, _ = made.pictures[0].shape
        return paper_layout.Block(titles, [height / width] * len(titles))
    return paper_layout.Block(titles, [_aspect(surface) for surface, _ in some])


def _told_once(block: paper_layout.Block, above: Sequence[paper_layout.Block]) -> Sequence[str]:
    """Return the titles of a block; empty ones if those of panels right above are the same."""
    columns, _ = paper_layout.columns_of([len(one.titles) for one in [*above, block]])
    is_told = bool(above) and above[0].titles == block.titles and len(block.titles) <= columns
    return [""] * len(block.titles) if is_told else block.titles


def _aspect(surface: Surface) -> float:
    assert surface.y is not None
    aspect = float(np.ptp(surface.y) / np.ptp(surface.x))
    return aspect if 1 / 4 <= aspect <= 4 else 1.0


def _clause(kind: str, surfaces: Sequence[Surface], name: str, made: Reliefs | None) -> str:
    """Return what a block shows, for the caption."""
    what = f"the {label(name)}"
    if kind == "contour":
        return f"contours of {what}"
    if kind == "3d" and made:
        value = f"ln({label(name)} + {made.offset:g})" if made.offset else f"the logarithm of {what}"
        return f"the same as surfaces whose height and colour show {value if made.log else what}"
    planes = [surface for surface in surfaces if surface.y is not None]
    texts = []
    if planes:
        is_exact = all(map(paper_panels.through_centre, planes))
        where = "through" if is_exact else "at the grid points nearest to"
        texts.append(f"cross-sections {where} the centre")
    if len(planes) < len(surfaces):
        texts.append("curves along a line")
    return " and ".join(texts)


def _notes(name: str, scale: Scale, by_kind: dict[str, list[tuple[Surface, str]]]) -> list[str]:
    """Return sentences on the scale."""
    notes = []
    if any(len(some) > 1 for some in by_kind.values()):
        notes.append("All panels of a kind have one scale.")
    if not scale.levels.size:
        notes.append(f"The {label(name)} is {scale.heights[0]:.4g} wherever it is known.")
    return notes


def _write_latex(out: str, paths: Sequence[str], sentences: Sequence[str], *, width: float) -> str:
    """Write the LaTeX source of a figure, and return its path."""
    picture = next((path for path in paths if path.endswith((".pdf", ".png"))), paths[0])
    sheet = page_style.current().sheet
    source = latex.figure_environment(
        picture,
        sentences,
        label=os.path.basename(out),
        wide=bool(sheet and width > sheet.column),
        comments=[printable(line) for line in (drawing_command(), r"needs \usepackage{graphicx}") if line],
    )
    path = f"{out}.tex"
    with replacing(path) as part:
        Path(part).write_text(source, encoding="utf-8")
    print(f"saved {path}")
    return path
