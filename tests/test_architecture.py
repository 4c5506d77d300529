"""A module imports from its own folder and from floors below it. Files and ranks have one owner each."""

import ast
from graphlib import TopologicalSorter

import pytest

from tests.helpers import REPO

FLOORS = "core files parallel data nets evaluate measure curvature trajectory draw cli".split()
OWNERS = {"h5py": "files/h5_util.py", "mpi4py": "parallel/mpi4pytorch.py"}


def imports() -> dict[str, list[str]]:
    """Of each file of the package: the dotted names that it imports."""
    found = {}
    for file in (REPO / "losslandscape").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [
            f"{node.module}.{alias.name}"
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        found[file.relative_to(REPO / "losslandscape").as_posix()] = names
    return found


@pytest.mark.parametrize(("file", "names"), imports().items())
def test_imports_run_down(file, names):
    floor = file.split("/")[0]
    for folder in (name.split(".")[1] for name in names if name.startswith("losslandscape.")):
        if floor in FLOORS and folder in FLOORS:
            assert FLOORS.index(folder) <= FLOORS.index(floor), f"{file} looks up to {folder}"


def test_no_imports_run_in_a_circle():
    """`static_order` raises CycleError, which names a circle."""
    modules = {}
    for file, names in imports().items():
        modules[f"losslandscape.{file.removesuffix('.py').replace('/', '.')}"] = names
    graph = {
        module: {part for name in names for part in (name, name.rpartition(".")[0])}
        & modules.keys() - {module}
        for module, names in modules.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(modules)


@pytest.mark.parametrize(("package", "owner"), OWNERS.items())
def test_one_module_owns(package, owner):
    assert [
        file for file, names in imports().items() if any(name.split(".")[0] == package for name in names)
    ] == [owner]
