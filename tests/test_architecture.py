"""The modules import downwards only, as docs/architecture.md draws them, and files and ranks have one owner each."""
import ast

import pytest

from tests.helpers import REPO

GROUND = {"errors", "whole_file", "devices", "command_line", "own_code", "provenance", "claim", "h5_util", "mpi4pytorch", "model_loader", "checkpoint", "untrusted_pickle",
          "library_nets", "dataloader", "samples", "own_data", "cifar10", "options", "quantity", "report_text", "file_names"}
MIDDLE = {"losses", "evaluation", "trial", "bn_statistics", "fused_net", "loss_measure", "net_tensors", "net_plotter", "range_probe", "scheduler", "rank_watch", "shared_images", "study",
          "check_report", "surface_run", "checkpoint_series", "request", "figures", "contour_levels", "panels", "curves", "eigen_figures", "surface_metrics", "metrics_table", "watching",
          "tensorboard_log", "trajectory_figures", "projection", "trajectory", "trajectory_losses", "hess_vec_prod", "lanczos", "spectrum", "polydata", "rendering", "surface_views",
          "interactive", "interactive_curves", "interactive_film", "film", "page"}
PLOTS = {"plot_trajectory", "plot_1D", "plot_2D", "plot_html", "plot_film", "h52vtp"}
SCRIPTS = {"plot_surface", "plot_hessian_eigen", "hessian", "landscape", "cifar10.main", "file_report", "surface_report", "script.experiments"}

