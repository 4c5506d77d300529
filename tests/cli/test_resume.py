"""Surfaces written before the modules became a package are resumed: only what was missing is measured, and no
old number changes.

The files were written by the flat program (version before 1.0), with directions of `--params
'^(conv1|linear)'`. Then some points were marked as not measured, and the zeros of the direction files were
compressed.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from losslandscape.cli import plot_surface
from losslandscape.files import h5_util
from tests.helpers import SMALL_BATCH, folder_with

FILES = Path(__file__).parent.parent / "files"
MEASURED_BEFORE = {  # by file: what the flat program measured at the points that are marked as not measured
    "before_package_1d.h5": {
        "train_loss": {1: 0.0048089, 3: 0.01389836},
        "train_acc": {1: 100, 3: 100},
    },
    "before_package_2d.h5": {
        "train_loss": {0: 0.18629049, 4: 0.00241205, 7: 0.04626511},
        "train_acc": {0: 100 * 41 / 44, 4: 100, 7: 100},
        "test_loss": {0: 0.6153398, 4: 0.08417499, 7: 0.21531016},
        "test_acc": {0: 100 * 284 / 360, 4: 100 * 353 / 360, 7: 100 * 335 / 360},
    },
}


@pytest.mark.parametrize("name", MEASURED_BEFORE)
def test_a_surface_of_the_flat_program_is_resumed(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder_with(tmp_path, SMALL_BATCH))
    shutil.copy(FILES / name, tmp_path)
    before = h5_util.read_surface(name)
    shutil.copy(FILES / name.replace(".h5", "_directions.h5"), before.dir_file)
    (record,) = before.runs
    missing = before.missing(before.names)

    _, _, *arguments = record["command"].replace("'", "").split()
    plot_surface.main(arguments)
    assert f"{len(missing)} of {before.size} points to measure" in capsys.readouterr().out
    after = h5_util.read_surface(name)
    assert after.names == before.names
    for quantity, values in MEASURED_BEFORE[name].items():
        old, new = before.get(quantity).ravel(), after.get(quantity).ravel()
        assert sorted(values) == missing.tolist()
        np.testing.assert_array_equal(np.delete(new, missing), np.delete(old, missing))
        np.testing.assert_allclose(new[missing], [values[point] for point in missing], rtol=1e-4)
    assert after.made_with == before.made_with
    assert after.runs[:-1] == before.runs and len(after.runs) == 2
