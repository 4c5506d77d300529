"""VTP files, read back with VTK's own reader: points, cells, values, and what is cut out."""

import os
import subprocess
import time
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from losslandscape.cli import h52vtp
from losslandscape.files import h5_util
from tests.helpers import command, write_surface_file

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from vtkmodules.util.numpy_support import vtk_to_numpy  # noqa: E402
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader  # noqa: E402

X, Y = np.linspace(-1, 1, 7), np.linspace(-0.5, 1, 5)


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def bowl(x=X, y=Y):
    return 0.2 + 8 * x[None] ** 2 + 3 * y[:, None] ** 2 + x[None] * y[:, None]


def surface(path="s.h5", x=X, y=Y, *, values=None, measured=None, **others):
    loss = bowl(x, y) if values is None else values
    write_surface_file(path, x=x, y=y, quantities={"train_loss": loss, **others}, measured=measured)
    return path


def convert(*flags, path="s.h5", made="s.h5_train_loss.vtp"):
    h52vtp.main(["-f", path, *flags])
    return read(made)


class Read:
    """A VTP file as arrays: points (n, 3), cells (m, 4), and the arrays of points and cells by name."""

    def __init__(self, data):
        self.points = vtk_to_numpy(data.GetPoints().GetData())
        polys = data.GetPolys()
        assert data.GetNumberOfCells() == data.GetNumberOfPolys()
        assert np.array_equal(
            vtk_to_numpy(polys.GetOffsetsArray()), np.arange(0, 4 * polys.GetNumberOfCells() + 1, 4)
        )
        self.cells = vtk_to_numpy(polys.GetConnectivityArray()).reshape(-1, 4)
        self.of_points, self.of_cells = (
            {part.GetArrayName(i): vtk_to_numpy(part.GetArray(i)) for i in range(part.GetNumberOfArrays())}
            for part in (data.GetPointData(), data.GetCellData())
        )
        self.scalars, self.normals = (
            data.GetPointData().GetScalars().GetName(),
            vtk_to_numpy(data.GetPointData().GetNormals()),
        )
        texts = data.GetFieldData().GetAbstractArray("made_by")
        self.made_by = [texts.GetValue(i) for i in range(texts.GetNumberOfValues())] if texts else []


def read(path):
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(path)
    reader.Update()
    assert not reader.GetErrorCode()
    return Read(reader.GetOutput())


def grid_points(x, y, height):
    return np.array([(x[j], y[i], height[i, j]) for i in range(len(y)) for j in range(len(x))])


def whole_cells(points):
    """The corners of each cell, as a set of frozen sets of (x, y)."""
    return {frozenset(map(tuple, corners)) for corners in np.round(points, 9)}


def test_points_cells_and_values_of_a_grid_that_is_not_square():
    accuracy = np.arange(35.0).reshape(5, 7)
    surface(train_acc=accuracy, min_eig=-accuracy)
    made = convert()
    assert np.array_equal(made.points, grid_points(X, Y, bowl()))
    assert made.scalars == "zvalue"
    for name, truth in {
        "zvalue": bowl(),
        "train_loss": bowl(),
        "train_acc": accuracy,
        "min_eig": -accuracy,
    }.items():
        assert np.array_equal(made.of_points[name], truth.ravel())
    corners = [[7 * i + j, 7 * i + j + 1, 7 * i + j + 8, 7 * i + j + 7] for i in range(4) for j in range(6)]
    assert made.cells.tolist() == corners
    assert list(made.of_cells) == ["averaged zvalue"]
    means = [
        (bowl()[i, j] + bowl()[i, j + 1] + bowl()[i + 1, j] + bowl()[i + 1, j + 1]) / 4
        for i in range(4)
        for j in range(6)
    ]
    assert np.allclose(made.of_cells["averaged zvalue"], means, rtol=1e-14)


def test_normals_are_those_of_the_surface():
    x, y = np.linspace(-1, 1, 81), np.linspace(-1, 1, 61)
    surface(x=x, y=y)
    made = convert()
    slopes = np.stack(
        [
            -(16 * made.points[:, 0] + made.points[:, 1]),
            -(6 * made.points[:, 1] + made.points[:, 0]),
            np.ones(len(made.points)),
        ],
        axis=1,
    )
    cosines = (made.normals * slopes).sum(axis=1) / np.linalg.norm(slopes, axis=1)
    assert cosines.min() > 0.99
    assert np.allclose(np.linalg.norm(made.normals, axis=1), 1, atol=1e-5)


