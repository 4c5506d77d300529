"""The files of a training are found by epoch, and its log tells when the learning rate fell."""

import os
import shutil

import pytest
from torch.utils.tensorboard import SummaryWriter

from losslandscape.core.errors import InputError
from losslandscape.trajectory.training_folder import find_checkpoints, is_kept, learning_rate_drops

NAMES = {"prefix": "model_", "suffix": ".t7"}


def test_epochs_and_steps(run):
    for epoch in (10, 13):
        shutil.copy("run/model_6.t7", f"run/model_{epoch}.t7")
    last_is_origin = find_checkpoints("run", start=1, end=6, step=2, **NAMES)
    assert list(last_is_origin) == [1, 3, 5, 6]
    assert list(find_checkpoints("run", start=0, end=6, step=3, **NAMES)) == [0, 3, 6]


def test_epochs_that_begin_with_zeros(run):
    for epoch in range(7):
        os.rename(f"run/model_{epoch}.t7", f"run/model_{epoch:03d}.t7")
    os.mkdir("run/model_9.t7")
    assert list(find_checkpoints("run", start=0, end=6, step=1, **NAMES)) == list(range(7))
    with pytest.raises(InputError, match="epoch 7 is missing among the 7 that run has, 0 to 6"):
        find_checkpoints("run", start=0, end=9, step=1, **NAMES)


def test_the_advice_for_other_names_and_steps(run):
    with pytest.raises(InputError, match=r"epoch 3 is missing among .*run has.*pattern= 'model_\*\.t7'"):
        os.remove("run/model_3.t7")
        find_checkpoints("run", start=0, end=6, step=1, **NAMES)
    for epoch in (0, 1, 2, 4, 5, 6):
        os.rename(f"run/model_{epoch}.t7", f"run/epoch={epoch}-step={7 * epoch}.ckpt")
    with pytest.raises(InputError, match=r"no file model_<epoch>.t7; give pattern= 'epoch=\*-step=\*\.ckpt'"):
        find_checkpoints("run", start=0, end=6, step=1, **NAMES)
    os.mkdir("empty")
    with pytest.raises(InputError, match="no file model_<epoch>.t7; give other start_epoch="):
        find_checkpoints("empty", start=0, end=6, step=1, **NAMES)


def test_learning_rate_drops(tmp_path):
    folder = str(tmp_path)
    assert learning_rate_drops(folder) == []
    with SummaryWriter(folder) as curves:
        for epoch, rate in enumerate([0.1, 0.1, 0.01, 0.01, 0.1, 0.001], start=1):
            curves.add_scalar("lr", rate, epoch)
    assert learning_rate_drops(folder) == [3, 6]


@pytest.mark.parametrize(
    "epoch, expected",
    [(0, True), (1, True), (2, False), (149, False), (150, True), (160, False), (200, True), (203, True)],
)
def test_kept_epochs(epoch, expected):
    assert is_kept(epoch, 100, last=203) is expected
