"""Nets by name, and nets of the user, are built, checked and loaded."""

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.core.user_code import OwnCodeError
from losslandscape.nets import model_loader
from tests.nets.small_nets import one_sentence, same_state


def test_unknown_model():
    with pytest.raises(InputError, match="'resnet57'.*resnet56, resnet56_noshort"):
        model_loader.build("resnet57")


def test_loading_a_file_takes_no_draws(resnet, tmp_path):
    """The directions drawn after it are the same with and without a file."""
    file = tmp_path / "m.t7"
    torch.save(resnet.state_dict(), file)
    after = []
    for model_file in ("", str(file)):
        torch.manual_seed(123)
        model_loader.load("resnet20", model_file)
        after.append(torch.randn(5))
    assert torch.equal(*after)


OWN_NETS = """
import torch
from torch import nn

def make(width=3, *, act="relu"):
    activation = nn.GELU() if act == "gelu" else nn.ReLU()
    return nn.Sequential(nn.Linear(2, width), activation, nn.Linear(width, 2)).train()

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
def test_draws_after_a_net_of_the_user_depend_on_the_seed_alone(own, function):
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
        ("number", ["returned a int; return a torch.nn.Module"]),
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
    with pytest.raises(OwnCodeError, match="model .*:raises raised TypeError") as error:
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
        ("resnet20", {"depth": 3}, ["'depth'", "model_args="]),
        (
            "torchvision:resnet18",
            {"depth": 3},
            ["torchvision:resnet18 cannot be built", "'depth'", "model_args="],
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
