"""The modules import downwards only, as docs/architecture.md draws them, and files and ranks have one owner each."""
import ast

import pytest

from tests.helpers import REPO

GROUND = {"errors", "command_line", "provenance", "claim", "h5_util", "mpi4pytorch", "model_loader", "dataloader", "cifar10", "options"}
MIDDLE = {"evaluation", "fused_net", "net_plotter", "scheduler", "rank_watch", "shared_images", "figures"}
PLOTS = {"plot_1D", "plot_2D"}
SCRIPTS = {"plot_surface", "cifar10.main", "file_report"}

MAY_IMPORT = {
    "errors": set(),
    "cifar10.models": set(),
    "provenance": {"errors"},
    "claim": {"errors"},
    "h5_util": {"errors", "provenance", "file_report"},  # the last for `python h5_util.py FILE` alone
    "file_report": {"command_line", "errors", "h5_util", "provenance"},
    "mpi4pytorch": {"errors"},
    "command_line": {"errors", "mpi4pytorch"},
    "model_loader": {"errors", "cifar10"},
    "dataloader": {"errors"},
    "options": {"cifar10", "dataloader", "evaluation", "net_plotter", "scheduler"},  # for the choices that each offers
    "scheduler": {"mpi4pytorch"},
    "rank_watch": {"mpi4pytorch"},
    "fused_net": set(),
    "shared_images": {"dataloader", "errors", "mpi4pytorch"},
    "evaluation": {"errors", "dataloader", "fused_net"},
    "net_plotter": {"errors", "h5_util", "provenance"},
    "figures": {"errors", "h5_util", "command_line"},
    "plot_1D": {"errors", "command_line", "figures", "h5_util"},
    "plot_2D": {"errors", "command_line", "figures", "h5_util"},
    "cifar10.training": {"dataloader", "evaluation", "errors"},
    "cifar10.main": GROUND | MIDDLE,
    "plot_surface": GROUND | MIDDLE | PLOTS,
}
OWNERS = {"h5py": "h5_util", "mpi4py": "mpi4pytorch"}
OURS = GROUND | MIDDLE | PLOTS | SCRIPTS


def modules() -> dict[str, set[str]]:
    """Every module of the program, with all that it imports (first part of the dotted name)."""
    files = [*REPO.glob("*.py"), *REPO.glob("cifar10/*.py"), *REPO.glob("cifar10/models/*.py")]
    found = {}
    for file in files:
        name = ".".join(file.relative_to(REPO).with_suffix("").parts)
        imported = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
        found[name] = imported
    return found


@pytest.mark.parametrize(("name", "imported"), modules().items())
def test_imports_point_downwards(name, imported):
    room = "cifar10.models" if name.startswith("cifar10.models") else name
    if room == "cifar10.__init__":
        assert not imported
        return
    assert room in MAY_IMPORT, f"{name} has no place in the layout yet"
    allowed = MAY_IMPORT[room] | ({"cifar10"} if room.startswith("cifar10.") else set())
    assert imported & OURS <= allowed


@pytest.mark.parametrize(("package", "owner"), OWNERS.items())
def test_one_module_owns(package, owner):
    assert [name for name, imported in modules().items() if package in imported] == [owner]
