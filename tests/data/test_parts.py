"""Training data is split and test data is not; options that are of no use are refused."""

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.data.parts import load_parts
from losslandscape.parallel.mpi4pytorch import Serial

DEFAULTS = {
    "datapath": "",
    "test_set": False,
    "npz_files": {"train": "", "test": ""},
    "labels_file": "",
    "data_split": 1,
    "split_idx": 0,
    "raw_data": False,
    "mean": None,
    "std": None,
    "threads": 1,
}


def load(dataset, **options):
    return load_parts(Serial(), dataset, **{**DEFAULTS, **options})


def test_only_the_training_data_is_split_and_has_other_labels(inside):
    np.save("labels.npy", np.full(1437, 7))
    sets = load("digits", test_set=True, data_split=4, labels_file="labels.npy")
    assert [len(sets["train"]), len(sets["test"])] == [1437 // 4, 360]
    assert sets["train"].labels.unique().tolist() == [7]
    assert len(sets["test"].labels.unique()) == 10
    assert list(load("digits")) == ["train"]


def test_the_user_s_data_takes_no_options_of_images(inside):
    content = "x = torch.arange(12.0).view(12, 1)\ndef data(): return (x, x), (x[:5], x[:5])\n"
    (inside / "mine.py").write_text(f"import torch\n{content}")
    sets = load("mine.py:data", test_set=True, data_split=3)
    assert [len(sets["train"]), len(sets["test"])] == [4, 5]
    for name, value in {"raw_data": True, "std": (1.0,), "labels_file": "labels.npy"}.items():
        with pytest.raises(
            InputError, match="only to image datasets, and dataset mine.py:data is a function of yours"
        ):
            load("mine.py:data", **{name: value})
