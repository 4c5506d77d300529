"""Directions are normalised by the weights that layers compute with, measured by moving the net a little."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils import spectral_norm as old_spectral_norm

from losslandscape.nets import net_plotter, net_tensors
from losslandscape.nets.moving import moving
from tests.nets.test_net_tensors import conv1d_like_gpt2s, the_real_conv1d

STEP = 1e-3


class Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).T


class Masked(nn.Module):
    def __init__(self, mask: Tensor):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask


class LowRank(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        u, s, v = torch.linalg.svd(weight, full_matrices=False)
        return u[:, :3] * s[:3], v[:3]


class Adapter(nn.Module):
    """A low-rank adapter as it is before training: its second factor is zero."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(6, 2)), nn.Parameter(torch.zeros(2, 7))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.a @ self.b


class EqualRate:
    """A hook as in StyleGAN's published code: the weight is a stored one times a constant."""

    def __init__(self, name: str):
        self.name = name

    def __call__(self, module: nn.Module, inputs: object) -> None:
        setattr(module, self.name, 0.1 * getattr(module, f"{self.name}_orig"))


def equal_rate(module: nn.Module) -> nn.Module:
    weight = module.weight
    del module._parameters["weight"]
    module.weight_orig = weight
    module.register_forward_pre_hook(EqualRate("weight"))
    return module


def pruned(module: nn.Module, amount: float = 0.8) -> nn.Module:
    return prune.random_unstructured(module, "weight", amount)


def parametrized(module: nn.Module, parametrization: nn.Module, **options: bool) -> nn.Module:
    return parametrize.register_parametrization(module, "weight", parametrization, **options)


def old_weight_norm(module: nn.Module) -> nn.Module:
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(module)


LAYERS = {  # a layer, and the shape of its input
    "pruned Linear": (lambda: pruned(nn.Linear(9, 6)), (9,)),
    "pruned twice": (lambda: prune.l1_unstructured(pruned(nn.Linear(9, 6), 0.3), "weight", 0.5), (9,)),
    "pruned Conv2d": (lambda: pruned(nn.Conv2d(4, 6, 3)), (4, 5, 5)),
    "pruned ConvTranspose2d": (lambda: pruned(nn.ConvTranspose2d(4, 6, 3, groups=2)), (4, 5, 5)),
    "pruned filters": (lambda: prune.ln_structured(nn.Conv2d(4, 6, 3), "weight", 0.5, 2, 0), (4, 5, 5)),
    "pruned Conv1D, stand-in": (lambda: pruned(conv1d_like_gpt2s(9, 6)), (9,)),
    "pruned Conv1D of transformers": (lambda: pruned(the_real_conv1d(9, 6)), (9,)),
    "mask": (lambda: parametrized(nn.Linear(9, 6), Masked((torch.rand(6, 9) > 0.7).float())), (9,)),
    "mask of booleans": (lambda: parametrized(nn.Linear(9, 6), Masked(torch.rand(6, 9) > 0.7)), (9,)),
    "softplus": (lambda: parametrized(nn.ConvTranspose2d(2, 6, 3), nn.Softplus()), (2, 5, 5)),
    "two in a row": (
        lambda: parametrized(parametrized(nn.Linear(9, 6), nn.Tanh()), Masked(torch.rand(6, 9) > 0.7)),
        (9,),
    ),
    "symmetric": (lambda: parametrized(nn.Linear(8, 8), Symmetric()), (8,)),
    "low rank": (lambda: parametrized(nn.Linear(16, 20), LowRank(), unsafe=True), (16,)),
    "adapter": (lambda: parametrized(nn.Linear(7, 6), Adapter()), (7,)),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Conv2d(4, 6, 3)), (4, 5, 5)),
    "weight norm of all": (lambda: parametrizations.weight_norm(nn.Linear(9, 6), dim=None), (9,)),
    "weight norm, transposed": (
        lambda: parametrizations.weight_norm(nn.ConvTranspose2d(4, 6, 3)),
        (4, 5, 5),
    ),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Conv2d(4, 6, 3)), (4, 5, 5)),
    "orthogonal, square": (lambda: parametrizations.orthogonal(nn.Linear(9, 9)), (9,)),
    "orthogonal, tall": (lambda: parametrizations.orthogonal(nn.Linear(9, 12)), (9,)),
    "orthogonal, wide": (lambda: parametrizations.orthogonal(nn.Linear(12, 9)), (12,)),
    "old weight norm": (lambda: old_weight_norm(nn.Linear(9, 6)), (9,)),
    "old spectral norm": (lambda: old_spectral_norm(nn.Linear(9, 6)), (9,)),
    "a user's hook": (lambda: equal_rate(nn.Linear(9, 6)), (9,)),
}


