"""The colours of pages: of heights, and of the light and the dark theme."""

from typing import Any

# Viridis, as in the figures for print: it looks even, also to a colour-blind reader.
VIRIDIS = (
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c",
    "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725",
)  # fmt: skip
SCALE = [[i / (len(VIRIDIS) - 1), colour] for i, colour in enumerate(VIRIDIS)]
GRADIENT = f"linear-gradient(90deg, {', '.join(VIRIDIS)})"


def _theme(*, text: str, back: str, wall: str, grid: str, line: str) -> dict[str, Any]:
    """Return the layout of a theme by dotted key, and the colour of contours.

    Plotly ignores the attributes of axes that a figure does not have.
    """
    axes = ("scene.xaxis", "scene.yaxis", "scene.zaxis", "xaxis", "yaxis")
    return {
        "line": line,
        "layout": {
            "font.color": text,
            "paper_bgcolor": back,
            "plot_bgcolor": back,
            "hoverlabel.bgcolor": wall,
            "hoverlabel.bordercolor": grid,
            "hoverlabel.font.color": text,
            **{f"{axis}.gridcolor": grid for axis in axes},
            **{f"{axis}.backgroundcolor": wall for axis in axes if axis.startswith("scene")},
        },
    }


THEMES = {
    "light": _theme(text="#1d2126", back="#ffffff", wall="#f3f4f6", grid="#d2d6db", line="#333333"),
    "dark": _theme(text="#eceff3", back="#15181d", wall="#262b33", grid="#474f5a", line="#e8e8e8"),
}
