"""Directions are those of the paper: drawn, normalised, towards a net, along a vector."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.nets import direction_parts, net_plotter, net_tensors


def filters(tensor):
    return [row.double().norm().item() for row in tensor]


def drawn(net, dir_type):
    torch.manual_seed(7)
    return [torch.randn(tensor.shape) for tensor in net_tensors.moving_tensors(net, dir_type).values()]


def direction(net, dir_type, **flags):
    torch.manual_seed(7)
    return net_plotter.random_direction(net, dir_type, **flags)


EXPECTED = {  # what the definition in Li et al. says of the result d, for the draw r and the net's w
    "filter": lambda d, r, w: filters(d) == pytest.approx(filters(w), rel=1e-5),
    "layer": lambda d, r, w: d.norm().item() == pytest.approx(w.norm().item(), rel=1e-5),
    "weight": lambda d, r, w: torch.equal(d, r * w),
    "dfilter": lambda d, r, w: filters(d) == pytest.approx([1] * len(d), rel=1e-5),
    "dlayer": lambda d, r, w: d.norm().item() == pytest.approx(1, rel=1e-5),
    "": lambda d, r, w: torch.equal(d, r),
}


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
@pytest.mark.parametrize("norm", EXPECTED)
@pytest.mark.parametrize("ignore", ["biasbn", ""])
def test_norms_and_ignores(net, dir_type, norm, ignore):
    tensors = net_tensors.moving_tensors(net, dir_type).values()
    for d, r, w in zip(
        direction(net, dir_type, norm=norm, ignore=ignore), drawn(net, dir_type), tensors, strict=True
    ):
        if w.dim() > 1:
            assert EXPECTED[norm](d, r, w)
            assert torch.nn.functional.cosine_similarity(d.flatten(), r.flatten(), 0) > 0.999 or norm in (
                "weight",
                "filter",
                "dfilter",
            )
        else:
            assert torch.equal(d, torch.zeros_like(r) if ignore else w.float())


def test_draws_are_gaussian(net):
    values = net_plotter.random_direction(nn.Linear(300, 300), "weights")[0]
    assert values.min() < -3
    assert values.mean().abs() < 0.02


def test_a_filter_of_zero_norm_does_not_move(net):
    with torch.no_grad():
        net[0].weight[1] = 0
    made = direction(net, "weights", norm="filter")[0]
    assert made[1].abs().max() == 0
    assert made.isfinite().all()


@pytest.mark.parametrize("norm", EXPECTED)
def test_nothing_is_nan_where_there_is_nothing(norm):
    net = nn.ParameterDict(
        {
            "empty": torch.empty(0, 3),
            "no_inputs": torch.empty(3, 0, 2),
            "scalar": torch.tensor(2.0),
            "zero": torch.zeros(3, 2),
        }
    )
    direction = net_plotter.random_direction(net, "weights", norm=norm)
    assert all(d.isfinite().all() for d in direction)
    assert [d.shape for d in direction] == [tensor.shape for tensor in net.values()]
    assert torch.equal(direction[2], torch.tensor(2.0))
    if norm in ("filter", "layer", "weight"):
        assert not direction[3].any()


def test_to_a_net_with_infinite_masks_and_to_one_of_another_shape(net):
    masked, other = nn.Linear(2, 2), nn.Linear(2, 2)
    for module in (masked, other):
        module.register_buffer("mask", torch.tensor([[0, -torch.inf]]))
    assert all(d.isfinite().all() for d in net_plotter.target_direction(masked, other, "states"))
    with pytest.raises(InputError, match=r"weight has shape \[2, 2\] .*\[3, 2\]"):
        net_plotter.target_direction(masked, nn.Linear(2, 3), "weights")
    with pytest.raises(InputError, match="weight .*no such tensor"):
        net_plotter.target_direction(masked, net, "weights")


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
def test_params_moves_a_part_along_the_same_direction(net, dir_type):
    torch.manual_seed(7)
    part = net_plotter.random_direction(net, dir_type, norm="filter", params=r"^3\.|running_mean")
    after = torch.randn(3)
    whole = direction(net, dir_type, norm="filter")
    assert torch.equal(after, torch.randn(3))  # as many draws
    for name, p, w in zip(net_tensors.moving_tensors(net, dir_type), part, whole, strict=True):
        assert torch.equal(
            p, w if name.startswith("3.") or name.endswith("running_mean") else torch.zeros_like(w)
        )
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    made = net_plotter.Recipe(target=lambda: other, params="weight").make(net, dir_type)
    assert {
        name for name, d in zip(net_tensors.moving_tensors(net, dir_type), made, strict=True) if d.any()
    } == {"0.weight", "1.weight", "3.weight"}


def test_params_finds_a_tied_tensor_by_each_of_its_names():
    net = nn.ModuleDict({"embedding": nn.Embedding(5, 3), "head": nn.Linear(3, 5)})
    net["head"].weight = net["embedding"].weight
    assert net_tensors.chosen(net, "states", "head") == {"embedding.weight", "head.bias"}


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ("layer9", r"^params 'layer9' is in none of the 6 names .*such as 0\.weight, .*3\.weight"),
        ("layer(", r"^params 'layer\(' is not a regular expression \(.*at position 5\)"),
    ],
)
def test_params_that_cannot_be_used(net, params, sentence):
    with pytest.raises(InputError, match=sentence):
        net_plotter.random_direction(net, "weights", params=params)


def test_an_eigenvector_becomes_a_direction(net):
    """Unit length and a sign of its own; norms, ignore and params as for random ones."""
    names = ("0.weight", "3.weight")
    vector = torch.randn(sum(net.get_parameter(name).numel() for name in names))
    made = [
        net_plotter.Recipe(vector=partial(net_plotter.from_flat, net, dir_type, names, v)).make(net, dir_type)
        for v in (vector, -3 * vector)
        for dir_type in net_tensors.DIRECTION_TYPES
    ]
    expected = vector / vector.norm() * vector[vector.abs().argmax()].sign()
    for dir_type, d in zip(2 * net_tensors.DIRECTION_TYPES, made, strict=True):
        by_name = dict(zip(net_tensors.moving_tensors(net, dir_type), d, strict=True))
        torch.testing.assert_close(torch.cat([by_name.pop(name).flatten() for name in names]), expected)
        assert not any(tensor.any() for tensor in by_name.values())
    filtered = net_plotter.vector_direction(net, "weights", made[0], norm="filter", params="^0")
    assert filters(filtered[0]) == pytest.approx(filters(net[0].weight), rel=1e-5)
    assert not any(d.any() for d in filtered[1:])


@pytest.mark.parametrize("norm", direction_parts.NORMS)
def test_an_eigenvector_of_all_parameters(net, norm):
    """Biases and norm layers count as one filter each.

    With `biasbn` they are zero, and a vector of biases alone is refused.
    """
    nn.init.normal_(net[1].bias)
    vector = [torch.randn(tensor.shape) for tensor in net.parameters()]
    made = net_plotter.vector_direction(net, "weights", vector, norm=norm)
    assert all(d.isfinite().all() and d.any() for d in made)
    if norm in ("filter", "layer"):
        assert [d.norm().item() for d in made] == pytest.approx(
            [tensor.norm().item() for tensor in net.parameters()], rel=1e-5
        )
    only_biases = [d if d.dim() == 1 else torch.zeros_like(d) for d in vector]
    with pytest.raises(InputError, match="length 0 in"):
        net_plotter.vector_direction(net, "weights", only_biases, norm=norm, ignore="biasbn")
    ends = net_plotter.vector_direction(net, "weights", only_biases, norm=norm)
    assert all(d.isfinite().all() for d in ends)


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
def test_a_gradient_becomes_a_direction_of_float32_on_the_cpu(net, dir_type):
    """Also in tensors that stay where they are."""
    vector = [
        torch.ones(d.shape, dtype=torch.float64) for d in net_tensors.moving_tensors(net, dir_type).values()
    ]
    made = net_plotter.vector_direction(net, dir_type, vector, ignore="biasbn")
    assert {(d.dtype, d.device.type) for d in made} == {(torch.float32, "cpu")}


def test_cosine():
    a, b = [torch.tensor([1.0, 0.0]), torch.tensor([2.0])], [torch.tensor([0.0, 3.0]), torch.tensor([1.0])]
    assert net_plotter.cosine(a, b) == pytest.approx(2 / (5**0.5 * 10**0.5))
    assert net_plotter.cosine(a, a) == pytest.approx(1)
    assert np.isnan(net_plotter.cosine(a, [torch.zeros(2), torch.zeros(1)]))
