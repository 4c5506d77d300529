"""Reports the runs that wrote a surface file, and the command that resumes the last one."""

import os
import re
import shlex
from itertools import groupby
from typing import Any

from losslandscape.cli.file_report import count

# By a pattern for the names of quantities, the script or option that a command needs to measure them.
NEEDED_WORDS = {"^test_": "--test_set", "_se$": "--errors", "^(min|max)_eig": "plot_hessian_eigen"}
# Entries of a record that are not versions; all other entries are.
NOT_VERSIONS = ("command", "time", "host", "device", "ranks", "files", "check_report", "refine")

Run = dict[str, Any]


def lines(runs: list[Run]) -> list[str]:
    """Return lines with the command, time, host, device, ranks and versions of each run.

    Successive runs that differ only in time share their lines.
    """
    report = []
    for (command, circumstances), group in groupby(runs, key=_command_and_circumstances):
        times = [str(run.get("time", "time not known")) for run in group]
        when = times[0] if len(times) == 1 else f"{len(times)} runs, {times[0]} to {times[-1]}"
        report.append(f"  {command}")
        report.append(f"      {', '.join(filter(None, [when, circumstances]))}")
    return report


def _command_and_circumstances(run: Run) -> tuple[str, str]:
    return str(run.get("command", "command not known")), _circumstances(run)


def _circumstances(run: Run) -> str:
    """Return the host, device, number of ranks and named versions as text."""
    parts = [str(run[name]) for name in ("host", "device") if run.get(name)]
    if run.get("ranks"):
        parts.append(count(run["ranks"], "rank"))
    parts += [f"{name} {value}" for name, value in run.items() if name not in NOT_VERSIONS]
    return ", ".join(parts)


def checks(runs: list[Run]) -> list[str]:
    """Return the facts and warnings of the last check report in the records."""
    reports = [run["check_report"] for run in runs if isinstance(run.get("check_report"), dict)]
    if not reports:
        return []
    facts, warnings = (_texts(reports[-1].get(word)) for word in ("lines", "warnings"))
    return [*facts, *(f"warning: {warning}" for warning in warnings)]


def _texts(values: object) -> list[str]:
    return list(map(str, values)) if isinstance(values, list) else []


def command_to_resume(runs: list[Run], names: list[str]) -> str:
    """Return the command of the last run that measures these quantities, or else of the last run.

    The command is empty if no record has one. It omits --overwrite, and starts with mpirun if the run had
    several ranks.
    """
    needed = {word for name in names for pattern, word in NEEDED_WORDS.items() if re.search(pattern, name)}
    with_command = [run for run in reversed(runs) if isinstance(run.get("command"), str)]
    if not with_command:
        return ""
    fitting = [run for run in with_command if needed <= set(map(_stem, _words(run["command"])))]
    run = (fitting or with_command)[0]
    words = [word for word in _words(run["command"]) if word != "--overwrite"]
    ranks = run.get("ranks")
    if isinstance(ranks, int) and ranks > 1:
        words = ["mpirun", "-n", str(ranks), *words]
    return shlex.join(words)


def _stem(word: str) -> str:
    """Return the name of a script without its folder and `.py`; return an option unchanged."""
    return os.path.basename(word).removesuffix(".py")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # not written by us: a quotation mark is not closed
        return command.split()