def layer_and_input(name: str) -> tuple[nn.Module, Tensor]:
    """A layer in double precision, a little away from where it starts, and an input for it."""
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer = make().double()
    with torch.no_grad():
        for stored in layer.parameters():
            if "orthogonal" not in name:
                stored *= 1 + 0.1 * torch.randn_like(stored)
    images = torch.randn(2, *shape, dtype=torch.float64)
    for _ in range(20):  # spectral norm finds the largest singular value in training
        layer.train()(images)
    return layer.eval(), images


def weight_at(layer: nn.Module, images: Tensor) -> Tensor:
    """The weight that the layer computes with, outputs first."""
    layer(images)  # hooks compute the weight here
    weight = layer.weight.detach().clone()
    if isinstance(layer, nn.ConvTranspose2d):
        groups = weight.unflatten(0, (layer.groups, -1))
        return groups.transpose(1, 2).flatten(0, 1)
    return weight.T if "Conv1D" in type(layer).__name__ else weight


def motion(layer: nn.Module, images: Tensor, direction: list[Tensor], dir_type: str = "weights") -> Tensor:
    """How far the weight moves by a step of 1 along a direction, from two small steps."""
    weights = []
    with moving(layer, [direction], dir_type) as move:
        for step in (-STEP, STEP):
            move((step,))
            weights.append(weight_at(layer, images))
    return (weights[1] - weights[0]) / (2 * STEP)


def made(layer: nn.Module, dir_type: str = "weights", **options: str) -> list[Tensor]:
    torch.manual_seed(1)
    return net_plotter.random_direction(layer, dir_type, **options)


def filters(weight: Tensor) -> list[float]:
    return weight.flatten(1).norm(dim=1).tolist()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("norm", ["filter", "dfilter", "layer", "dlayer"])
def test_the_weight_moves_by_the_norm(name, norm):
    layer, images = layer_and_input(name)
    weight = weight_at(layer, images)
    moved = motion(layer, images, made(layer, norm=norm, ignore="biasbn"))
    expected = {
        "filter": filters(weight),
        "dfilter": [float(length > 0) for length in filters(weight)],  # a pruned filter stays
        "layer": weight.norm().item(),
        "dlayer": 1,
    }[norm]
    found = filters(moved) if "filter" in norm else moved.norm().item()
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-9)


@pytest.mark.parametrize("name", LAYERS)
def test_states_move_the_weight_as_parameters_do(name):
    layer, images = layer_and_input(name)
    moved = motion(layer, images, made(layer, "states", norm="filter", ignore="biasbn"), "states")
    assert filters(moved) == pytest.approx(filters(weight_at(layer, images)), rel=2e-3, abs=1e-9)


def test_pruned_entries_stay_and_the_rest_is_only_scaled():
    layer, _ = layer_and_input("pruned Conv2d")
    torch.manual_seed(1)
    drawn = [torch.randn(stored.shape) for stored in layer.parameters()]
    names = [name for name, _ in layer.named_parameters()]
    direction = dict(zip(names, made(layer, norm="filter", ignore="biasbn"), strict=True))
    mask = layer.weight_mask.bool()
    assert not direction["weight_orig"][~mask].any()
    for d, r in zip(direction["weight_orig"] * mask, drawn[names.index("weight_orig")] * mask, strict=True):
        assert torch.allclose(d / d.norm(), r / r.norm(), atol=1e-6) or not r.any()


@pytest.mark.parametrize("norm", ["", "weight"])
def test_without_lengths_to_reach_only_pruned_entries_are_left_out(norm):
    layer, _ = layer_and_input("pruned Linear")
    torch.manual_seed(1)
    drawn = [torch.randn(stored.shape) for stored in layer.parameters()]
    place = [name for name, _ in layer.named_parameters()].index("weight_orig")
    stored = layer.weight_orig.float() if norm else 1
    torch.testing.assert_close(
        made(layer, norm=norm)[place], drawn[place] * layer.weight_mask * stored, check_dtype=False
    )