def test_the_file_is_compressed_binary_of_a_version_that_paraview_5_11_reads():
    surface()
    h52vtp.main(["-f", "s.h5"])
    root = ElementTree.parse("s.h5_train_loss.vtp").getroot()
    assert root.tag == "VTKFile"
    assert float(root.get("version")) <= 1.0
    assert root.get("compressor") == "vtkZLibDataCompressor"
    assert root.get("header_type") in ("UInt32", "UInt64")
    assert {array.get("format") for array in root.iter("DataArray")} == {"appended"}


def test_it_tells_the_commands_that_made_it():
    data = h5_util.read_surface(surface())
    data.runs = [{"command": "python plot_surface.py --x=-1:1:7"}]
    h5_util.write_surface(data)
    assert convert("--log", made="s.h5_train_loss_log.vtp").made_by == [
        "python plot_surface.py --x=-1:1:7",
        "python h52vtp.py -f s.h5 --log",
    ]


@pytest.mark.parametrize(
    ("flags", "made", "truth"),
    [
        (["--zmax", "3"], "s.h5_train_loss_zmax=3.0.vtp", lambda z: np.minimum(z, 3)),
        (["--zmax", "0"], "s.h5_train_loss.vtp", lambda z: z),
        (["--zmax", "-1"], "s.h5_train_loss.vtp", lambda z: z),
        (["--log"], "s.h5_train_loss_log.vtp", lambda z: np.log(z + 0.1)),
        (
            ["--log", "--zmax", "2.5"],
            "s.h5_train_loss_zmax=2.5_log.vtp",
            lambda z: np.log(np.minimum(z, 2.5) + 0.1),
        ),
    ],
)
def test_zmax_and_log(flags, made, truth):
    surface()
    read_back = convert(*flags, made=made)
    assert sorted(os.listdir()) == ["s.h5", made]
    assert np.allclose(read_back.points, grid_points(X, Y, truth(bowl())), rtol=1e-14)
    assert np.allclose(read_back.of_points["zvalue"], truth(bowl()).ravel(), rtol=1e-14)
    assert np.array_equal(read_back.of_points["train_loss"], bowl().ravel())


def test_another_quantity_lies_beside_its_surface():
    os.mkdir("results")
    surface("results/s.h5", train_acc=100 - bowl())
    made = convert("--surf_name", "train_acc", path="results/s.h5", made="results/s.h5_train_acc.vtp")
    assert np.array_equal(made.points[:, 2], (100 - bowl()).ravel())


def holes(shape, share, seed=0):
    return np.random.default_rng(seed).random(shape) < share


def test_points_without_value_are_cut_out(capsys):
    values, measured = bowl(), np.ones((5, 7), bool)
    values[1, 2], values[4, 6], values[2, 5], measured[0, 0] = np.nan, np.inf, -np.inf, False
    values[0, 0] = -1
    surface(values=values, measured=measured)
    made = convert()
    known = np.isfinite(values) & measured
    assert np.array_equal(made.points, grid_points(X, Y, values)[known.ravel()])
    expected = whole_cells(
        [
            [(X[j], Y[i]), (X[j + 1], Y[i]), (X[j + 1], Y[i + 1]), (X[j], Y[i + 1])]
            for i in range(4)
            for j in range(6)
            if known[i : i + 2, j : j + 2].all()
        ]
    )
    assert whole_cells(made.points[made.cells][..., :2]) == expected
    assert 0 < len(expected) < 24
    assert (
        "1 of 35 points (3 %) not computed yet; 3 points NaN or infinite: cut out" in capsys.readouterr().out
    )


def test_what_is_too_large_is_said_and_its_logarithm_shown(capsys):
    surface(values=1e198 * (1 + bowl()))
    with pytest.raises(SystemExit):
        h52vtp.main(["-f", "s.h5"])
    assert "1e+100 or beyond is too large (--log shows it)" in capsys.readouterr().err
    made = convert("--log", made="s.h5_train_loss_log.vtp")
    assert np.allclose(made.of_points["zvalue"], np.log(1e198 * (1 + bowl())).ravel())
    assert "too large" not in capsys.readouterr().out
    cliff = bowl()
    cliff[0, 0] = 1e150
    surface(values=cliff)
    convert()
    assert "1 point too large to draw, 1e+100 or beyond: cut out" in capsys.readouterr().out


def test_holes_of_another_quantity_stay_nan_in_its_array():
    accuracy = np.arange(35.0).reshape(5, 7)
    accuracy[2, 3] = np.nan
    surface(train_acc=accuracy)
    assert np.array_equal(convert().of_points["train_acc"], accuracy.ravel(), equal_nan=True)


def test_a_coarse_grid_shows_before_the_fine_one():
    measured = np.zeros((5, 7), bool)
    measured[::2, ::3] = True
    surface(values=np.where(measured, bowl(), -1), measured=measured)
    made = convert()
    assert np.array_equal(made.points, grid_points(X[::3], Y[::2], bowl()[::2, ::3]))
    assert len(made.cells) == 4


