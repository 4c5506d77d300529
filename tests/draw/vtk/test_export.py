"""VTP files: points, cells, values, and what is cut off and cut out."""

import os
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from losslandscape.core.errors import InputError
from losslandscape.draw.vtk.export import export_vtp, main_quantity
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from tests.draw.vtk.planes import X, Y, bowl, grid_points, read_vtp, write_plane

pytestmark = pytest.mark.usefixtures("inside")

CORNERS = [(i, j) for i in range(4) for j in range(6)]  # the first corner of each cell


def export(path="s.h5", name="train_loss", **options):
    """The mesh in the VTP file of a surface file."""
    [vtp] = export_vtp([h5_util.read_surface(path)], name, **options)
    return read_vtp(vtp)


def test_points_cells_and_values_of_a_grid_that_is_not_square():
    accuracy = np.arange(35.0).reshape(5, 7)
    write_plane(train_acc=accuracy, min_eig=-accuracy)
    mesh = export()
    assert np.array_equal(mesh.points, grid_points(X, Y, bowl()))
    assert mesh.scalars == "zvalue"
    truths = {"zvalue": bowl(), "train_loss": bowl(), "train_acc": accuracy, "min_eig": -accuracy}
    for name, truth in truths.items():
        assert np.array_equal(mesh.point_arrays[name], truth.ravel())
    firsts = [7 * i + j for i, j in CORNERS]
    assert mesh.cells.tolist() == [[first, first + 1, first + 8, first + 7] for first in firsts]
    assert list(mesh.cell_arrays) == ["averaged zvalue"]
    means = [bowl()[i : i + 2, j : j + 2].mean() for i, j in CORNERS]
    assert np.allclose(mesh.cell_arrays["averaged zvalue"], means, rtol=1e-14)


def test_normals_are_those_of_the_surface():
    write_plane(x=np.linspace(-1, 1, 81), y=np.linspace(-1, 1, 61))
    mesh = export()
    x, y, _ = mesh.points.T
    truth = np.stack([-(16 * x + y), -(6 * y + x), np.ones(len(x))], axis=1)
    cosines = (mesh.normals * truth).sum(axis=1) / np.linalg.norm(truth, axis=1)
    assert cosines.min() > 0.99
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)


def test_the_file_is_compressed_binary_of_a_version_that_paraview_5_11_reads():
    write_plane()
    export()
    root = ElementTree.parse("s.h5_train_loss.vtp").getroot()
    assert root.tag == "VTKFile"
    assert float(root.get("version")) <= 1.0
    assert root.get("compressor") == "vtkZLibDataCompressor"
    assert root.get("header_type") in ("UInt32", "UInt64")
    assert {array.get("format") for array in root.iter("DataArray")} == {"appended"}


def test_the_commands_that_made_it_are_in_the_file():
    surface = h5_util.read_surface(write_plane())
    surface.runs = [{"command": "python plot_surface.py --x=-1:1:7"}]
    h5_util.write_surface(surface)
    mesh = export(command="python h52vtp.py -f s.h5")
    assert mesh.made_by == ["python plot_surface.py --x=-1:1:7", "python h52vtp.py -f s.h5"]


@pytest.mark.parametrize(
    ("options", "file", "truth"),
    [
        ({"zmax": 3.0}, "s.h5_train_loss_zmax=3.0.vtp", np.minimum(bowl(), 3)),
        ({}, "s.h5_train_loss.vtp", bowl()),
        ({"log": True}, "s.h5_train_loss_log.vtp", np.log(bowl() + 0.1)),
        (
            {"log": True, "zmax": 2.5},
            "s.h5_train_loss_zmax=2.5_log.vtp",
            np.log(np.minimum(bowl(), 2.5) + 0.1),
        ),
    ],
)
def test_zmax_and_log(options, file, truth):
    write_plane()
    mesh = export(**options)
    assert sorted(os.listdir()) == ["s.h5", file]
    assert np.allclose(mesh.points, grid_points(X, Y, truth), rtol=1e-14)
    assert np.allclose(mesh.point_arrays["zvalue"], truth.ravel(), rtol=1e-14)
    assert np.array_equal(mesh.point_arrays["train_loss"], bowl().ravel())


def test_another_quantity_lies_beside_its_surface():
    os.mkdir("results")
    write_plane("results/s.h5", train_acc=100 - bowl())
    mesh = export("results/s.h5", "train_acc")
    assert os.path.exists("results/s.h5_train_acc.vtp")
    assert np.array_equal(mesh.points[:, 2], (100 - bowl()).ravel())


