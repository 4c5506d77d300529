"""Checkpoints under whatever names trainers give the tensors load into the net, or the sentence says what would help."""

import argparse
import struct
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn.parallel import DataParallel
from torch.optim.swa_utils import AveragedModel

from losslandscape.core.errors import InputError
from losslandscape.nets import checkpoint, model_loader

try:
    from safetensors.torch import save_file
except ImportError:
    save_file = None

needs_safetensors = pytest.mark.skipif(save_file is None, reason="the package safetensors is not installed")


def small_net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 2, 3), bn=nn.BatchNorm2d(2), head=nn.Linear(2, 2)))
    net.bn.running_mean += torch.rand(2)
    return net


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm, self.head = (
            nn.Embedding(5, 3),
            nn.LayerNorm(3),
            nn.Linear(3, 5, bias=False),
        )
        self.head.weight = self.embedding.weight


class Wrapper(nn.Module):
    def __init__(self, name: str, net: nn.Module, **others: nn.Module) -> None:
        super().__init__()
        for key, module in {name: net, **others}.items():
            self.add_module(key, module)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def loads(net: nn.Module, path, *, state_key: str = "") -> bool:
    """Whether the file gives a fresh net the numbers of `net`."""
    fresh = Tied() if isinstance(net, Tied) else small_net(1)
    assert not same(fresh, net)
    found = checkpoint.read_checkpoint(path, state_key=state_key)
    model_loader.load_state(fresh, found.state, what=str(path), candidates=found.candidates)
    return same(fresh, net)


def refused(net: nn.Module, path, *parts: str, state_key: str = "") -> None:
    before = [value.clone() for value in net.state_dict().values()]
    with pytest.raises(InputError) as error:
        found = checkpoint.read_checkpoint(path, state_key=state_key)
        model_loader.load_state(net, found.state, what=str(path), candidates=found.candidates)
    message = str(error.value)
    assert "\n" not in message and len(message) < 600 and message.startswith(str(path))
    for part in parts:
        assert part in message, message
    assert all(torch.equal(a, b) for a, b in zip(before, net.state_dict().values(), strict=True))


def compiled(net: nn.Module) -> nn.Module:
    """With the names that torch.compile gives, which takes seconds to import."""
    return Wrapper("_orig_mod", net)


WRAPPED = {
    "DataParallel": DataParallel,
    "compiled": compiled,
    "compiled within DataParallel": lambda net: DataParallel(compiled(net)),
    "DataParallel within compiled": lambda net: compiled(DataParallel(net)),
    "Lightning": lambda net: Wrapper("model", net, loss=nn.BCEWithLogitsLoss(pos_weight=torch.ones(2))),
    "Lightning, compiled": lambda net: Wrapper("net", compiled(net), metric=nn.Linear(1, 1)),
    "Lightning within DDP": lambda net: DataParallel(Wrapper("model", net)),
    "two of Lightning": lambda net: Wrapper("model", Wrapper("net", net)),
    "averaged": AveragedModel,
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_of_a_net_are_taken_off(name, tmp_path):
    net, file = small_net(), tmp_path / "m.ckpt"
    torch.save({"epoch": 3, "state_dict": WRAPPED[name](net).state_dict()}, file)
    assert loads(net, file)


def test_a_layer_that_was_compiled_alone(tmp_path):
    net, file = small_net(), tmp_path / "m.pt"
    state = {name.replace("bn.", "bn._orig_mod."): value for name, value in net.state_dict().items()}
    torch.save(state, file)
    assert loads(net, file)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: Wrapper("model", net),
        lambda net: Wrapper("module", net),
        lambda net: Wrapper("backbone", net),
        DataParallel,
        compiled,
        lambda net: Wrapper("model", Wrapper("body", net)),
    ],
)
def test_the_names_of_the_net_itself_decide(wrap, tmp_path):
    """A net whose own names begin with what looks like a wrapper keeps them, and reads files with and without it."""
    net, fresh = wrap(small_net()), wrap(small_net(1))
    for file, state in (
        ("own.pt", net.state_dict()),
        ("inner.pt", small_net().state_dict()),
        ("parallel.pt", DataParallel(net).state_dict()),
    ):
        torch.save(state, tmp_path / file)
        found = checkpoint.read_checkpoint(tmp_path / file)
        model_loader.load_state(fresh, found.state, what=file)
        assert same(fresh, net)
        nn.init.zeros_(next(fresh.parameters()))


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
    assert loads(net, file) and checkpoint.read_checkpoint(file).epoch == 3


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