def test_a_row_of_nan_is_not_bridged():
    values = bowl()
    values[2] = np.nan
    surface(values=values)
    assert len(convert().cells) == 2 * 6


def test_values_without_logarithm_are_cut_out_and_said(capsys):
    values = bowl() - 2
    values[0, 0], values[0, 1] = -0.1, -0.0999
    surface(values=values)
    made = convert("--log", made="s.h5_train_loss_log.vtp")
    known = values > -0.1
    assert np.array_equal(made.points[:, 2], np.log(values[known] + 0.1))
    assert (
        f"{np.count_nonzero(~known)} values of -0.1 or less, without logarithm: cut out"
        in capsys.readouterr().out
    )


def cubic(x, y):
    return 1 + 2 * x - y + x**3 - 2 * x**2 * y + 0.5 * y**3 + x**3 * y**2


def test_interpolation_is_cubic():
    surface(values=cubic(X[None], Y[:, None]), train_acc=50 + 10 * X[None] * Y[:, None])
    made = convert("--interp", "33")
    x, y = np.linspace(-1, 1, 33), np.linspace(-0.5, 1, 33)
    assert np.allclose(made.points, grid_points(x, y, cubic(x[None], y[:, None])), atol=1e-12)
    assert np.allclose(made.of_points["train_acc"], (50 + 10 * x[None] * y[:, None]).ravel(), atol=1e-12)
    assert len(made.cells) == 32 * 32


@pytest.mark.parametrize("shape", [(2, 2), (2, 5), (3, 4)])
def test_interpolation_of_few_points_is_of_a_lower_degree(shape):
    x, y = np.linspace(0, 1, shape[0]), np.linspace(0, 2, shape[1])
    surface(x=x, y=y, values=1 + x[None] - 3 * y[:, None] + x[None] * y[:, None])
    made = convert("--interp", "9")
    assert np.allclose(
        made.points[:, 2],
        1 + made.points[:, 0] - 3 * made.points[:, 1] + made.points[:, 0] * made.points[:, 1],
        atol=1e-12,
    )


def test_interpolation_goes_through_the_logarithms():
    """Between a valley and a cliff, a spline through the values themselves swings below zero."""
    values = np.where(np.arange(7) > 3, 1e5, 0.01) * np.ones((5, 1))
    surface(values=values)
    made = convert("--interp", "61", "--log", made="s.h5_train_loss_log.vtp")
    assert len(made.points) == 61 * 61
    assert np.abs(made.points[:61:10, 2] - np.log(values[0] + 0.1)).max() < 1e-9


def test_a_hole_stays_a_hole_when_interpolated():
    x, y = np.linspace(-1, 1, 25), np.linspace(-0.5, 1, 21)
    values = bowl(x, y)
    values[holes(values.shape, 0.1)] = np.nan
    surface(x=x, y=y, values=values)
    made = convert("--interp", "97")
    fine_x, fine_y = np.linspace(-1, 1, 97), np.linspace(-0.5, 1, 97)
    # Linear interpolation is NaN exactly where a corner of the cell is; a little inside, where rounding has no say.
    inner_x, inner_y = np.meshgrid(fine_x + 1e-6, fine_y + 1e-6)
    surely = RegularGridInterpolator((y, x), values, bounds_error=False)((inner_y, inner_x)).ravel()
    found = {(round(px, 6), round(py, 6)): z for px, py, z in made.points}
    expected = {
        (round(px - 1e-6, 6), round(py - 1e-6, 6))
        for px, py, z in zip(inner_x.flat, inner_y.flat, surely, strict=True)
        if np.isfinite(z)
    }
    assert 0.5 * 97 * 97 < len(expected) < 97 * 97
    assert expected <= set(found)
    hole_corners = {(round(x[j], 6), round(y[i], 6)) for i, j in np.argwhere(np.isnan(values))}
    assert not hole_corners & set(found)
    truth = np.array([0.2 + 8 * px**2 + 3 * py**2 + px * py for px, py in found])
    assert np.abs(np.array(list(found.values())) - truth).max() < 0.15


def test_a_cliff_above_zmax_does_not_ripple_far():
    values = bowl()
    values[2, 3] = 1e30
    surface(values=values)
    made = convert("--interp", "61", "--zmax", "5", made="s.h5_train_loss_zmax=5.0.vtp")
    assert made.points[:, 2].max() == 5
    assert made.points[:, 2].min() > -4


