"""A state that fits is copied into the net; otherwise the sentence says what would help."""

import re

import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.nets import model_loader
from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.nets.state_loading import load_state
from tests.nets.small_nets import (
    Tied,
    loads,
    needs_safetensors,
    one_sentence,
    refused,
    same_state,
    save_file,
    small_net,
)


def test_missing_batch_counters_and_nan_are_fine(resnet):
    state = {
        name: value.clone()
        for name, value in resnet.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    state["bn1.running_var"][3] = float("nan")
    other = model_loader.build("resnet20")
    load_state(other, state, what="old.t7")
    assert torch.isnan(other.bn1.running_var[3])
    assert torch.equal(other.linear.weight, resnet.linear.weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(resnet, dtype):
    other = model_loader.build("resnet20")
    load_state(other, {name: value.to(dtype) for name, value in resnet.state_dict().items()}, what="half.t7")
    assert other.linear.weight.dtype == torch.float32
    assert torch.equal(other.linear.weight, resnet.linear.weight.to(dtype).float())
    assert other.bn1.num_batches_tracked == 7


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("layer1.0.conv1.weight", torch.ones(16, 16, 1, 1), ["[16, 16, 1, 1]", "[16, 16, 3, 3]"]),
        ("bn1.num_batches_tracked", torch.ones(1), ["[1]", "[]"]),
        ("bn1.bias", None, ["is missing"]),
        ("bn1.bias", torch.ones(16, dtype=torch.complex64), ["complex64", "float32"]),
        ("bn1.bias", torch.ones(16, dtype=torch.int64), ["int64", "float32"]),
        ("bn1.bias", torch.ones(16, dtype=torch.bool), ["bool", "float32"]),
        ("bn1.num_batches_tracked", torch.tensor(1j), ["complex64"]),
        ("bn1.bias", torch.ones(16).to_sparse(), ["sparse"]),
        ("bn1.bias", torch.ones(16, device="meta"), ["without data"]),
        ("bn1.bias", "text", ["is a str"]),
        ("extra.weight", torch.ones(2), ["not in the net"]),
    ],
)
def test_the_tensor_that_does_not_fit_is_named_and_nothing_is_copied(resnet, name, value, parts):
    other = model_loader.build("resnet20")
    before = {key: tensor.clone() for key, tensor in other.state_dict().items()}
    state = {**resnet.state_dict(), name: value}
    if value is None:
        del state[name]
    with pytest.raises(InputError) as error:
        load_state(other, state, what="folder/m.t7")
    one_sentence(error, "folder/m.t7", repr(name), *parts)
    assert same_state(before, other)


def test_the_first_misfit_in_the_order_of_the_net_is_named(resnet, tmp_path):
    file = tmp_path / "wide.t7"
    torch.save(dict(reversed(model_loader.build("wrn56_2").state_dict().items())), file)
    with pytest.raises(InputError) as error:
        model_loader.load("resnet20", str(file))
    one_sentence(error, file, "'conv1.weight'", "[32, 3, 3, 3]", "[16, 3, 3, 3]")


def test_a_net_with_shortcuts_is_not_one_without(resnet):
    bare = model_loader.build("resnet20_noshort")
    with pytest.raises(InputError, match=re.escape("'layer2.0.shortcut.0.weight' is missing")):
        load_state(resnet, bare.state_dict(), what="m.t7")
    with pytest.raises(InputError, match=re.escape("'layer2.0.shortcut.0.weight' is not in the net")):
        load_state(bare, resnet.state_dict(), what="m.t7")


def test_the_key_that_would_help_is_named(tmp_path):
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
        (
            {"callbacks": {"EMA{'decay': 0.9}": net.state_dict()}, "w": torch.ones(2)},
            "callbacks.EMA{'decay': 0.9}",
        ),
    ):
        torch.save(saved, file)
        refused(small_net(1), file, f"state_key {state_key} fits; give this state_key=")
        assert loads(net, file, state_key=state_key)


def test_the_first_names_of_both_sides_are_listed(tmp_path):
    file = tmp_path / "m.pt"
    torch.save({f"features.{i}.weight": torch.ones(1) for i in range(4)}, file)
    refused(
        small_net(1),
        file,
        "'conv.weight' is missing",
        "only the net has conv.weight, conv.bias, bn.weight, …",
        "only the file has features.0.weight, features.1.weight, features.2.weight, …",
        "another model",
    )


def test_buffers_that_are_not_kept_and_counters_need_not_be_there(tmp_path):
    net, fresh = small_net(), small_net(1)
    for one in (net, fresh):
        one.register_buffer("positions", torch.arange(3), persistent=False)
    torch.save(
        {name: value for name, value in net.state_dict().items() if "num_batches" not in name},
        tmp_path / "m.pt",
    )
    load_state(fresh, read_checkpoint(tmp_path / "m.pt").state, what="m.pt")
    assert torch.equal(fresh.conv.weight, net.conv.weight)


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