def test_the_key_that_would_help_is_told(tmp_path):
    net, file = small_net(), tmp_path / "m.pt"
    for saved, state_key in (
        ({"state_dict": {"w": torch.ones(2)}, "ema": {"weights": net.state_dict()}}, "ema.weights"),
        ({"state_dict": {f"backbone.{name}": value for name, value in net.state_dict().items()}}, "backbone"),
        (
            {
                "state_dict": {"w": torch.ones(2)},
                "other": {f"module.teacher.{name}": value for name, value in net.state_dict().items()},
            },
            "other.module.teacher",
        ),
    ):
        torch.save(saved, file)
        refused(small_net(1), file, f"give --state_key {state_key}, which fits")
        assert loads(net, file, state_key=state_key)


def test_the_first_names_of_both_sides_are_told(tmp_path):
    file = tmp_path / "m.pt"
    torch.save({f"features.{i}.weight": torch.ones(1) for i in range(4)}, file)
    refused(
        small_net(1),
        file,
        "'conv.weight' is missing",
        "the net alone has conv.weight, conv.bias, bn.weight, …",
        "the file alone has features.0.weight, features.1.weight, features.2.weight, …",
        "another model",
    )


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


@needs_safetensors
def test_tied_tensors_may_be_there_once(tmp_path):
    torch.manual_seed(0)
    net = Tied()
    for dropped in ("head.weight", "embedding.weight"):
        save_file(
            {name: value.clone() for name, value in net.state_dict().items() if name != dropped},
            tmp_path / f"{dropped}.safetensors",
        )
        assert loads(net, tmp_path / f"{dropped}.safetensors")
    torch.save(net.state_dict(), tmp_path / "both.pt")
    assert loads(net, tmp_path / "both.pt")
    torch.save({**net.state_dict(), "head.weight": torch.zeros(5, 3)}, tmp_path / "untied.pt")
    refused(Tied(), tmp_path / "untied.pt", "'embedding.weight' and 'head.weight' differ")
    torch.save({"norm.weight": torch.ones(3), "norm.bias": torch.ones(3)}, tmp_path / "neither.pt")
    refused(Tied(), tmp_path / "neither.pt", "'embedding.weight' is missing")


@needs_safetensors
def test_damaged_safetensors_are_refused(tmp_path):
    whole, file = tmp_path / "whole.safetensors", tmp_path / "m.safetensors"
    save_file(small_net().state_dict(), whole)
    content = whole.read_bytes()
    header = struct.unpack("<Q", content[:8])[0]
    huge = content[:8] + content[8 : 8 + header].replace(b"[2,3,3,3]", b"[9,9,9,9]") + content[8 + header :]
    assert huge != content
    for damaged in (
        b"",
        b"hello",
        content[:20],
        content[:-1],
        content + b"x",
        struct.pack("<Q", 2**40) + content[8:],
        huge,
        b"PK\x03\x04" + content,
    ):
        file.write_bytes(damaged)
        refused(small_net(1), file, "not a safetensors file, or it is damaged")


def test_safetensors_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    (tmp_path / "m.safetensors").write_bytes(b"x")
    refused(small_net(1), tmp_path / "m.safetensors", "pip install safetensors")


def test_buffers_that_are_not_kept_and_counters_need_not_be_there(tmp_path):
    net, fresh = small_net(), small_net(1)
    for one in (net, fresh):
        one.register_buffer("positions", torch.arange(3), persistent=False)
    torch.save(
        {name: value for name, value in net.state_dict().items() if "num_batches" not in name},
        tmp_path / "m.pt",
    )
    model_loader.load_state(fresh, checkpoint.read_checkpoint(tmp_path / "m.pt").state, what="m.pt")
    assert torch.equal(fresh.conv.weight, net.conv.weight)


def test_a_dict_within_itself_ends(tmp_path):
    """Nested keys are searched once each, however they refer to each other."""
    saved: dict = {"x": torch.ones(2)}
    saved.update({f"key{i}": saved for i in range(50)}, model=saved)
    torch.save(saved, tmp_path / "m.pt")
    refused(small_net(1), tmp_path / "m.pt", "'conv.weight' is missing")


def test_a_whole_net_on_request(tmp_path):
    net, file = small_net(), tmp_path / "m.pt"
    torch.save({"epoch": 1, "model": net}, file)
    refused(small_net(1), file, "--unsafe_pickle")
    found = checkpoint.read_checkpoint(file, unsafe_pickle=True)
    fresh = small_net(1)
    model_loader.load_state(fresh, found.state, what="m.pt")
    assert same(fresh, net)
