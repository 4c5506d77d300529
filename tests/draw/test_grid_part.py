"""Which rows and columns are drawn in space."""

import numpy as np

from losslandscape.draw.grid_part import ascending, complete_part, measured_part
from losslandscape.files.surface import Surface


def plane(measured: np.ndarray) -> Surface:
    ny, nx = measured.shape
    values = np.where(measured, 1.0, -1.0)
    return Surface("", x=np.arange(nx), y=np.arange(ny), quantities={"train_loss": values})


def indices(part):
    return [list(axis) for axis in part]


def test_ascending_coordinates_each_once():
    coordinates = np.array([2.0, 1.0, 1.0, np.nan, 0.0])
    wanted = np.array([True, True, True, True, False])
    assert list(ascending(coordinates, wanted)) == [1, 0]


def test_rows_and_columns_without_a_measured_point_are_left_out():
    measured = np.zeros((5, 7), bool)
    measured[::2, ::3] = True
    assert indices(measured_part(plane(measured), "train_loss")) == [[0, 2, 4], [0, 3, 6]]


def test_a_gap_leaves_the_finest_complete_lattice():
    measured = np.zeros((17, 16), bool)
    measured[::4, [0, 4, 8, 12, 15]] = True
    measured[2, 2] = True
    rows, columns = complete_part(plane(measured), "train_loss")
    assert list(rows) == [0, 4, 8, 12, 16] and list(columns) == [0, 4, 8, 12, 15]


def test_without_a_complete_lattice_the_gaps_stay():
    measured = np.ones((5, 5), bool)
    measured[0, 0] = False
    assert indices(complete_part(plane(measured), "train_loss")) == [[0, 1, 2, 3, 4]] * 2
