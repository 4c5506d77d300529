"""Checkpoints of every kind that people have load; everything else ends in one sentence that names the file."""

import os
import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.core.user_code import OwnCodeError
from losslandscape.nets import model_loader


class Code:
    """Pickled, it calls os.mkdir when it is read carelessly."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(1)
    net = model_loader.build("resnet20")
    with torch.no_grad():
        for name, value in net.state_dict().items():
            value.copy_(7) if name.endswith("num_batches_tracked") else value.add_(torch.rand_like(value))
    return net


def same_state(state, net: nn.Module) -> bool:
    own = net.state_dict()
    return list(state) == list(own) and all(
        torch.equal(a, b) for a, b in zip(state.values(), own.values(), strict=True)
    )


def one_sentence(error: pytest.ExceptionInfo, *parts: object) -> None:
    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    for part in parts:
        assert str(part) in message, message


@pytest.mark.parametrize("zip_format", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_reads_every_layout(net, tmp_path, zip_format, prefix, wrapped):
    state = OrderedDict((prefix + name, value) for name, value in net.state_dict().items())
    file = tmp_path / "model_3.t7"
    saved = {"acc": 91.25, "epoch": 3, "state_dict": state} if wrapped else state
    torch.save(saved, file, _use_new_zipfile_serialization=zip_format)
    checkpoint = model_loader.read_checkpoint(file)
    assert same_state(checkpoint.state, net)
    assert (checkpoint.epoch, checkpoint.acc) == ((3, 91.25) if wrapped else (None, None))
    loaded = model_loader.load("resnet20", str(file))
    assert same_state(loaded.state_dict(), net) and not loaded.training


@pytest.mark.parametrize("zip_format", [True, False])
@pytest.mark.parametrize(
    "acc", [np.float64(62.5), np.float32(62.5), np.int64(62), torch.tensor(62.5), torch.tensor([62.5])]
)
def test_accuracy_of_any_numeric_kind(net, tmp_path, acc, zip_format):
    file = tmp_path / "m.t7"
    saved = {"acc": acc, "epoch": np.int64(4), "state_dict": net.state_dict()}
    torch.save(saved, file, _use_new_zipfile_serialization=zip_format)
    checkpoint = model_loader.read_checkpoint(file)
    assert checkpoint.acc == float(acc) and type(checkpoint.acc) is float
    assert checkpoint.epoch == 4 and type(checkpoint.epoch) is int


def test_accuracy_pickled_by_an_old_numpy(net, tmp_path):
    """NumPy 1 wrote `numpy.core.multiarray.scalar`; the name is put into the file of today's."""
    file = tmp_path / "m.t7"
    torch.save(
        {"acc": np.float64(62.5), "state_dict": net.state_dict()}, file, _use_new_zipfile_serialization=False
    )
    file.write_bytes(file.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert b"cnumpy.core.multiarray\nscalar" in file.read_bytes()
    assert model_loader.read_checkpoint(file).acc == 62.5


@pytest.mark.parametrize("acc", ["good", None, float("nan"), torch.ones(3)])
def test_an_accuracy_that_is_no_number_is_none(net, tmp_path, acc):
    file = tmp_path / "m.t7"
    torch.save({"acc": acc, "epoch": acc, "state_dict": net.state_dict()}, file)
    checkpoint = model_loader.read_checkpoint(file)
    assert checkpoint.acc is None and checkpoint.epoch is None


def test_unknown_model():
    with pytest.raises(InputError, match="'resnet57'.*resnet56, resnet56_noshort"):
        model_loader.build("resnet57")


def test_loading_a_file_takes_no_draws(net, tmp_path):
    """The directions drawn after it are the same with and without a file."""
    file = tmp_path / "m.t7"
    torch.save(net.state_dict(), file)
    after = []
    for model_file in ("", str(file)):
        torch.manual_seed(123)
        model_loader.load("resnet20", model_file)
        after.append(torch.randn(5))
    assert torch.equal(*after)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError) as error:
        model_loader.read_checkpoint(tmp_path / "none.t7")
    one_sentence(error, tmp_path / "none.t7", "no such file")
    with pytest.raises(InputError) as error:
        model_loader.read_checkpoint(tmp_path)
    one_sentence(error, tmp_path, "folder")


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is\n" * 20, b'{"a": 1}', b"\x89HDF\r\n\x1a\n" + bytes(9), bytes(1000)]
)
def test_not_a_checkpoint(tmp_path, content):
    file = tmp_path / "m.t7"
    file.write_bytes(content)
    with pytest.raises(InputError) as error:
        model_loader.read_checkpoint(file)
    one_sentence(error, file, "not a checkpoint")


