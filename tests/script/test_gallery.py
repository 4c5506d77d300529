"""The gallery: its commands parse, and its pictures exist and are small."""

import importlib
import re
import shlex

import pytest

from script import gallery
from tests.helpers import REPO

PARSERS = ("argument_parser", "build_parser")
PICTURES = [picture for section in gallery.SECTIONS.values() for picture in section]


def test_the_page_is_that_of_the_script():
    assert (REPO / "docs" / "gallery.md").read_text() == gallery.page()


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_commands_parse(picture):
    program, *arguments = shlex.split(picture.command)[1:]
    assert (REPO / program).exists()
    name = program.removesuffix(".py").removeprefix("script/")
    module = importlib.import_module(f"losslandscape.cli.{name}")
    build = next(getattr(module, parser) for parser in PARSERS if hasattr(module, parser))
    parser = build("") if name == "hessian" else build()
    parser.parse_args(arguments)


def test_pictures_exist_and_are_small():
    text = (REPO / "docs" / "gallery.md").read_text()
    shown = re.findall(r"\]\((images/[^)]+)\)", text)
    assert len(shown) == len(PICTURES) + len(gallery.REAL)
    for name in shown:
        path = REPO / "docs" / name
        assert path.exists(), name
        if "gallery/" in name:
            assert path.stat().st_size <= gallery.MAX_BYTES[path.suffix], name
