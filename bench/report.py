"""What every benchmark shares: interleaved repeats, a table on the screen, JSON with the machine's description beside it."""

import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TypeVar

T = TypeVar("T")
REPO = Path(__file__).resolve().parent.parent


def interleaved(ways: dict[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """Call every way once a round, `repeats` rounds, so that a slow minute of the machine falls on all of them alike."""
    results: dict[str, list[T]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            results[name].append(way())
    return results


def medians(results: dict[str, list[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in results.items()}


def table(rows: list[dict[str, object]]) -> str:
    """Rows with equal keys as an aligned Markdown table; floats with three digits."""
    head = list(rows[0])
    cells = [head, *([_cell(row[name]) for name in head] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    lines = [
        "| "
        + " | ".join(
            text.rjust(width) if i else text.ljust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in cells
    ]
    rule = (
        "|"
        + "|".join(("-" * (width + 1) + ":") if i else "-" * (width + 2) for i, width in enumerate(widths))
        + "|"
    )
    return "\n".join([lines[0], rule, *lines[1:]])


def _cell(value: object) -> str:
    return f"{value:#.3g}".rstrip(".") if isinstance(value, float) else str(value)


def machine() -> dict[str, object]:
    """Processor, cores, GPU if there is one, and versions."""
    found = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    try:
        import torch
    except ImportError:
        return found
    found["torch"] = torch.__version__
    if torch.cuda.is_available():
        found["gpu"] = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write(path: str, results: dict[str, object]) -> None:
    """The results with the machine's description, as JSON."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n")
    print(f"written: {path}")
