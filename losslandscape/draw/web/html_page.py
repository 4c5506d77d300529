"""Write a plotly figure as one HTML file that works offline.

A content policy stops the page from loading anything from elsewhere. Texts from files are escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from losslandscape.files.atomic_file import replacing

if TYPE_CHECKING:
    import plotly.graph_objects as go

CONFIG = {
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "responsive": True,
    "scrollZoom": True,
    "modeBarButtonsToRemove": ["resetCameraLastSave3d", "select2d", "lasso2d"],
}
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
html, body {{ height: 100%; margin: 0; }}
body {{ display: flex; flex-direction: column; \
font: 14px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #222; }}
header {{ padding: 12px 20px 4px; }}
h1 {{ font-size: 18px; font-weight: 600; margin: 0 0 2px; overflow-wrap: anywhere; }}
p {{ margin: 2px 0; color: #666; overflow-wrap: anywhere; }}
main {{ flex: 1 0 420px; position: relative; }}
main > div {{ position: absolute; inset: 0; }}
footer {{ order: 1; padding: 4px 20px 12px; font-size: 12px; }}
summary {{ color: #666; cursor: pointer; }}
code {{ overflow-wrap: anywhere; color: #444; }}
</style>
</head>
<body>
<header><h1>{title}</h1><p>{subtitle}</p></header>
<footer>{footer}</footer>
<main>{figure}</main>
</body>
</html>
"""


def write_page(
    path: str,
    figure: go.Figure,
    *,
    title: str,
    subtitle: str,
    notes: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> str:
    """Write a page in one step, and print its path.

    Args:
        path: the file of the page. An old file is replaced.
        figure: the figure that fills the page.
        title: the title of the page.
        subtitle: the text below the title.
        notes: the sentences below the figure.
        commands: the commands that measured the shown values. Duplicates are left out.

    Returns:
        The path of the page.
    """
    drawing = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="figure",
        auto_play=False,
        default_width="100%",
        default_height="100%",
        config=CONFIG,
    )
    page = PAGE.format(
        policy=POLICY,
        title=escape(title),
        subtitle=escape(subtitle),
        footer=_footer(notes, list(dict.fromkeys(commands))),
        figure=drawing,
    )
    with replacing(path) as part:
        Path(part).write_bytes(page.encode(errors="replace"))
    print(f"saved {path}")
    return path


def _footer(notes: Sequence[str], commands: Sequence[str]) -> str:
    parts = []
    if notes:
        parts.append(f"<p>{escape(' '.join(notes))}</p>")
    if commands:
        what = "command" if len(commands) == 1 else f"{len(commands)} commands"
        lines = "<br>".join(f"<code>{escape(command)}</code>" for command in commands)
        parts.append(f"<details><summary>the {what} that measured it</summary>{lines}</details>")
    return "\n".join(parts)
