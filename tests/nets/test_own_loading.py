"""Nets with hooks of loading get their checkpoints through them: completely or not at all."""

import copy
import warnings

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.nets.state_loading import load_state
from tests.nets.small_nets import Tied, Wrapper, one_sentence, refused, same, small_net


def load(net: nn.Module, file, saved: object) -> nn.Module:
    torch.save(saved, file)
    checkpoint = read_checkpoint(file)
    load_state(net, checkpoint.state, what=str(file), candidates=checkpoint.candidates)
    return net


def conv_net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))


def quantised(seed: int) -> nn.Module:
    """A net prepared for training with quantisation, as torch.ao does it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        quantization = pytest.importorskip("torch.ao.quantization")
        net = conv_net(seed).train()
        net.qconfig = quantization.get_default_qat_qconfig("fbgemm")
        return quantization.prepare_qat(net)


def calibrating(seed: int) -> nn.Module:
    """A net with histogram observers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantization = pytest.importorskip("torch.ao.quantization")
        net = conv_net(seed).eval()
        net.qconfig = quantization.get_default_qconfig("fbgemm")
        return quantization.prepare(net)


@pytest.mark.parametrize("make", [quantised, calibrating])
def test_nets_prepared_for_quantisation(tmp_path, make):
    """The observers' statistics have other shapes in a fresh net than after batches."""
    net, images = make(0), torch.randn(8, 3, 4, 4)
    for _ in range(2):
        net(images)
    net.eval()
    saved = net.state_dict()
    fresh = make(1).eval()
    shapes = {name: value.shape for name, value in fresh.state_dict().items()}
    assert make is calibrating or any(value.shape != shapes[name] for name, value in saved.items())
    load(fresh, tmp_path / "m.pt", {"state_dict": saved})
    assert same(fresh, net)
    for one in (net, fresh):
        for module in one.modules():
            if hasattr(module, "disable_observer"):
                module.disable_observer()
    assert torch.equal(fresh(images), net(images))


def test_a_quantised_net_is_loaded_completely_or_not_at_all(tmp_path):
    net = quantised(0)
    net(torch.randn(8, 3, 4, 4))
    saved = net.state_dict()
    for name, value, parts in (
        ("4.weight", torch.ones(2, 9), ["tensor '4.weight' has shape [2, 9]; the net's has [2, 16]"]),
        ("4.bias", None, ["tensor '4.bias' is missing"]),
        ("4.bias", torch.ones(2, dtype=torch.int64), ["tensor '4.bias' is of torch.int64"]),
        ("0.weight_fake_quant.scale", None, ["tensor '0.weight_fake_quant.scale' is missing"]),
        ("other.weight", torch.ones(2), ["tensor 'other.weight' is not in the net"]),
        ("4.weight", torch.ones(2, 16).to_sparse(), ["'4.weight'", "sparse"]),
        ("4.weight", "text", ["'4.weight'"]),
    ):
        state = {**saved, name: value}
        if value is None:
            del state[name]
        fresh = quantised(1)
        before = {key: tensor.clone() for key, tensor in fresh.state_dict().items()}
        with pytest.raises(InputError) as error:
            load_state(fresh, state, what="m.pt")
        assert "m.pt" in str(error.value) and all(part in str(error.value) for part in parts), error.value
        after = fresh.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before), name


class Renaming(nn.Module):
    """A net whose first version called its layer `fc`, and stored its weight transposed."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
        if local_metadata.get("version", 1) < 2:
            for name in ("weight", "bias"):
                state_dict[f"{prefix}linear.{name}"] = state_dict.pop(f"{prefix}fc.{name}")
            state_dict[f"{prefix}linear.weight"] = state_dict[f"{prefix}linear.weight"].t()
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


@pytest.mark.parametrize("prefix", ["", "module.", "model.net."])
def test_a_checkpoint_of_an_older_version_is_renamed_by_the_net(tmp_path, prefix):
    net = Renaming()
    old = {
        prefix + name.replace("linear", "fc"): value.t() if name == "linear.weight" else value
        for name, value in net.state_dict().items()
    }
    assert same(load(Renaming(), tmp_path / "m.pt", {"state_dict": old}), net)
    lightning = {**old, "criterion.weight": torch.ones(2)} if prefix == "model.net." else old
    assert same(load(Renaming(), tmp_path / "m.pt", {"state_dict": lightning}), net)


@pytest.mark.parametrize("wrap", [lambda net: net, nn.DataParallel, lambda net: Wrapper("net", net)])
def test_the_version_in_the_file_is_kept(tmp_path, wrap):
    """Without it a net takes today's file for one of the first version."""
    net = Renaming()
    assert same(load(Renaming(), tmp_path / "m.pt", {"state_dict": wrap(net).state_dict()}), net)
    fresh = wrap(Renaming())
    assert same(load(fresh, tmp_path / "m.pt", net.state_dict()), net)


