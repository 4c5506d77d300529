"""Two ranks that share a GPU measure the values of one rank, and say that they share it."""

import numpy as np
import pytest
import torch

from losslandscape.files import h5_util
from tests.helpers import DIGITS, SMALL_BATCH, folder_with, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]

AXES = ["--x=-0.5:0.5:5", "--y=-0.5:0.5:3", "--xnorm", "filter", "--xignore", "biasbn", "--ynorm", "filter"]
HESSIAN = ["--tolerance", "0.01", "--x=-0.2:0.2:3", "--xnorm", "filter", "--xignore", "biasbn"]


@pytest.mark.parametrize(
    ("script", "flags", "names", "tolerance"),
    [
        ("plot_surface.py", [*AXES, "--precision", "fp32"], ["train_loss", "train_acc"], 1e-5),
        ("plot_hessian_eigen.py", HESSIAN, ["min_eig", "max_eig"], 2e-2),
    ],
)
def test_two_ranks_on_a_gpu_measure_the_values_of_one(tmp_path, monkeypatch, script, flags, names, tolerance):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    folder_with(tmp_path, SMALL_BATCH)
    file = SMALL_BATCH.relative_to(SMALL_BATCH.parent.parent)
    for ranks in (1, 2):
        surf = ["--surf_file", f"{ranks}.h5", "--cuda", "--mpi"]
        done = run(script, *DIGITS, "--model_file", file, *flags, *surf, ranks=ranks, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("2 ranks share 1 GPU" in done.stdout) == (ranks == 2)
    one, two = (h5_util.read_surface(str(tmp_path / f"{ranks}.h5")) for ranks in (1, 2))
    for name in names:
        assert two.measured(name).all()
        np.testing.assert_allclose(two.get(name), one.get(name), rtol=tolerance)
