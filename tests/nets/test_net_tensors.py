"""Filters, norm layers and ties of tensors, against the layers' own functions and plain loops."""

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.nets import net_plotter, net_tensors
from losslandscape.nets.moving import moving


def conv1d_like_gpt2s(inputs: int, outputs: int) -> nn.Module:
    """A stand-in for transformers' Conv1D, by its name and module."""

    def init(self):
        nn.Module.__init__(self)
        self.weight, self.bias = (
            nn.Parameter(torch.randn(inputs, outputs)),
            nn.Parameter(torch.zeros(outputs)),
        )

    return type(
        "Conv1D",
        (nn.Module,),
        {
            "__init__": init,
            "__module__": "transformers.pytorch_utils",
            "forward": lambda self, x: x @ self.weight + self.bias,
        },
    )()


def the_real_conv1d(inputs: int, outputs: int) -> nn.Module:
    return pytest.importorskip("transformers.pytorch_utils", reason="transformers is not installed").Conv1D(
        outputs, inputs
    )


LAYERS = {  # a layer, an input for it, and the axis of its outputs in what it returns
    "Linear": (lambda: nn.Linear(6, 5), (6,), -1),
    "Conv1D, stand-in": (lambda: conv1d_like_gpt2s(6, 5), (6,), -1),
    "Conv1D of transformers": (lambda: the_real_conv1d(6, 5), (6,), -1),
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3), (4, 5, 5), 1),
    "grouped Conv2d": (lambda: nn.Conv2d(4, 6, 3, groups=2), (4, 5, 5), 1),
    "depthwise Conv2d": (lambda: nn.Conv2d(4, 4, 3, groups=4), (4, 5, 5), 1),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 6, 3), (4, 5), 1),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3), (4, 5, 5), 1),
    "grouped ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 5, 5), 1),
    "depthwise ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 4, 3, groups=4), (4, 5, 5), 1),
}


@pytest.mark.parametrize("name", LAYERS)
def test_filters_are_what_makes_one_output(name):
    """Filter j is all entries of the weight that change output j; the direction has its norm."""
    make, shape, axis = LAYERS[name]
    torch.manual_seed(0)
    layer = make()
    images = torch.randn(2, *shape)
    torch.manual_seed(1)
    direction = net_plotter.random_direction(layer, "weights", norm="filter", ignore="biasbn")
    place, tensor = next(
        (i, tensor)
        for i, tensor in enumerate(net_tensors.tensors(layer, "weights"))
        if tensor.value.dim() > 1
    )
    made, weight = direction[place], tensor.value
    filters = []
    outputs = layer(images).shape[axis]
    for j in range(outputs):
        layer.zero_grad()
        layer(images).select(axis, j).square().sum().backward()
        filters.append(layer.get_parameter(tensor.names[0]).grad != 0)
    # Every entry belongs to one filter.
    assert sum(entries.int() for entries in filters).unique().tolist() == [1]
    assert len(tensor.filter_norms(weight)) == outputs
    for entries in filters:
        assert made[entries].norm().item() == pytest.approx(weight[entries].norm().item(), rel=1e-5)
    torch.manual_seed(1)
    random = [torch.randn(parameter.shape) for parameter in layer.parameters()][place]
    assert ((made * random) > 0).all()  # only scaled


@pytest.mark.parametrize(
    ("make", "leaf"),
    [
        (lambda: nn.Embedding(7, 3), "weight"),
        (lambda: nn.MultiheadAttention(4, 2), "in_proj_weight"),
        (lambda: nn.Bilinear(3, 4, 5), "weight"),
        (lambda: nn.LSTM(3, 4), "weight_hh_l0"),
        (lambda: nn.GRUCell(3, 4), "weight_ih"),
    ],
)
def test_rows_are_filters(make, leaf):
    torch.manual_seed(0)
    layer = make()
    direction = dict(
        zip(
            net_tensors.moving_tensors(layer, "weights"),
            net_plotter.random_direction(layer, "weights", norm="filter"),
            strict=True,
        )
    )
    for row, weights in zip(direction[leaf], layer.get_parameter(leaf), strict=True):
        assert row.norm().item() == pytest.approx(weights.norm().item(), rel=1e-5)


class LlamaRMSNorm(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))