def test_weight_norm_before_and_after_it_was_a_parametrization(tmp_path):
    from torch.nn.utils import parametrizations
    from torch.nn.utils import weight_norm as old_weight_norm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = nn.Sequential(old_weight_norm(nn.Linear(3, 2)))
    fresh = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)))
    load(fresh, tmp_path / "m.pt", old.state_dict())
    inputs = torch.randn(4, 3)
    assert torch.allclose(fresh(inputs), old(inputs))


def test_tied_tensors_of_a_net_with_hooks(tmp_path):
    net, fresh = Tied(), Tied()
    fresh.register_load_state_dict_pre_hook(lambda *_: None)
    state = net.state_dict()
    assert same(load(fresh, tmp_path / "m.pt", {n: state[n] for n in state if n != "head.weight"}), net)
    torch.save({**state, "head.weight": torch.zeros(5, 3)}, tmp_path / "m.pt")
    refused(fresh, tmp_path / "m.pt", "'embedding.weight' and 'head.weight' differ")


def test_pre_hooks_may_drop_what_is_stale(tmp_path):
    net = small_net()
    fresh = small_net(1)
    fresh.register_load_state_dict_pre_hook(lambda _, state, prefix, *rest: state.pop("position_ids", None))
    load(fresh, tmp_path / "m.pt", {**net.state_dict(), "position_ids": torch.arange(3)})
    assert same(fresh, net)


class Scaled(nn.Linear):
    """Its scale is neither a parameter nor a buffer."""

    scale = 1.0

    def get_extra_state(self):
        return {"scale": self.scale}

    def set_extra_state(self, state):
        self.scale = state["scale"]


def test_extra_state_is_loaded(tmp_path):
    net = Scaled(2, 2)
    net.scale = 3.0
    assert load(Scaled(2, 2), tmp_path / "m.pt", net.state_dict()).scale == 3.0
    del (state := net.state_dict())["_extra_state"]
    torch.save(state, tmp_path / "m.pt")
    fresh = Scaled(2, 2)
    with pytest.raises(InputError, match="'_extra_state' is missing"):
        load_state(fresh, state, what="m.pt")
    assert fresh.scale == 1.0


class Own(nn.Linear):
    """A net with its own load_state_dict, which does not return what torch's does."""

    skipped: tuple[str, ...] = ()

    def load_state_dict(self, state_dict):
        own = self.state_dict()
        for name, value in state_dict.items():
            if name in own and name not in self.skipped:
                own[name].copy_(value)


def test_a_net_with_its_own_load_state_dict(tmp_path):
    net = Own(2, 2)
    assert same(load(Own(2, 2), tmp_path / "m.pt", {"model": net.state_dict()}), net)
    fresh = Own(2, 2)
    fresh.skipped = ("bias",)
    refused(fresh, tmp_path / "m.pt", "own load_state_dict left tensor 'bias' as it was")
    torch.save({"weight": net.weight.detach()}, tmp_path / "m.pt")
    refused(Own(2, 2), tmp_path / "m.pt", "tensor 'bias' is missing")


def test_a_hook_that_raises_ends_in_a_sentence(tmp_path):
    fresh = Renaming()
    state = {"linear.weight": torch.ones(2, 3)}
    with pytest.raises(InputError) as error:
        load_state(fresh, state, what="m.pt")
    one_sentence(error, "m.pt: the net's own load_state_dict raised KeyError", "'fc.weight'")


def test_an_averaged_net(tmp_path):
    """`AveragedModel` has a counter beside the net; its own hooks are none, those of the net within count."""
    averaged = torch.optim.swa_utils.AveragedModel(quantised(0))
    fresh = torch.optim.swa_utils.AveragedModel(quantised(1))
    averaged.module(torch.randn(8, 3, 4, 4))
    assert same(load(fresh, tmp_path / "m.pt", copy.deepcopy(averaged.state_dict())), averaged)
