"""The modules import downwards only, as docs/architecture.md draws them, and files and ranks have one owner each."""
import ast

import pytest

from tests.helpers import REPO

GROUND = {"errors", "whole_file", "devices", "command_line", "provenance", "claim", "h5_util", "mpi4pytorch", "model_loader", "dataloader", "cifar10", "options"}
MIDDLE = {"evaluation", "fused_net", "net_plotter", "range_probe", "scheduler", "rank_watch", "shared_images", "study", "check_report", "figures", "contour_levels", "panels",
          "surface_metrics", "watching", "tensorboard_log", "trajectory_figures", "projection", "trajectory", "hess_vec_prod", "spectrum", "polydata", "rendering", "surface_views", "interactive"}
PLOTS = {"plot_trajectory", "plot_1D", "plot_2D", "plot_html", "h52vtp"}
SCRIPTS = {"plot_surface", "hessian", "cifar10.main", "file_report", "script.experiments"}

MAY_IMPORT = {
    "errors": set(),
    "whole_file": set(),
    "cifar10.models": set(),
    "provenance": {"errors"},
    "claim": {"errors"},
    "h5_util": {"errors", "provenance", "whole_file", "file_report"},  # the last for `python h5_util.py FILE` alone
    "file_report": {"command_line", "errors", "h5_util", "provenance"},
    "mpi4pytorch": {"errors"},
    "command_line": {"errors", "mpi4pytorch"},
    "model_loader": {"errors", "cifar10"},
    "dataloader": {"errors"},
    "options": {"cifar10", "command_line", "dataloader", "evaluation", "net_plotter", "range_probe", "scheduler"},  # for the choices that each offers
    "scheduler": {"mpi4pytorch"},
    "rank_watch": {"mpi4pytorch"},
    "fused_net": set(),
    "devices": {"errors", "mpi4pytorch"},
    "study": {"dataloader", "h5_util", "net_plotter", "provenance", "range_probe"},
    "check_report": {"dataloader", "evaluation", "net_plotter"},
    "shared_images": {"dataloader", "errors", "mpi4pytorch"},
    "evaluation": {"errors", "dataloader", "fused_net"},
    "net_plotter": {"errors", "h5_util", "provenance"},
    "range_probe": {"errors", "h5_util", "net_plotter", "provenance"},
    "figures": {"errors", "command_line", "contour_levels", "whole_file", "tensorboard_log"},
    "contour_levels": {"errors"},
    "panels": {"errors", "contour_levels", "figures"},
    "surface_metrics": {"whole_file"},
    "watching": {"errors", "h5_util"},
    "tensorboard_log": {"contour_levels", "panels"},
    "polydata": {"errors", "h5_util", "surface_views", "whole_file"},
    "rendering": {"errors", "polydata", "whole_file"},
    "surface_views": {"errors", "contour_levels", "figures", "h5_util"},
    "interactive": {"errors", "contour_levels", "figures", "h5_util", "surface_views"},
    "plot_1D": {"errors", "command_line", "figures", "h5_util", "surface_metrics", "watching"},
    "plot_2D": {"errors", "command_line", "contour_levels", "figures", "h5_util", "panels", "surface_metrics", "trajectory_figures", "watching"},
    "hess_vec_prod": {"dataloader", "errors", "evaluation"},
    "spectrum": {"errors", "hess_vec_prod"},
    "hessian": {"command_line", "dataloader", "errors", "evaluation", "figures", "hess_vec_prod", "model_loader", "options", "spectrum", "whole_file"},
    "projection": {"errors"},
    "trajectory": {"errors", "model_loader", "net_plotter", "provenance"},
    "trajectory_figures": {"errors", "contour_levels", "figures", "h5_util", "panels", "whole_file"},
    "plot_trajectory": {"cifar10", "command_line", "dataloader", "figures", "h5_util", "model_loader", "net_plotter", "options", "projection", "provenance",
                        "trajectory", "trajectory_figures"},
    "plot_html": {"errors", "command_line", "figures", "h5_util", "interactive", "surface_views", "watching", "whole_file"},
    "h52vtp": {"errors", "command_line", "figures", "h5_util", "polydata", "rendering"},
    "cifar10.training": {"dataloader", "evaluation", "errors"},
    "script.experiments": {"command_line", "errors", "h5_util", "mpi4pytorch", "options"},
    "cifar10.main": GROUND | MIDDLE,
    "plot_surface": GROUND | MIDDLE | PLOTS,
}
OWNERS = {"h5py": "h5_util", "mpi4py": "mpi4pytorch"}
OURS = GROUND | MIDDLE | PLOTS | SCRIPTS


def modules() -> dict[str, set[str]]:
    """Every module of the program, with all that it imports (first part of the dotted name)."""
    files = [*REPO.glob("*.py"), *REPO.glob("cifar10/*.py"), *REPO.glob("cifar10/models/*.py"), *REPO.glob("script/*.py")]
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