@pytest.mark.parametrize("zip_format", [True, False])
def test_truncated_anywhere(net, tmp_path, zip_format):
    whole, file = tmp_path / "whole.t7", tmp_path / "m.t7"
    torch.save(
        {"acc": 1.0, "epoch": 1, "state_dict": net.state_dict()},
        whole,
        _use_new_zipfile_serialization=zip_format,
    )
    content = whole.read_bytes()
    for length in (1, 2, 3, 10, 100, 1000, *np.linspace(2000, len(content) - 1, 20).astype(int)):
        file.write_bytes(content[:length])
        with pytest.raises(InputError) as error:
            model_loader.read_checkpoint(file)
        one_sentence(error, file, "damaged")


@pytest.mark.parametrize("how", ["zip", "legacy", *range(6)])
def test_code_is_refused_and_not_run(tmp_path, how):
    file, trace = tmp_path / "m.t7", tmp_path / "ran"
    saved = {"state_dict": {"conv1.weight": torch.ones(1)}, "extra": Code(str(trace))}
    if isinstance(how, int):
        file.write_bytes(pickle.dumps(Code(str(trace)), protocol=how))
    else:
        torch.save(saved, file, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(InputError) as error:
        model_loader.read_checkpoint(file)
    one_sentence(error, file, "more than tensors", "not run")
    assert not trace.exists()


def test_a_whole_pickled_net_is_refused_with_the_way_out(net, tmp_path):
    file = tmp_path / "m.t7"
    torch.save(net, file)
    with pytest.raises(InputError) as error:
        model_loader.read_checkpoint(file)
    one_sentence(error, file, "state_dict()")


@pytest.mark.parametrize(
    ("saved", "advice"),
    [
        *(
            (saved, "state dict")
            for saved in ({}, {"epoch": 3}, {"state_dict": {}}, {"state_dict": 3}, [1, 2], torch.ones(3))
        ),
        ({"weights": {"w": torch.ones(2)}}, "--state_key with one of 'weights'"),
    ],
)
def test_no_tensors(tmp_path, saved, advice):
    file = tmp_path / "m.t7"
    torch.save(saved, file)
    with pytest.raises(InputError) as error:
        model_loader.read_checkpoint(file)
    one_sentence(error, file, advice)


def test_missing_batch_counters_and_nan_are_fine(net):
    state = {
        name: value.clone()
        for name, value in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    state["bn1.running_var"][3] = float("nan")
    other = model_loader.build("resnet20")
    model_loader.load_state(other, state, what="old.t7")
    assert torch.isnan(other.bn1.running_var[3])
    assert torch.equal(other.linear.weight, net.linear.weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(net, dtype):
    other = model_loader.build("resnet20")
    model_loader.load_state(
        other, {name: value.to(dtype) for name, value in net.state_dict().items()}, what="half.t7"
    )
    assert other.linear.weight.dtype == torch.float32
    assert torch.equal(other.linear.weight, net.linear.weight.to(dtype).float())
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
def test_the_tensor_that_does_not_fit_is_named_and_nothing_is_copied(net, name, value, parts):
    other = model_loader.build("resnet20")
    before = {key: tensor.clone() for key, tensor in other.state_dict().items()}
    state = {**net.state_dict(), name: value}
    if value is None:
        del state[name]
    with pytest.raises(InputError) as error:
        model_loader.load_state(other, state, what="folder/m.t7")
    one_sentence(error, "folder/m.t7", repr(name), *parts)
    assert same_state(before, other)


def test_the_first_misfit_in_the_order_of_the_net_is_named(net, tmp_path):
    file = tmp_path / "wide.t7"
    torch.save(dict(reversed(model_loader.build("wrn56_2").state_dict().items())), file)
    with pytest.raises(InputError) as error:
        model_loader.load("resnet20", str(file))
    one_sentence(error, file, "'conv1.weight'", "[32, 3, 3, 3]", "[16, 3, 3, 3]")


def test_a_net_with_shortcuts_is_not_one_without(net):
    bare = model_loader.build("resnet20_noshort")
    with pytest.raises(InputError, match=re.escape("'layer2.0.shortcut.0.weight' is missing")):
        model_loader.load_state(net, bare.state_dict(), what="m.t7")
    with pytest.raises(InputError, match=re.escape("'layer2.0.shortcut.0.weight' is not in the net")):
        model_loader.load_state(bare, net.state_dict(), what="m.t7")


# Nets of the user ---------------------------------------------------------------------------------------------------------------

OWN_NETS = """
import torch
from torch import nn

def make(width=3, *, act="relu"):
    return nn.Sequential(nn.Linear(2, width), nn.GELU() if act == "gelu" else nn.ReLU(), nn.Linear(width, 2)).train()

def seeding():
    torch.manual_seed(5)
    return make()

class Net(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)

KEPT = make()
def kept(): return KEPT
def number(): return 3
def nothing(): pass
def the_class(): return Net
def no_weights(): return nn.ReLU()
def lazy(): return nn.LazyLinear(2)
def meta(): return nn.Linear(2, 2, device="meta")
def complex_weights(): return nn.Linear(2, 2, dtype=torch.complex64)
def raises(): return make("wide")
"""


@pytest.fixture
def own(tmp_path):
    """The beginning of the specification of a function in the user's file."""
    (tmp_path / "nets_of_user.py").write_text(OWN_NETS)
    return f"{tmp_path}/nets_of_user.py"


def test_a_net_of_the_user_is_taken_as_returned_and_loaded(own, tmp_path):
    torch.manual_seed(0)
    net = model_loader.load(f"{own}:make", model_args={"width": 5, "act": "gelu"})
    assert not net.training and net[0].weight.shape == (5, 2) and isinstance(net[1], nn.GELU)
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in net.state_dict().items()}},
        tmp_path / "m.pt",
    )
    torch.manual_seed(1)
    assert not same_state(net.state_dict(), model_loader.load(f"{own}:make", model_args={"width": 5}))
    assert same_state(
        net.state_dict(), model_loader.load(f"{own}:make", str(tmp_path / "m.pt"), model_args={"width": 5})
    )
    assert isinstance(model_loader.load(f"{own}:Net"), nn.Linear)


