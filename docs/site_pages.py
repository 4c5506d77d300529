"""Generated pages of the docs site: files of the root, and the docstrings of each folder of the package."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
ROOT_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
FLOORS = "cli draw trajectory curvature measure evaluate nets data parallel files core".split()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The menu lists the folders of the package, the highest first."""
    developers = config.nav[-1]["For developers"]
    developers.append({"Modules": [{floor: f"modules/{floor}.md"} for floor in FLOORS]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=as_page((ROOT / source).read_text())))
    for floor in FLOORS:
        files.append(File.generated(config, f"modules/{floor}.md", content=module_page(floor)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to files of the repository that are no pages become plain names."""
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"`\1`", markdown)


def as_page(text: str) -> str:
    """A file of the root as a page: its links to docs/ lead to neighbours."""
    text = text.replace("](docs/", "](").replace("[docs/", "[")
    for source, page in ROOT_PAGES.items():
        text = text.replace(f"]({source})", f"]({page})")
    return text


def module_page(floor: str) -> str:
    """All modules of a folder, with their docstrings."""
    folder = ROOT / "losslandscape" / floor
    files = sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")
    parts = [f"# losslandscape.{floor}"]
    for file in files:
        module = file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        parts.append(f"## {module.removeprefix('losslandscape.')}")
        parts.append(f"::: {module}\n    options: {{show_root_heading: false, show_root_toc_entry: false}}")
    return "\n\n".join(parts)