def test_as_many_draws_and_other_layers_as_before():
    """A pruned layer draws what it would without a mask, and its neighbours do not notice."""

    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))

    plain, part = net(), net()
    pruned(part[1], 0.5)
    first, second = made(plain, norm="filter"), made(part, norm="filter")
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    torch.manual_seed(1)
    net_plotter.random_direction(plain, "weights", norm="filter")
    after = torch.randn(3)
    torch.manual_seed(1)
    net_plotter.random_direction(part, "weights", norm="filter")
    assert torch.equal(after, torch.randn(3))


def test_what_params_chooses_has_the_norm_alone():
    layer, images = layer_and_input("weight norm")
    for params in ("original0", "original1"):
        moved = motion(layer, images, made(layer, norm="filter", ignore="biasbn", params=params))
        assert filters(moved) == pytest.approx(filters(weight_at(layer, images)), rel=2e-3)


def test_an_adapter_whose_second_factor_is_zero_moves_with_its_first():
    layer, _ = layer_and_input("adapter")
    names = [name for name, _ in layer.named_parameters()]
    direction = dict(zip(names, made(layer, norm="filter", ignore="biasbn"), strict=True))
    assert direction["parametrizations.weight.0.a"].all() and direction["parametrizations.weight.0.b"].all()


@pytest.mark.parametrize("norm", ["filter", "layer"])
@pytest.mark.parametrize("name", ["pruned Conv2d", "weight norm", "symmetric"])
def test_a_vector_with_a_norm_moves_the_weight_by_it(name, norm):
    layer, images = layer_and_input(name)
    vector = [torch.randn(stored.shape) for stored in layer.parameters()]
    direction = net_plotter.vector_direction(layer, "weights", vector, norm=norm, ignore="biasbn")
    moved, weight = motion(layer, images, direction), weight_at(layer, images)
    found, expected = (
        (filters(moved), filters(weight)) if norm == "filter" else (moved.norm().item(), weight.norm().item())
    )
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-9)


def test_a_pruned_bias_is_copied_without_its_pruned_entries():
    layer = prune.random_unstructured(nn.Linear(4, 8), "bias", 0.5)
    place = [name for name, _ in layer.named_parameters()].index("bias_orig")
    assert torch.equal(made(layer, norm="filter")[place], layer.bias_orig * layer.bias_mask)


def test_towards_another_net_is_the_difference_of_what_is_stored():
    here, there = (pruned(nn.Linear(4, 3)) for _ in range(2))
    direction = net_plotter.target_direction(here, there, "weights")
    for d, (a, b) in zip(direction, zip(here.parameters(), there.parameters(), strict=True), strict=True):
        torch.testing.assert_close(d, (b - a).detach())


def test_the_net_and_the_generator_are_left_as_they_are():
    """In training mode too, where spectral norm changes its buffers and dropout draws."""
    torch.manual_seed(0)
    net = nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(5, 4)),
        old_spectral_norm(nn.Linear(4, 4)),
        parametrized(nn.Linear(4, 3), nn.Dropout(0.5)),
        pruned(nn.Linear(3, 3)),
    ).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(1)
    for value in net.parameters():
        torch.randn(value.shape)
    after = torch.randn(3)
    torch.manual_seed(1)
    net_plotter.random_direction(net, "weights", norm="filter")
    assert torch.equal(after, torch.randn(3))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sign()


def test_a_weight_without_derivative_is_normalised_as_it_is_stored():
    layer = parametrized(nn.Linear(5, 4), Rounded())
    place = [name for name, _ in layer.named_parameters()].index("parametrizations.weight.original")
    direction = made(layer, norm="filter")[place]
    assert filters(direction) == pytest.approx(filters(layer.parametrizations.weight.original), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    torch.manual_seed(0)
    layer = pruned(nn.Linear(64, 6)).to(dtype)
    direction = made(layer, norm="filter", ignore="biasbn")
    place = [name for name, _ in layer.named_parameters()].index("weight_orig")
    assert direction[place].dtype == torch.float32
    expected = (layer.weight_orig * layer.weight_mask).double()
    assert filters(direction[place]) == pytest.approx(filters(expected), rel=1e-3)


def test_a_parameter_of_two_layers_belongs_to_the_first():
    first, second = pruned(nn.Linear(5, 5), 0.5), pruned(nn.Linear(5, 5), 0.5)
    second.weight_orig = first.weight_orig
    direction = made(nn.Sequential(first, second), norm="filter", ignore="biasbn")
    names = list(net_tensors.moving_tensors(nn.Sequential(first, second), "weights"))
    effective = direction[names.index("0.weight_orig")] * first.weight_mask
    assert filters(effective) == pytest.approx(filters(first.weight_orig * first.weight_mask), rel=1e-4)