@pytest.mark.parametrize("function", ["make", "seeding"])
def test_draws_after_a_net_of_the_user_depend_on_the_seed_alone_and_are_not_those_of_its_weights(
    own, function
):
    after = {}
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        net = model_loader.load(f"{own}:{function}")
        draws = torch.rand(6)
        assert torch.equal(after.setdefault(seed, draws), draws)
        assert not torch.allclose(net[0].weight.flatten(), draws * 2 - 1)
    assert not torch.equal(after[1], after[2])
    torch.manual_seed(1)
    model_loader.load(f"{own}:Net")
    assert torch.equal(torch.rand(6), after[1])


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        ("number", ["should return a torch.nn.Module", "returned a int"]),
        ("nothing", ["returned a NoneType"]),
        ("the_class", ["the class Net"]),
        ("no_weights", ["ReLU without parameters"]),
        ("lazy", ["'weight' of its LazyLinear", "has no shape yet"]),
        ("meta", ["'weight'", "meta device"]),
        ("complex_weights", ["'weight'", "complex64"]),
        ("nte", ["no function 'nte'", "make"]),
    ],
)
def test_what_is_no_net_to_measure_is_refused(own, function, parts):
    with pytest.raises(InputError) as error:
        model_loader.load(f"{own}:{function}")
    one_sentence(error, f"{own}", *parts)


def test_one_net_for_two_files_is_refused(own):
    first = model_loader.load(f"{own}:kept")
    with pytest.raises(InputError, match="same net as before; make a new one"):
        model_loader.load(f"{own}:kept")
    assert not first.training


def test_an_own_function_that_raises_shows_its_line(own):
    with pytest.raises(OwnCodeError, match="--model .*:raises raised TypeError") as error:
        model_loader.load(f"{own}:raises")
    assert (
        'def raises(): return make("wide")' in error.value.trace
        and "model_loader.py" not in error.value.trace
    )


@pytest.mark.parametrize(
    ("model", "arguments", "parts"),
    [
        (
            "{own}:make",
            {"depth": 3},
            ["unexpected keyword argument 'depth'", "it takes (width=3, *, act='relu')"],
        ),
        ("resnet20", {"depth": 3}, ["'depth'", "--model_args"]),
        (
            "torchvision:resnet18",
            {"depth": 3},
            ["torchvision:resnet18 cannot be built", "'depth'", "--model_args"],
        ),
    ],
)
def test_arguments_that_a_net_does_not_take(own, model, arguments, parts):
    with pytest.raises(InputError) as error:
        model_loader.build(model.format(own=own), arguments)
    one_sentence(error, *parts)


def test_arguments_of_the_papers_nets():
    bare = model_loader.build("resnet20", {"shortcut": False})
    assert list(bare.state_dict()) == list(model_loader.build("resnet20_noshort").state_dict())


def test_model_args_are_literals_or_texts():
    assert model_loader.parse_model_args(
        ["a=3", "b=x y", "c=[1, 'z']", "d=False", "e=none", "f=", "g=1e-3", "h=a=b", "i=TRUE"]
    ) == {"a": 3, "b": "x y", "c": [1, "z"], "d": False, "e": None, "f": "", "g": 1e-3, "h": "a=b", "i": True}
    for texts, part in (
        (["depth"], "'depth'"),
        (["=3"], "'=3'"),
        (["a b=3"], "'a b=3'"),
        (["a=1", "a=2"], "twice"),
    ):
        with pytest.raises(InputError, match=part):
            model_loader.parse_model_args(texts)