def test_points_without_value_are_cut_out(capsys):
    values, measured = bowl(), np.ones((5, 7), bool)
    values[1, 2], values[4, 6], values[2, 5], measured[0, 0] = np.nan, np.inf, -np.inf, False
    values[0, 0] = -1
    write_plane(values=values, measured=measured)
    mesh = export()
    known = np.isfinite(values) & measured
    assert np.array_equal(mesh.points, grid_points(X, Y, values)[known.ravel()])
    whole = [(i, j) for i, j in CORNERS if known[i : i + 2, j : j + 2].all()]
    assert cells_as_places(mesh) == {
        frozenset((round(X[j + b], 9), round(Y[i + a], 9)) for a in (0, 1) for b in (0, 1)) for i, j in whole
    }
    assert 0 < len(whole) < 24
    said = "1 of 35 points (3 %) not computed yet; 3 points NaN or infinite: cut out"
    assert said in capsys.readouterr().out


def cells_as_places(mesh):
    """The corners of each cell, as a set of sets of (x, y)."""
    corners = np.round(mesh.points[mesh.cells][..., :2], 9)
    return {frozenset(map(tuple, cell)) for cell in corners.tolist()}


def test_what_is_too_large_is_reported_and_its_logarithm_shown(capsys):
    write_plane(values=1e198 * (1 + bowl()))
    with pytest.raises(InputError, match=r"1e\+100 or beyond is too large; log=True"):
        export()
    mesh = export(log=True)
    assert np.allclose(mesh.point_arrays["zvalue"], np.log(1e198 * (1 + bowl())).ravel())
    assert "too large" not in capsys.readouterr().out
    cliff = bowl()
    cliff[0, 0] = 1e150
    write_plane(values=cliff)
    export()
    assert "1 point too large to draw, 1e+100 or beyond: cut out" in capsys.readouterr().out


def test_holes_of_another_quantity_stay_nan_in_its_array():
    accuracy = np.arange(35.0).reshape(5, 7)
    accuracy[2, 3] = np.nan
    write_plane(train_acc=accuracy)
    assert np.array_equal(export().point_arrays["train_acc"], accuracy.ravel(), equal_nan=True)


def test_a_coarse_grid_shows_before_the_fine_one():
    measured = np.zeros((5, 7), bool)
    measured[::2, ::3] = True
    write_plane(values=np.where(measured, bowl(), -1), measured=measured)
    mesh = export()
    assert np.array_equal(mesh.points, grid_points(X[::3], Y[::2], bowl()[::2, ::3]))
    assert len(mesh.cells) == 4


def test_a_row_of_nan_is_not_bridged():
    values = bowl()
    values[2] = np.nan
    write_plane(values=values)
    assert len(export().cells) == 2 * 6


def test_values_without_logarithm_are_cut_out_and_reported(capsys):
    values = bowl() - 2
    values[0, 0], values[0, 1] = -0.1, -0.0999
    write_plane(values=values)
    mesh = export(log=True)
    known = values > -0.1
    assert np.array_equal(mesh.points[:, 2], np.log(values[known] + 0.1))
    count = np.count_nonzero(~known)
    assert f"{count} values of -0.1 or less, without logarithm: cut out" in capsys.readouterr().out


@pytest.mark.parametrize(
    "values", [2.3, 0.0, -5.0, 1e30, np.geomspace(1e-3, 1e30, 7), np.linspace(-1e30, 1e30, 7)]
)
def test_odd_values_come_through(values):
    values = np.broadcast_to(values, (5, 7))
    write_plane(values=values)
    mesh = export()
    assert np.array_equal(mesh.points[:, 2], values.ravel())
    assert np.isfinite(mesh.normals).all()
    assert np.allclose(export(interp=13).points[:, 2].max(), values.max(), rtol=1e-9)


def test_descending_and_repeated_coordinates():
    x = np.array([1.0, 0.5, 0.5, -1.0])
    write_plane(x=x, values=bowl(x))
    mesh = export()
    ascending = np.array([-1, 0.5, 1])
    assert np.array_equal(mesh.points, grid_points(ascending, Y, bowl(ascending)))
    assert (mesh.normals[:, 2] > 0).all()


@pytest.mark.slow
def test_a_million_points_take_seconds():
    write_plane(x=np.linspace(-1, 1, 51), y=np.linspace(-1, 1, 51))
    start = time.process_time()
    mesh = export(interp=1000)
    assert time.process_time() - start < 10
    assert mesh.points.shape == (1_000_000, 3)
    assert len(mesh.cells) == 999**2


def test_no_file_is_written_if_one_surface_cannot_be_shown():
    files = [write_plane("plane.h5"), write_plane("row.h5", y=np.zeros(1))]
    with pytest.raises(InputError, match="row.h5"):
        export_vtp([h5_util.read_surface(file) for file in files])
    assert not list(Path().glob("*.vtp"))


def test_the_first_quantity_of_a_file_without_a_loss():
    quantities = {"train_top5": np.where(X > 0, 100, np.zeros((5, 7))), "train_energy": np.full((5, 7), -7.0)}
    surface = Surface("s.h5", x=X, y=Y, quantities=quantities)
    assert main_quantity([surface]) == "train_energy"
