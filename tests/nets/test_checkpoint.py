"""The state, epoch and accuracy are found in checkpoints of every kind that people have."""

import argparse
from collections import OrderedDict

import numpy as np
import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.nets import model_loader
from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.nets.state_loading import load_state
from tests.nets.small_nets import (
    loads,
    needs_safetensors,
    one_sentence,
    refused,
    same,
    same_state,
    save_file,
    small_net,
)


@pytest.mark.parametrize("zip_format", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_reads_every_layout(resnet, tmp_path, zip_format, prefix, wrapped):
    state = OrderedDict((prefix + name, value) for name, value in resnet.state_dict().items())
    file = tmp_path / "model_3.t7"
    saved = {"acc": 91.25, "epoch": 3, "state_dict": state} if wrapped else state
    torch.save(saved, file, _use_new_zipfile_serialization=zip_format)
    checkpoint = read_checkpoint(file)
    assert same_state(checkpoint.state, resnet)
    assert (checkpoint.epoch, checkpoint.acc) == ((3, 91.25) if wrapped else (None, None))
    loaded = model_loader.load("resnet20", str(file))
    assert same_state(loaded.state_dict(), resnet) and not loaded.training


@pytest.mark.parametrize("zip_format", [True, False])
@pytest.mark.parametrize(
    "acc", [np.float64(62.5), np.float32(62.5), np.int64(62), torch.tensor(62.5), torch.tensor([62.5])]
)
def test_accuracy_of_any_numeric_kind(resnet, tmp_path, acc, zip_format):
    file = tmp_path / "m.t7"
    saved = {"acc": acc, "epoch": np.int64(4), "state_dict": resnet.state_dict()}
    torch.save(saved, file, _use_new_zipfile_serialization=zip_format)
    checkpoint = read_checkpoint(file)
    assert checkpoint.acc == float(acc) and type(checkpoint.acc) is float
    assert checkpoint.epoch == 4 and type(checkpoint.epoch) is int


def test_accuracy_pickled_by_an_old_numpy(resnet, tmp_path):
    """NumPy 1 wrote `numpy.core.multiarray.scalar`; the name is put into the file of today's."""
    file = tmp_path / "m.t7"
    torch.save(
        {"acc": np.float64(62.5), "state_dict": resnet.state_dict()},
        file,
        _use_new_zipfile_serialization=False,
    )
    file.write_bytes(file.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert b"cnumpy.core.multiarray\nscalar" in file.read_bytes()
    assert read_checkpoint(file).acc == 62.5


@pytest.mark.parametrize("acc", ["good", None, float("nan"), torch.ones(3)])
def test_an_accuracy_that_is_no_number_is_none(resnet, tmp_path, acc):
    file = tmp_path / "m.t7"
    torch.save({"acc": acc, "epoch": acc, "state_dict": resnet.state_dict()}, file)
    checkpoint = read_checkpoint(file)
    assert checkpoint.acc is None and checkpoint.epoch is None


@pytest.mark.parametrize(
    ("saved", "advice"),
    [
        *(
            (saved, "state dict")
            for saved in ({}, {"epoch": 3}, {"state_dict": {}}, {"state_dict": 3}, [1, 2], torch.ones(3))
        ),
        ({"weights": {"w": torch.ones(2)}}, "under 'weights'; give one of these as state_key="),
    ],
)
def test_no_tensors(tmp_path, saved, advice):
    file = tmp_path / "m.t7"
    torch.save(saved, file)
    with pytest.raises(InputError) as error:
        read_checkpoint(file)
    one_sentence(error, file, advice)


@pytest.mark.parametrize(
    "saved",
    [
        lambda state: {"state_dict": state},
        lambda state: {
            "model": state,
            "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
        },
        lambda state: {"model_state_dict": state, "loss": torch.tensor(0.3)},
        lambda state: {"net": state, "epoch": 2},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {
            "args": argparse.Namespace(lr=0.1, layers=[1, 2], schedule={"a": None}),
            "arch": "x",
            "state_dict": state,
        },
    ],
)
@pytest.mark.parametrize("zip_format", [True, False])
def test_usual_keys_are_found(saved, zip_format, tmp_path):
    net, file = small_net(), tmp_path / "m.pth"
    torch.save(saved(net.state_dict()), file, _use_new_zipfile_serialization=zip_format)
    assert loads(net, file)


def test_a_file_as_lightning_writes_it(tmp_path):
    """The layout of pytorch-lightning 2.5: epoch, step, loops, callbacks, optimizers, hyperparameters."""
    net, file = small_net(), tmp_path / "epoch=3-step=8.ckpt"
    progress = {"total": {"ready": 3, "completed": 3}, "current": {"ready": 3, "completed": 3}}
    torch.save(
        {
            "epoch": 3,
            "global_step": 8,
            "pytorch-lightning_version": "2.5.0",
            "state_dict": OrderedDict((f"net.{key}", value) for key, value in net.state_dict().items()),
            "loops": {
                "fit_loop": {
                    "state_dict": {},
                    "epoch_progress": progress,
                    "epoch_loop.state_dict": {"_batches_that_stepped": 8},
                }
            },
            "callbacks": {
                "ModelCheckpoint{'monitor': None, 'mode': 'min'}": {
                    "best_model_score": None,
                    "best_k_models": {"a.ckpt": torch.tensor(0.5)},
                    "dirpath": "x",
                }
            },
            "optimizer_states": [
                {
                    "state": {0: {"step": torch.tensor(8.0), "exp_avg": torch.ones(3)}},
                    "param_groups": [{"lr": 0.01, "betas": (0.9, 0.999), "params": [0]}],
                }
            ],
            "lr_schedulers": [],
            "hparams_name": "kwargs",
            "hyper_parameters": {"width": 3, "act": "gelu"},
        },
        file,
    )
    assert loads(net, file) and read_checkpoint(file).epoch == 3


def test_state_key_reads_what_lies_deeper_or_beside(tmp_path):
    net, file = small_net(), tmp_path / "m.pt"
    inner = {f"teacher.{name}": value for name, value in net.state_dict().items()}
    others = {f"student.{name}": value for name, value in small_net(2).state_dict().items()}
    torch.save(
        {"state_dict": {**others, **inner}, "averaged": {"ema.9": {"weights": net.state_dict()}}}, file
    )
    for state_key in ("averaged.ema.9.weights", "state_dict.teacher", "teacher"):
        assert loads(net, file, state_key=state_key), state_key
    assert not loads(net, file, state_key="student")
    for state_key in ("ema", "averaged.nothing", "state_dict.teacher.conv.weight.more", "epoch"):
        refused(small_net(1), file, state_key, "no tensors", "averaged.ema.9.weights", state_key=state_key)


def test_a_dict_within_itself_ends(tmp_path):
    """Nested keys are searched once each, however they refer to each other."""
    saved: dict = {"x": torch.ones(2)}
    saved.update({f"key{i}": saved for i in range(50)}, model=saved)
    torch.save(saved, tmp_path / "m.pt")
    refused(small_net(1), tmp_path / "m.pt", "'conv.weight' is missing")


def test_a_whole_net_on_request(tmp_path):
    net, file = small_net(), tmp_path / "m.pt"
    torch.save({"epoch": 1, "model": net}, file)
    refused(small_net(1), file, "unsafe_pickle=True")
    saved = read_checkpoint(file, unsafe_pickle=True)
    fresh = small_net(1)
    load_state(fresh, saved.state, what="m.pt")
    assert same(fresh, net)


@needs_safetensors
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("prefix", ["", "module.", "model._orig_mod."])
def test_safetensors(dtype, prefix, tmp_path):
    net, file = small_net().to(dtype).float(), tmp_path / "m.safetensors"
    state = {
        prefix + name: value.to(dtype) if value.is_floating_point() else value
        for name, value in net.state_dict().items()
    }
    save_file(state, file, metadata={"format": "pt"})
    assert loads(net, file)
