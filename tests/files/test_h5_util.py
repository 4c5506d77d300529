"""Surface files keep what was put in, and what is measured; the published program's are read too."""

import os

import h5py
import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from tests.helpers import write_surface_file

X, Y = np.linspace(-1, 1, 4), np.linspace(0, 1, 3)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "surface.h5")


def open_new(path, names=("train_loss",), y=Y):
    return h5_util.open_surface(path, x=X, y=y, dir_file="d.h5", names=list(names))


def test_every_number_is_a_result_once_set(path):
    surface = open_new(path, ["train_loss", "min_eig"])
    results = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1.0, 1e300]
    for point, value in enumerate(results):
        surface.set(point, {"train_loss": value, "min_eig": value})
    h5_util.write_surface(surface)
    again = h5_util.read_surface(path)
    for name in again.names:
        np.testing.assert_array_equal(again.measured(name).ravel(), np.arange(12) < len(results))
        np.testing.assert_array_equal(again.get(name).ravel()[: len(results)], results)
    np.testing.assert_array_equal(again.missing(again.names), np.arange(len(results), 12))


def test_layout_on_disk(path):
    surface = open_new(path)
    surface.set(5, {"train_loss": 2.5})  # row 1, column 1
    h5_util.write_surface(surface)
    with h5py.File(path) as file:
        assert file["dir_file"][()] == b"d.h5"
        np.testing.assert_array_equal(file["xcoordinates"], X)
        np.testing.assert_array_equal(file["ycoordinates"], Y)
        expected = np.full((3, 4), -1.0)
        expected[1, 1] = 2.5
        np.testing.assert_array_equal(file["train_loss"], expected)
        np.testing.assert_array_equal(file["measured"], expected > 0)
        assert file["train_loss"].dtype == np.float64
    assert surface.point(5) == (X[1], Y[1])


def test_a_file_of_the_published_program_is_continued(path):
    values = np.arange(12.0).reshape(3, 4)
    values[2, 3] = -1
    with h5py.File(path, "w") as file:
        file["dir_file"], file["xcoordinates"], file["ycoordinates"] = "d.h5", X, Y
        file["train_loss"] = values.reshape(4, 3)  # as it allocates grids that are not square
    surface = open_new(path)
    assert surface.missing(["train_loss"]).tolist() == [11]  # the 0 at point 0 is a result
    np.testing.assert_array_equal(np.nan_to_num(surface.get("train_loss"), nan=-1), values)


def test_another_quantity_leaves_the_first_as_it_is(path):
    surface = open_new(path, y=None)
    for point in range(4):
        surface.set(point, {"train_loss": point - 1.0})
    h5_util.write_surface(surface)
    more = open_new(path, ["train_loss", "test_loss"], y=None)
    assert more.missing(["train_loss", "test_loss"]).tolist() == [0, 1, 2, 3]
    h5_util.write_surface(more)
    np.testing.assert_array_equal(h5_util.read_surface(path).get("train_loss")[1:], [0, 1, 2])


def test_datasets_of_others_are_kept(path):
    h5_util.write_surface(open_new(path))
    with h5py.File(path, "a") as file:
        file["note"] = "mine"
        file.create_group("more")["numbers"] = [1, 2]
    h5_util.write_surface(open_new(path))
    with h5py.File(path) as file:
        assert file["note"][()] == b"mine"
        assert file["more/numbers"][:].tolist() == [1, 2]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(path, monkeypatch):
    surface = open_new(path)
    h5_util.write_surface(surface)
    before = open(path, "rb").read()
    surface.set(0, {"train_loss": 1.0})
    monkeypatch.setattr(h5_util.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        h5_util.write_surface(surface)
    assert open(path, "rb").read() == before
    assert os.listdir(os.path.dirname(path)) == ["surface.h5"]


def test_a_surface_with_another_grid_or_directions_is_refused(path):
    h5_util.write_surface(open_new(path))
    with pytest.raises(InputError, match="its x is -1.0:1.0:4, not -1.0:1.0:5"):
        h5_util.open_surface(path, x=np.linspace(-1, 1, 5), y=Y, dir_file="d.h5", names=[])
    with pytest.raises(InputError, match="its y is 0.0:1.0:3, not none"):
        h5_util.open_surface(path, x=X, y=None, dir_file="d.h5", names=[])
    with pytest.raises(InputError, match="along the directions .d.h5., not .e.h5.; give another surf_file"):
        h5_util.open_surface(path, x=X, y=Y, dir_file="e.h5", names=[])


def test_a_quantity_that_is_not_there(path):
    with pytest.raises(InputError, match="has no quantity 'test_loss'; it has train_loss"):
        open_new(path).get("test_loss")


def test_files_that_are_something_else(path, tmp_path):
    h5_util.write_directions(path, [[np.zeros(3)]])
    with pytest.raises(InputError, match="not a surface file"):
        h5_util.read_surface(path)
    with pytest.raises(InputError, match="not a projection file"):
        h5_util.read_projection(path)
    surface = str(tmp_path / "other.h5")
    write_surface_file(surface, x=X, quantities={"train_loss": X})
    with pytest.raises(InputError, match="not a direction file"):
        h5_util.read_directions(surface)
    (tmp_path / "text.h5").write_text("no HDF5")
    for read in (h5_util.read_surface, h5_util.read_directions, h5_util.read_projection):
        with pytest.raises(InputError, match="not an HDF5 file"):
            read(str(tmp_path / "text.h5"))
        with pytest.raises(InputError, match="there is no"):
            read(str(tmp_path / "absent.h5"))


def test_directions_of_more_than_ten_tensors_keep_their_order(path):
    direction = [np.full(shape, i, np.float32) for i, shape in enumerate([(2, 3), (), (4,)] * 5)]
    h5_util.write_directions(path, [direction])
    (stored,) = h5_util.read_directions(path)
    assert all(np.array_equal(a, b) and a.shape == b.shape for a, b in zip(stored, direction, strict=True))


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    path = str(tmp_path / "s.h5")
    write_surface_file(path, x=np.arange(3.0), quantities={"train_loss": np.arange(3.0)})
    old = (tmp_path / "s.h5").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5_util.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device: .*s.h5"):
        write_surface_file(path, x=np.arange(3.0), quantities={"train_loss": np.ones(3)})
    assert (tmp_path / "s.h5").read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["s.h5"]


def test_a_path_that_is_no_text_is_kept(path):
    """Where the encoding of the system is not UTF-8, Python keeps the bytes of names as surrogates."""
    for name, stored in (("é/d.h5", "é/d.h5".encode()), ("\udcc3\udca9/d.h5", "é/d.h5".encode())):
        h5_util.write_surface(Surface(path, x=np.arange(2.0), y=None, dir_file=name))
        with h5py.File(path) as file:
            assert file["dir_file"][()] == stored
            assert h5py.check_string_dtype(file["dir_file"].dtype) == ("utf-8", None)