class OfNorms(nn.Module):
    """Norm layers of several origins, and what only looks like one."""

    def __init__(self):
        super().__init__()
        self.layer_norm, self.rms_norm, self.others = (
            nn.LayerNorm((3, 4)),
            nn.RMSNorm((3, 4)),
            LlamaRMSNorm(3, 4),
        )
        self.group_norm, self.instance_norm = (
            nn.GroupNorm(2, 4),
            nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        )
        self.batch_norm, self.sync = nn.BatchNorm2d(4), nn.SyncBatchNorm(4)
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.linear = nn.Linear(4, 4)
        self.register_buffer("mask", torch.full((4, 4), -torch.inf))
        self.register_buffer("index", torch.arange(9).view(3, 3))


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
def test_norm_layers_stay_with_biasbn_whatever_their_shape(dir_type):
    net = OfNorms()
    made = {
        ignore: dict(
            zip(
                net_tensors.moving_tensors(net, dir_type),
                net_plotter.random_direction(net, dir_type, norm="filter", ignore=ignore),
                strict=True,
            )
        )
        for ignore in ("biasbn", "")
    }
    assert [name for name, d in made["biasbn"].items() if d.any()] == ["token", "linear.weight"]
    assert net_tensors.ignored(net, dir_type, "biasbn") == made["biasbn"].keys() - {
        "token",
        "linear.weight",
        "mask",
        "index",
    }
    assert net_tensors.ignored(net, dir_type, "") == frozenset()
    tensors = net_tensors.moving_tensors(net, dir_type)
    for name, d in made[""].items():
        assert d.isfinite().all()
        if name in ("mask", "index"):
            assert not d.any()
        elif name not in ("token", "linear.weight"):
            assert torch.equal(d, tensors[name].float())


def tied_net() -> nn.Module:
    net = nn.ModuleDict({"embedding": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    net["head"].weight = net["embedding"].weight
    return net


def views_net() -> nn.Module:
    """Parameters that share memory: a transposed view and a row. Neighbours in one storage are no tie."""
    net = nn.Module()
    net.whole = nn.Parameter(torch.randn(4, 3))
    net.transposed = nn.Parameter(net.whole.detach().t())
    net.row = nn.Parameter(net.whole.detach()[2])
    storage = torch.randn(6, 2)
    net.left, net.right = nn.Parameter(storage[:3]), nn.Parameter(storage[3:])
    return net


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (tied_net, [("embedding.weight", "head.weight")]),
        (views_net, [("whole", "transposed", "row"), ("left",), ("right",)]),
        (
            lambda: nn.ParameterDict(
                {"a": torch.empty(3, 0), "b": torch.empty(0, 3), "c": torch.tensor(2.0)}
            ),
            [("a",), ("b",), ("c",)],
        ),
    ],
)
def test_tied_tensors_are_one_and_move_once(dir_type, make, expected):
    torch.manual_seed(0)
    net = make()
    assert [tensor.names for tensor in net_tensors.tensors(net, dir_type)] == expected
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    direction = net_plotter.random_direction(net, dir_type)
    assert len(direction) == len(expected)
    with moving(net, [direction], dir_type) as move:
        move((0.5,))
        for names, d in zip(expected, direction, strict=True):
            torch.testing.assert_close(net.state_dict()[names[0]], before[names[0]] + 0.5 * d)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_view_that_comes_first_goes_by_the_whole():
    net = nn.Module()
    whole = torch.randn(4, 3)
    net.row, net.whole = nn.Parameter(whole[0]), nn.Parameter(whole)
    assert [tensor.names for tensor in net_tensors.tensors(net, "weights")] == [("whole", "row")]


def overlapping() -> nn.Module:
    net, numbers = nn.Module(), torch.randn(8)
    net.low, net.high = nn.Parameter(numbers[:5]), nn.Parameter(numbers[3:])
    return net


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: nn.Linear(2, 2, dtype=torch.complex64), r"'weight' is complex.*view_as_complex"),
        (lambda: nn.LazyLinear(2), "'weight' has no shape yet; pass a batch"),
        (lambda: nn.Linear(2, 2, device="meta"), "'weight' is not in memory"),
        (overlapping, "'low' and 'high' of the net share a part"),
    ],
)
def test_tensors_that_cannot_move_are_refused(make, sentence):
    with pytest.raises(InputError, match=sentence):
        net_plotter.random_direction(make(), "weights")
