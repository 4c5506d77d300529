"""The numbers of the published program: names, directions, losses and accuracies of every golden case."""

import shlex

import numpy as np
import pytest

from losslandscape.files import h5_util
from tests.helpers import CASES, GOLDEN, folder_with, succeed


def assert_fingerprints(directions, golden: dict) -> None:
    """Size, sum, norm and first entry of each tensor, to 1e-6 of the tensor's norm."""
    assert len(directions) == len(golden)
    for direction, expected in zip(directions, golden.values(), strict=True):
        for tensor, (size, total, norm, first) in zip(direction, expected, strict=True):
            values = np.asarray(tensor, np.float64).ravel()
            assert values.size == size
            numbers = [values.sum(), np.linalg.norm(values), values[0]]
            assert numbers == pytest.approx([total, norm, first], rel=1e-6, abs=1e-6 * norm)


def assert_values(loss, accuracy, case: dict) -> None:
    expected = np.array(case["train_loss"], float)
    np.testing.assert_array_equal(np.isnan(loss), np.isnan(expected))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(accuracy, case["train_acc"], atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_golden_case(name, tmp_path, monkeypatch):
    case = CASES[name]
    files = [case["model_file"], *(word for word in shlex.split(case["flags"]) if word.endswith(".t7"))]
    folder = folder_with(tmp_path, *(GOLDEN / file for file in files))
    data = ["--dataset", "digits", "--data_split", 4]
    net = ["--model", case["model"], "--model_file", case["model_file"]]
    printed = succeed("plot_surface.py", *data, *net, *shlex.split(case["flags"]), cwd=folder)
    dir_file, surf_file = (
        next(line.split(maxsplit=1)[1] for line in printed.splitlines() if line.startswith(word))
        for word in ("directions:", "surface:")
    )
    if "direction_file" in case:
        assert dir_file == case["direction_file"]
        split = "_datasplit=4_splitidx=0"  # the golden surfaces were named without it
        assert surf_file.replace(split, "") == case["surface_file"]
    surface = h5_util.read_surface(str(folder / surf_file))
    assert_values(surface.get("train_loss"), surface.get("train_acc"), case)
    assert_fingerprints(h5_util.read_directions(str(folder / dir_file)), case["directions"])
