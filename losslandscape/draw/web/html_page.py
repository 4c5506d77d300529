"""A plotly figure as one HTML file that works offline: nothing in it asks for anything from elsewhere, and texts of files stay texts."""

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
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>
html, body {{ height: 100%; margin: 0; }}
body {{ display: flex; flex-direction: column; font: 14px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #222; }}
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
<footer>{notes}</footer>
<main>{figure}</main>
</body>
</html>
"""


def write(
    path: str,
    figure: go.Figure,
    *,
    title: str,
    subtitle: str,
    notes: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> str:
    """Write the page, replacing one that is there in one step; returns its path.

    `notes` are sentences below the figure, `commands` those that measured what it shows.
    """
    lines = [f"<p>{escape(' '.join(notes))}</p>"] if notes else []
    if commands := list(dict.fromkeys(commands)):
        summary = (
            "the command that measured it"
            if len(commands) == 1
            else f"the {len(commands)} commands that measured it"
        )
        lines.append(
            f"<details><summary>{summary}</summary>{'<br>'.join(f'<code>{escape(command)}</code>' for command in commands)}</details>"
        )
    text = PAGE.format(
        title=escape(title),
        subtitle=escape(subtitle),
        notes="\n".join(lines),
        figure=figure.to_html(
            full_html=False,
            include_plotlyjs=True,
            div_id="figure",
            auto_play=False,
            default_width="100%",
            default_height="100%",
            config=CONFIG,
        ),
    )
    with replacing(path) as part:
        Path(part).write_bytes(text.encode(errors="replace"))
    print(f"saved {path}")
    return path