MAY_IMPORT = {
    "checkpoint": {"errors", "untrusted_pickle"},
    "cifar10.models": set(),
    "claim": {"errors"},
    "command_line": {"errors", "mpi4pytorch", "own_code"},
    "dataloader": {"errors"},
    "devices": {"errors", "mpi4pytorch"},
    "errors": set(),
    "file_names": set(),
    "h5_util": {"errors", "file_report", "provenance", "whole_file"},  # file_report for `python h5_util.py FILE` alone
    "library_nets": {"errors"},
    "model_loader": {"checkpoint", "cifar10", "errors", "library_nets", "own_code"},
    "mpi4pytorch": {"errors"},
    "options": {"cifar10", "command_line", "dataloader", "devices", "file_names", "lanczos", "losses", "net_plotter", "net_tensors", "own_code",
                "range_probe", "scheduler"},
    "own_code": {"errors", "provenance"},
    "own_data": {"dataloader", "errors", "own_code", "samples"},
    "provenance": {"errors"},
    "quantity": set(),
    "report_text": set(),
    "samples": {"errors"},
    "untrusted_pickle": set(),
    "whole_file": set(),
    "bn_statistics": {"errors", "samples"},
    "check_report": {"net_plotter", "net_tensors", "trial"},
    "checkpoint_series": {"errors", "file_names", "net_plotter"},
    "cifar10.training": {"dataloader", "errors", "evaluation", "losses"},
    "contour_levels": {"errors"},
    "curves": {"contour_levels", "errors", "figures", "quantity", "surface_metrics"},
    "eigen_figures": {"contour_levels", "curves", "errors", "figures", "h5_util", "metrics_table", "panels", "surface_metrics"},
    "evaluation": {"bn_statistics", "dataloader", "devices", "errors", "fused_net", "losses", "samples"},
    "figures": {"command_line", "contour_levels", "errors", "h5_util", "quantity", "tensorboard_log", "whole_file"},
    "film": {"contour_levels", "errors", "figures", "file_names", "h5_util", "panels", "provenance", "quantity", "trajectory_figures", "whole_file"},
    "fused_net": set(),
    "hess_vec_prod": {"errors", "evaluation", "lanczos", "losses", "samples"},
    "interactive": {"figures", "h5_util", "quantity", "surface_views"},
    "interactive_curves": {"contour_levels", "errors", "figures", "h5_util", "interactive", "quantity", "surface_views"},
    "interactive_film": {"interactive", "surface_views"},
    "lanczos": {"errors"},
    "loss_measure": {"bn_statistics", "check_report", "devices", "errors", "evaluation", "h5_util", "losses", "mpi4pytorch", "net_plotter", "scheduler", "study", "surface_run", "trial"},
    "losses": {"errors", "own_code", "samples"},
    "metrics_table": {"surface_metrics", "whole_file"},
    "net_plotter": {"errors", "h5_util", "net_tensors", "provenance"},
    "net_tensors": {"errors"},
    "page": {"whole_file"},
    "panels": {"contour_levels", "figures"},
    "polydata": {"errors", "h5_util", "quantity", "surface_views", "whole_file"},
    "projection": {"errors"},
    "range_probe": {"errors", "file_names", "h5_util", "provenance"},
    "rank_watch": {"mpi4pytorch"},
    "rendering": {"errors", "polydata", "whole_file"},
    "request": {"checkpoint_series", "cifar10", "devices", "errors", "evaluation", "file_names", "h5_util", "hess_vec_prod", "lanczos", "library_nets",
                "losses", "model_loader", "mpi4pytorch", "net_plotter", "own_code", "provenance", "range_probe", "scheduler", "shared_images", "study",
                "surface_run"},
    "scheduler": {"mpi4pytorch"},
    "shared_images": {"dataloader", "errors", "mpi4pytorch", "own_code", "own_data", "provenance", "samples"},
    "spectrum": {"errors", "hess_vec_prod", "lanczos"},
    "study": {"dataloader", "errors", "evaluation", "file_names", "h5_util", "losses", "net_plotter", "provenance", "range_probe"},
    "surface_metrics": {"quantity"},
    "surface_run": {"claim", "errors", "file_names", "h5_util", "mpi4pytorch", "net_plotter", "rank_watch", "scheduler", "study"},
    "surface_views": {"contour_levels", "errors", "figures", "h5_util", "quantity"},
    "tensorboard_log": {"contour_levels", "panels"},
    "trajectory": {"checkpoint", "errors", "model_loader", "net_plotter", "net_tensors", "provenance"},
    "trajectory_figures": {"contour_levels", "errors", "figures", "h5_util", "panels"},
    "trajectory_losses": {"h5_util", "net_plotter", "trajectory"},
    "trial": {"dataloader", "errors", "evaluation", "losses", "samples"},
    "watching": {"errors", "h5_util"},
    "h52vtp": {"command_line", "errors", "figures", "h5_util", "polydata", "quantity", "rendering"},
    "plot_1D": {"command_line", "curves", "eigen_figures", "errors", "figures", "h5_util", "metrics_table", "quantity", "watching"},
    "plot_2D": {"command_line", "contour_levels", "eigen_figures", "errors", "figures", "h5_util", "metrics_table", "panels", "quantity",
                "trajectory_figures", "watching"},
    "plot_film": {"command_line", "errors", "figures", "film", "interactive", "interactive_film", "page", "surface_views"},
    "plot_html": {"command_line", "errors", "figures", "h5_util", "interactive", "interactive_curves", "interactive_film", "page", "surface_views",
                  "watching"},
    "plot_trajectory": {"command_line", "dataloader", "devices", "errors", "evaluation", "figures", "film", "h5_util", "losses", "model_loader",
                        "mpi4pytorch", "net_plotter", "net_tensors", "options", "projection", "provenance", "request", "trajectory", "trajectory_figures",
                        "trajectory_losses", "trial"},
    "file_report": {"command_line", "errors", "h5_util", "report_text", "surface_report"},
    "hessian": {"command_line", "devices", "figures", "hess_vec_prod", "lanczos", "losses", "model_loader", "mpi4pytorch", "options",
                "shared_images", "spectrum", "trial", "whole_file"},
    "landscape": {"devices", "errors", "file_names", "h5_util", "loss_measure", "losses", "mpi4pytorch", "net_plotter", "net_tensors", "own_data", "provenance",
                  "study", "surface_run"},
    "plot_hessian_eigen": {"command_line", "devices", "eigen_figures", "errors", "evaluation", "h5_util", "hess_vec_prod", "mpi4pytorch", "net_plotter", "options", "request",
                           "scheduler", "surface_run", "trial"},
    "plot_surface": {"checkpoint_series", "command_line", "contour_levels", "errors", "evaluation", "file_names", "h5_util", "loss_measure", "metrics_table",
                     "model_loader", "mpi4pytorch", "options", "plot_1D", "plot_2D", "plot_film", "provenance", "request", "study", "surface_run",
                     "trajectory_figures"},
    "script.experiments": {"command_line", "errors", "h5_util", "mpi4pytorch", "options"},
    "surface_report": {"errors", "h5_util", "provenance", "report_text"},
    "cifar10.main": GROUND | MIDDLE,
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