@pytest.mark.parametrize(
    "values", [2.3, 0.0, -5.0, 1e30, np.geomspace(1e-3, 1e30, 7), np.linspace(-1e30, 1e30, 7)]
)
def test_odd_values_come_through(values):
    values = np.broadcast_to(values, (5, 7))
    surface(values=values)
    made = convert()
    assert np.array_equal(made.points[:, 2], values.ravel())
    assert np.isfinite(made.normals).all()
    assert np.allclose(convert("--interp", "13").points[:, 2].max(), values.max(), rtol=1e-9)


def test_descending_and_repeated_coordinates():
    x = np.array([1.0, 0.5, 0.5, -1.0])
    surface(x=x, values=bowl(x))
    made = convert()
    assert np.array_equal(made.points, grid_points(np.array([-1, 0.5, 1]), Y, bowl(np.array([-1, 0.5, 1]))))
    assert (made.normals[:, 2] > 0).all()


def test_several_files():
    h52vtp.main(["-f", surface("a.h5"), surface("b.h5", values=2 * bowl()), "a.h5"])
    assert np.array_equal(
        2 * read("a.h5_train_loss.vtp").points[:, 2], read("b.h5_train_loss.vtp").points[:, 2]
    )
    assert len(os.listdir()) == 4


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["-f", "nowhere.h5"], "nowhere.h5"),
        (["-f", "line.h5"], "line.h5 is 1-D; use plot_1D.py"),
        (["-f", "row.h5"], "row.h5: train_loss leaves nothing to draw"),
        (["-f", "column.h5"], "column.h5: train_loss leaves nothing to draw"),
        (["-f", "point.h5"], "point.h5: train_loss leaves nothing to draw"),
        (["-f", "nan.h5"], "nan.h5: train_loss leaves nothing to draw"),
        (["-f", "empty.h5"], "empty.h5: train_loss leaves nothing to draw"),
        (["-f", "diagonal.h5", "--interp", "9"], "diagonal.h5: train_loss leaves nothing to draw"),
        (["-f", "negative.h5", "--log"], "negative.h5: train_loss leaves nothing to draw"),
        (["-f", "plane.h5", "row.h5"], "row.h5: train_loss leaves nothing to draw"),
        (["-f", "plane.h5", "--surf_name", "test_loss"], "'test_loss'; it has train_loss"),
        (["-f", "plane.h5", "--zmax", "0.1"], "zmax 0.1 is not above any value"),
        (["-f", "plane.h5", "--interp", "1"], "--interp 1 is out of range"),
        (["-f", "plane.h5", "--interp", "1000000"], "--interp 1000000 is out of range"),
        (["-f", "plane.h5", "--view", "top"], "give --png as well"),
        (["-f", "plane.h5", "--png", "--size", "800"], "'800' is not a size"),
        (["-f", "plane.h5", "--png", "--view", "below"], "'below'"),
        ([], "--surf_file"),
    ],
)
def test_one_sentence_and_status_2(flags, says, capsys):
    surface("plane.h5")
    surface("row.h5", y=np.zeros(1))
    surface("column.h5", x=np.zeros(1))
    surface("point.h5", x=np.zeros(1), y=np.zeros(1))
    surface("nan.h5", values=np.full((5, 7), np.nan))
    surface("negative.h5", values=-bowl())
    surface("empty.h5", values=np.full((5, 7), -1.0))
    surface("diagonal.h5", x=X[:5], values=np.where(np.eye(5), 1.0, np.nan))
    write_surface_file("line.h5", x=X, quantities={"train_loss": X})
    before = sorted(os.listdir())
    with pytest.raises(SystemExit) as stopped:
        h52vtp.main(flags)
    assert stopped.value.code == 2
    sentence = capsys.readouterr().err.strip().splitlines()
    assert len(sentence) == 1
    assert says in sentence[0]
    assert sorted(os.listdir()) == before


def test_from_the_command_line_nothing_but_the_paths_is_printed():
    surface()
    done = subprocess.run(
        [*command("h52vtp.py"), "-f", "s.h5", "--zmax", "10", "--log"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "saved s.h5_train_loss_zmax=10.0_log.vtp\n", "")


def test_a_file_name_that_cannot_be_written_is_named(capsys):
    os.rename(surface(), "x" * 240 + ".h5")
    with pytest.raises(SystemExit):
        h52vtp.main(["-f", "x" * 240 + ".h5"])
    assert "h5_train_loss.vtp" in capsys.readouterr().err
    assert len(os.listdir()) == 1


def test_a_million_points_take_seconds():
    surface(x=np.linspace(-1, 1, 51), y=np.linspace(-1, 1, 51))
    begun = time.process_time()
    made = convert("--interp", "1000")
    assert time.process_time() - begun < 10
    assert made.points.shape == (1_000_000, 3)
    assert len(made.cells) == 999**2
