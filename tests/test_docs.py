"""What README.md and docs/ name exists: files, commands and their options."""

import contextlib
import importlib
import io
import re

import pytest

from losslandscape.__main__ import COMMANDS
from tests.helpers import REPO

PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
MADE_BY_USERS = {
    "FILE.py",
    "FILE.txt",
    *(f"examples/language_models/{name}.txt" for name in ("manual", "code")),
    "mine.py",
    "net.py",
    "losses.py",
}
FILE = re.compile(r"(?:\.\./)*\w[\w/]*\.(?:py|json|sh|cff|txt)\b")


def commands() -> list[tuple[str, list[str]]]:
    """Name and options of each command in an indented block, with its continuation lines."""
    every = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(r"^    .*(?:python|losslandscape) .*$", text, re.MULTILINE):
            match = re.search(r"python (?:cifar10/|script/)?(\w+)\.py (.*)|losslandscape (\w+) (.*)", line)
            if match:
                script, arguments, command, rest = match.groups()
                options = re.findall(r"(--\w+)", (arguments or rest or "").split("#")[0])
                every.append((command or script, options))
    return every


def help_of(command: str) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        importlib.import_module(f"losslandscape.cli.{command}").main(["--help"])
    return text.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    folders = [path for path in REPO.iterdir() if path.is_dir() and not path.name.startswith(".")]
    known = MADE_BY_USERS | {file.name for folder in folders for file in folder.rglob("*.py")}
    for name in FILE.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        assert name in known or (REPO / name).exists() or (page.parent / name).exists(), name


def test_options_that_the_pages_name_exist():
    named: dict[str, set[str]] = {}
    for command, options in commands():
        named.setdefault("train" if command == "main" else command, set()).update(options)
    helps = {command: help_of(command) for command in named if command in COMMANDS}
    assert len(helps) > 10
    for command, text in helps.items():
        unknown = {option for option in named[command] if option not in text}
        assert not unknown, f"{command}: {unknown}"
