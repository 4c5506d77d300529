"""Write panels of plotly traces as one HTML file that works offline.

The page has its own buttons, slider, legend and colour bar, which wrap on a narrow screen, and a dark mode. A
content policy stops the page from loading anything from elsewhere. Texts from files are escaped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from losslandscape.draw.web.colours import GRADIENT, THEMES
from losslandscape.files.atomic_file import replacing

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
MAX_BUTTONS = 6  # the maximum number of views with a button each; more become a menu
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>:root {{ --colours: {gradient}; }}
{css}</style>
</head>
<body>
<header>
<div><h1>{title}</h1><p>{subtitle}</p></div>
<button id="theme" aria-label="dark mode" aria-pressed="false" title="dark mode"><svg width="18" height="18" \
viewBox="0 0 18 18" aria-hidden="true"><circle cx="9" cy="9" r="7.5" fill="none" stroke="currentColor" \
stroke-width="2"/><path d="M9 1.5a7.5 7.5 0 0 1 0 15z" fill="currentColor"/></svg></button>
</header>
<div id="controls" class="row">
<nav id="views" class="row" aria-label="what is shown">{views}</nav>
{bar}
</div>
<main>
{panels}
</main>
{steps}
<div class="row">
<div id="legend" class="row legend" role="group" aria-label="legend"></div>
<div class="row end"><button id="reset">Reset view</button><button id="save">Save picture</button></div>
</div>
<footer><p id="notes">{notes}</p><p id="note"></p>{commands}</footer>
<script type="application/json" id="page-data">{data}</script>
<script>{plotly}</script>
<script>{script}</script>
</body>
</html>
"""
BAR = '<div class="bar"><div class="title"></div><div class="colours"></div><div class="ticks"></div></div>'
STEPS = """<div id="steps"><button id="play">Play</button>\
<input id="step" type="range" min="0" max="{last}" value="{active}" aria-label="checkpoint"><output></output>\
</div>"""


@dataclass(frozen=True)
class View:
    """What a button of the page changes in a panel.

    Args:
        layout: attributes of the layout, by dotted key.
        traces: per attribute, a list with an entry per trace.
        values: as those of a panel, if the view has other points; else None.
        bar: the title and the ticks of the colour bar; None if there is none.
        notes: sentences on what the view does not show.
    """

    layout: dict[str, Any]
    traces: dict[str, list[Any]] = field(default_factory=dict)
    values: dict[str, list[list[Any]]] | None = None
    bar: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Panel:
    """A plot of the page.

    Args:
        title: the title above the plot, if there are several, and the name of a saved picture.
        traces: the traces that are shown first. `meta` has the symbol of a trace for the legend, and the
            attribute that takes the theme's colour of lines. Traces of one `legendgroup` are hidden together.
        layout: the layout, without what depends on the view and the theme.
        views: one per button.
        values: for the texts of the surface's points, rows of values by label.
        steps: the changes of each step of the slider: `traces` and `values` as in a view, and `indices` of
            the changed traces.
    """

    title: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    views: list[View]
    values: dict[str, list[list[Any]]] | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Steps:
    """A slider with a play button.

    Args:
        labels: a label per step.
        active: the step that is shown first.
        milliseconds: the duration of a step.
    """

    labels: list[str]
    active: int
    milliseconds: int


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Args:
        title: the title of the page.
        subtitle: the text below the title.
        panels: the plots, all with the same views and steps.
        views: the label of each button.
        view: the index of the view that is shown first.
        steps: the slider, or None.
        camera: the camera of all scenes, or None if the panels are no scenes.
        one_scale: whether all panels have the heights and the colour bar of the first.
        notes: the sentences below the plots.
        commands: the commands that measured the shown values. Duplicates are left out.
    """

    title: str
    subtitle: str
    panels: Sequence[Panel]
    views: Sequence[str]
    view: int = 0
    steps: Steps | None = None
    camera: Mapping[str, Any] | None = None
    one_scale: bool = True
    notes: Sequence[str] = ()
    commands: Sequence[str] = ()


def write_page(path: str, page: Page) -> str:
    """Write a page in one step, and print its path. An old file is replaced. Return the path."""
    from plotly.offline import get_plotlyjs  # takes a second, and may be absent

    text = PAGE.format(
        policy=POLICY,
        title=escape(page.title),
        subtitle=escape(page.subtitle),
        gradient=GRADIENT,
        css=_asset("page.css"),
        views=_views(page),
        bar=BAR if page.one_scale and page.panels[0].views[0].bar else "",
        panels="\n".join(_panel(panel, page) for panel in page.panels),
        steps=STEPS.format(last=len(page.steps.labels) - 1, active=page.steps.active) if page.steps else "",
        notes=escape(" ".join(page.notes)),
        commands=_commands(list(dict.fromkeys(page.commands))),
        data=_data(page),
        plotly=get_plotlyjs(),
        script=_asset("page.js"),
    )
    with replacing(path) as part:
        Path(part).write_bytes(text.encode(errors="replace"))
    print(f"saved {path}")
    return path


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _data(page: Page) -> str:
    """Return what the script needs as JSON that cannot end its own element."""
    data = {
        "panels": [asdict(panel) for panel in page.panels],
        "view": page.view,
        "steps": page.steps and asdict(page.steps),
        "camera": page.camera,
        "oneScale": page.one_scale,
        "themes": THEMES,
    }
    return json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False).replace(
        "<", "\\u003c"
    )


def _views(page: Page) -> str:
    if len(page.views) < 2:
        return ""
    labels = [escape(label) for label in page.views]
    if len(labels) <= MAX_BUTTONS:
        return "".join(f'<button aria-pressed="false">{label}</button>' for label in labels)
    options = "".join(f'<option value="{i}">{label}</option>' for i, label in enumerate(labels))
    return f'<select aria-label="what is shown">{options}</select>'


def _panel(panel: Panel, page: Page) -> str:
    title = escape(panel.title)
    heading = f"<h2>{title}</h2>" if len(page.panels) > 1 else ""
    bar = BAR if panel.views[0].bar and not page.one_scale else ""
    hint = "a surface to turn" if page.camera else "curves"
    plot = f'<div class="plot" role="img" aria-label="{title}: {hint}"></div>'
    return f"<figure>{heading}{bar}{plot}</figure>"


def _commands(commands: Sequence[str]) -> str:
    if not commands:
        return ""
    what = "command" if len(commands) == 1 else f"{len(commands)} commands"
    lines = "".join(f"<code>{escape(command)}</code>" for command in commands)
    return f"<details><summary>the {what} that measured it</summary>{lines}</details>"
