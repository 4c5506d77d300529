"""What all benchmarks share: options, repeats in turns, a table, and JSON with the machine's description."""

import argparse
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TypeVar

T = TypeVar("T")
REPO = Path(__file__).resolve().parent.parent


def options(description: str | None, *, repeats: int | None = 3) -> argparse.ArgumentParser:
    """Return a parser with --out, and with --repeats unless its default is None."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if repeats is not None:
        parser.add_argument("--repeats", type=int, default=repeats, help="rounds (default: %(default)s)")
    parser.add_argument("--out", default="", metavar="FILE.json", help="write all numbers to this file")
    return parser


def interleaved(ways: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """Call every way once per round, so that a slow minute of the machine falls on all of them alike."""
    results: dict[str, list[T]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            results[name].append(way())
    return results


def medians(results: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in results.items()}


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows with equal keys as an aligned Markdown table; floats get three digits."""
    head = list(rows[0])
    cells = [head, *([_cell(row[name]) for name in head] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    first, *others = widths
    rule = ["-" * (first + 2), *("-" * (width + 1) + ":" for width in others)]
    lines = [_line(texts, widths) for texts in cells]
    return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]])


def _line(texts: list[str], widths: list[int]) -> str:
    """Return a line of the table with its first text aligned left and the others right."""
    first = texts[0].ljust(widths[0])
    others = [text.rjust(width) for text, width in zip(texts[1:], widths[1:], strict=True)]
    return f"| {' | '.join([first, *others])} |"


def _cell(value: object) -> str:
    return f"{value:#.3g}".rstrip(".") if isinstance(value, float) else str(value)


def machine() -> dict[str, object]:
    """Return processor, cores, the GPU if there is one, and versions."""
    facts: dict[str, object] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    try:
        import torch
    except ImportError:
        return facts
    facts["torch"] = torch.__version__
    if torch.cuda.is_available():
        facts["gpu"] = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return facts


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write(path: str, results: Mapping[str, object]) -> None:
    """Write results with the machine's description, unless the path is empty."""
    if not path:
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n")
    print(f"written: {path}")
