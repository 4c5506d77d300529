"""Layers with quantised weights do not move: they are named, and the others move as ever."""

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.nets import model_loader, net_tensors, quantised
from losslandscape.nets.moving import moving
from losslandscape.nets.net_plotter import Recipe, make_directions


class Stored(nn.Module):
    """A linear layer with its weight in a type of few bits, as a parameter or as a buffer."""

    def __init__(self, dtype: torch.dtype, name: str, *, is_buffer: bool) -> None:
        super().__init__()
        weight = torch.randint(-9, 10, (4, 4)).to(dtype)
        if is_buffer:
            self.register_buffer(name, weight)
        else:
            setattr(self, name, nn.Parameter(weight, requires_grad=False))
        self.scale = nn.Parameter(torch.full((4, 1), 0.1))


class OfPackage(torch.Tensor):
    """A tensor of float32 by its type, and of a package of quantised tensors by its class."""

    __module__ = "torchao.dtypes"


KINDS = {
    "bitsandbytes": lambda: Stored(torch.int8, "weight", is_buffer=False),
    "GPTQ": lambda: Stored(torch.int32, "qweight", is_buffer=True),
    "HQQ": lambda: Stored(torch.uint8, "W_q", is_buffer=False),
}


def net(kind: str) -> nn.Module:
    torch.manual_seed(0)
    plain = nn.BatchNorm1d(4)  # whose count of batches is an integer too
    return nn.Sequential(nn.Linear(4, 4), KINDS[kind](), plain, KINDS[kind]()).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_named_and_stay_as_they_are(kind):
    model = net(kind)
    assert quantised.layers(model) == ["1", "3"]
    assert quantised.sentence(model) == "2 layers have quantised weights, which do not move, such as 1"
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    [direction] = make_directions(model, "weights", [Recipe(norm="filter")])
    with moving(model, [direction], "weights") as move:
        move((0.5,))
        moved = {
            name
            for name, tensor in model.state_dict().items()
            if not torch.equal(tensor.double(), before[name].double())
        }
    assert {"0.weight", "1.scale"} <= moved
    assert not {"1.weight", "1.qweight", "1.W_q"} & moved


@pytest.mark.filterwarnings("ignore")
def test_packed_layers_of_torch_are_found():
    layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.LayerNorm(4))
    packed = torch.ao.quantization.quantize_dynamic(layers, {nn.Linear}, dtype=torch.qint8)
    assert quantised.sentence(packed) == "1 layer has quantised weights, which do not move: 0"


def test_tensors_of_torchao_are_quantised_whatever_type_they_show():
    tensor = torch.zeros(2, 2).as_subclass(OfPackage)
    assert tensor.dtype == torch.float32 and quantised.is_quantised(tensor)
    assert not net_tensors.NetTensor(("w",), tensor, "linear", True).moves


def test_a_net_without_quantised_weights():
    assert quantised.sentence(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))) == ""


MINE = """
import torch
from torch import nn

class Low(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False)

def net():
    return nn.Sequential(Low(), Low())
"""


def test_a_net_in_which_nothing_can_move_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    with pytest.raises(InputError) as error:
        model_loader.build(f"{tmp_path}/mine.py:net")
    for part in ("nothing of its Sequential can move", "2 layers have quantised weights", "such as 0"):
        assert part in str(error.value) and "\n" not in str(error.value)
