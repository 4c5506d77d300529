"""Products with vectors agree with dense matrices that torch.func computes, on a net of 158 parameters."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, jvp

from losslandscape.core.errors import InputError
from losslandscape.curvature.hess_vec_prod import KINDS, Curvature, extreme_eigenvalues
from losslandscape.curvature.lanczos import eigenvalues
from losslandscape.data.image_set import ImageSet
from losslandscape.data.samples import SampleSet
from losslandscape.evaluate import losses
from losslandscape.evaluate.losses import sample_losses
from losslandscape.nets import model_loader, net_plotter
from losslandscape.nets.moving import moving
from tests.curvature.matrices import dense, small_data, small_net


@pytest.mark.slow
@pytest.mark.parametrize(("loss_name", "all_parameters"), [("crossentropy", False), ("mse", True)])
@pytest.mark.parametrize("kind", KINDS)
def test_products_equal_the_dense_matrix(kind, loss_name, all_parameters):
    net, data = small_net(), small_data()
    expected = dense(net, data, kind=kind, loss_name=loss_name, all_parameters=all_parameters)
    matrix = Curvature(net, data, kind=kind, loss=loss_name, all_parameters=all_parameters, batch_size=10)
    assert matrix.dimension == sum(matrix.sizes) == len(expected)
    identity = torch.eye(matrix.dimension, dtype=torch.float64)
    tolerance = dict(rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    torch.testing.assert_close(matrix(identity), expected, **tolerance)
    torch.testing.assert_close(matrix(identity[3]), expected[3], **tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_size_changes_nothing(kind):
    net, data = small_net(), small_data(23)
    whole = Curvature(net, data, kind=kind, batch_size=23)
    vectors = torch.randn(2, whole.dimension, dtype=torch.float64)
    expected = whole(vectors)
    for batch_size in (1, 7, 22, 1000):
        products = Curvature(net, data, kind=kind, batch_size=batch_size)(vectors)
        torch.testing.assert_close(products, expected, rtol=1e-9, atol=1e-12)


def test_float32_products():
    net, data = small_net(torch.float32), small_data()
    expected = dense(net.double(), data)
    net.float()
    products = Curvature(net, data, batch_size=10)(torch.eye(len(expected)))
    assert (products - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    "model", ["vgg9", "resnet20", pytest.param("densenet_cifar", marks=pytest.mark.slow)]
)
def test_the_nets_of_the_paper(model):
    """Float32 agrees with forward over reverse mode in float64, through PyTorch's own batch norms."""
    torch.manual_seed(0)
    net = model_loader.build(model).eval()
    data = ImageSet(torch.rand(2, 3, 32, 32), torch.tensor([3, 7]))
    vector = torch.randn(sum(tensor.numel() for tensor in net.parameters() if tensor.dim() > 1))
    matrix = Curvature(net, data)
    product = matrix(vector)
    net.double()
    chosen = {name: tensor.detach() for name, tensor in net.named_parameters() if tensor.dim() > 1}
    direction = dict(zip(chosen, matrix.split(vector.double()), strict=True))

    def mean_loss(weights):
        logits = functional_call(net, weights, (data.images.double(),))
        return sample_losses("crossentropy", logits, data.labels).mean()

    _, expected = jvp(torch.func.grad(mean_loss), (chosen,), (direction,))
    expected = torch.cat([part.flatten() for part in expected.values()])
    assert torch.linalg.vector_norm(product - expected) < 1e-4 * torch.linalg.vector_norm(expected)


def test_the_net_is_unchanged_afterwards():
    net, data = small_net(), small_data()
    net.train()
    net.norm.eval()
    net.conv.weight.requires_grad_(False)
    net.linear.weight.grad = torch.ones_like(net.linear.weight)
    calls = []
    handle = net.norm.register_forward_hook(lambda *_: calls.append(1))
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    rng = torch.get_rng_state()
    matrix = Curvature(net, data, batch_size=10)
    with torch.no_grad():
        product = matrix(torch.ones(matrix.dimension, dtype=torch.float64))
    eigenvalues(matrix, most_products=4)
    # A trial on two samples; then three batches each for one product, four Lanczos steps, the residuals.
    assert len(calls) == 1 + 3 * 6
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert [name for name, module in net.named_modules() if not module.training] == ["norm"]
    assert [name for name, tensor in net.named_parameters() if not tensor.requires_grad] == ["conv.weight"]
    assert [name for name, tensor in net.named_parameters() if tensor.grad is not None] == ["linear.weight"]
    assert (net.linear.weight.grad == 1).all()
    assert not any("forward" in vars(module) for module in net.modules())
    handle.remove()
    torch.testing.assert_close(product, dense(net, data).sum(0))


def test_the_net_is_unchanged_where_a_product_fails():
    net, data = small_net().train(), small_data()
    with pytest.raises(InputError):
        Curvature(net, ImageSet(data.images[:, :1], data.labels))
    assert net.norm.training and net.norm.weight.requires_grad
    assert not any("forward" in vars(module) for module in net.modules())


def test_extreme_eigenvalues_as_the_net_moves():
    net, data = small_net(), small_data()
    matrix = Curvature(net, data)
    directions = [net_plotter.random_direction(net, "weights", norm="filter")]
    with moving(net, directions, "weights") as move:
        for alpha in (0.0, 0.5, 0.0):
            move((alpha,))
            expected = torch.linalg.eigvalsh(dense(net, data))
            low, high = extreme_eigenvalues(Curvature(net, data, batch_size=10), tolerance=1e-6)
            assert low.converged and high.converged
            assert low.value == pytest.approx(float(expected[0]), rel=1e-5)
            assert high.value == pytest.approx(float(expected[-1]), rel=1e-5)
            for eigen in (low, high):
                residual = torch.linalg.vector_norm(matrix(eigen.vector) - eigen.value * eigen.vector)
                assert eigen.residual == pytest.approx(float(residual), rel=1e-3, abs=1e-12)


def test_a_net_of_zero_curvature():
    net, data = small_net(), small_data()
    nn.init.zeros_(net.linear.weight)
    nn.init.zeros_(net.norm.weight)
    nn.init.constant_(net.norm.bias, -1)
    nn.init.zeros_(net.twice.weight)
    nn.init.constant_(net.bare.running_mean, 9)  # every ReLU is off
    for kind in ("fisher", "hessian"):
        low, high = eigenvalues(Curvature(net, data, kind=kind), smallest=1, largest=2)
        expected = torch.linalg.eigvalsh(dense(net, data, kind=kind))[[0, -1, -2]].tolist()
        assert [eigen.value for eigen in low + high] == pytest.approx(expected, rel=1e-4, abs=1e-9)


class NoParameterMatters(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.randn(3, 3))
        self.linear = nn.Linear(72, 5)

    def forward(self, images):
        return images.flatten(1)[:, :5] + 0 * self.linear(images.flatten(1)).detach()


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_without_a_gradient_is_refused(kind):
    with pytest.raises(InputError, match="no gradient by the parameters"):
        Curvature(NoParameterMatters(), small_data(), kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unused_parameter_has_zero_curvature(kind):
    net = small_net()
    net.unused = nn.Parameter(torch.ones(3, 3, dtype=torch.float64))
    matrix = Curvature(net, small_data(), kind=kind)
    products = matrix(torch.ones(matrix.dimension, dtype=torch.float64))
    curved = {name: bool(part.any()) for name, part in zip(matrix.names, matrix.split(products), strict=True)}
    assert curved == {"unused": False, "conv.weight": True, "twice.weight": True, "linear.weight": True}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite(value):
    net = small_net()
    if math.isnan(value):
        net.norm.running_var[1] = -1
    else:
        net.linear.weight.data[0, 0] = math.inf
    low, high = extreme_eigenvalues(Curvature(net, small_data()))
    assert math.isnan(low.value) and math.isnan(high.value) and math.isnan(low.residual)
    assert not low.converged and high.vector is None


def test_bad_input():
    net, data = small_net(), small_data()
    with pytest.raises(ValueError, match="'jacobian'"):
        Curvature(net, data, kind="jacobian")
    with pytest.raises(InputError, match="hinge"):
        Curvature(net, data, loss="hinge")
    with pytest.raises(InputError, match="more than one dimension"):
        Curvature(nn.BatchNorm2d(2), data)
    with pytest.raises(InputError, match=r"fisher.*own_loss.*kind='hessian'"):
        Curvature(net, data, kind="fisher", loss=losses.find(own_loss))


def own_loss(net, batch):
    return F.cross_entropy(net(batch[0]), batch[1])


class Flattens(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(16, 3)

    def forward(self, images):
        return self.last(self.conv(images).tanh().view(images.size(0), -1))


def some_data(shape=(3, 4, 4)):
    torch.manual_seed(2)
    return SampleSet(((torch.randn(7, *shape), torch.arange(7) % 3),))


def test_a_net_that_flattens_by_view_and_a_loss_that_needs_all_gradients():
    torch.manual_seed(0)
    net, data = Flattens(), some_data()
    calls = []

    def loss(net, batch):
        value = own_loss(net, batch)
        slopes = torch.autograd.grad(value, list(net.parameters()), create_graph=True)
        calls.append(len(slopes))
        return value

    matrix = Curvature(net, data, loss=losses.find(loss), batch_size=3)
    vector = torch.randn(matrix.dimension)
    torch.testing.assert_close(matrix(vector), Curvature(net, data)(vector), rtol=1e-4, atol=1e-5)
    assert calls and matrix.doubt() == ""


def test_a_loss_without_a_second_derivative_is_refused():
    net, data = Flattens(), some_data()

    def constant(net, batch):
        with torch.no_grad():
            return own_loss(net, batch)

    def frees_its_graph(net, batch):
        value = own_loss(net, batch)
        return value, 1.0, {"slope": torch.autograd.grad(value, net.last.bias)[0].norm()}

    with pytest.raises(InputError, match="the loss constant has no gradient"):
        Curvature(net, data, loss=losses.find(constant))
    with pytest.raises(InputError, match="create_graph=True"):
        Curvature(net, data, loss=losses.find(frees_its_graph))


def test_a_derivative_that_is_not_exact_is_reported():
    """PyTorch's second derivative of weight norm is wrong; once it is right, the warning can go."""
    torch.manual_seed(0)
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(5, 4))
    matrix = Curvature(nn.Sequential(normed, nn.Tanh(), nn.Linear(4, 3)), some_data((5,)))
    halves = torch.randn(2, matrix.dimension)
    first, second = (halves * matrix(halves).flip(0)).sum(1)
    assert abs(float(first - second)) > 1e-4
    assert "not symmetric" in matrix.doubt()


class Cancels(nn.Module):
    """A net whose curvature is a small difference of large numbers, which float32 rounds."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(40, 3)
        self.register_buffer("large", 1000 * torch.randn(200, 40))

    def forward(self, inputs):
        squares = [(rows @ self.last.weight.T).square().sum() for rows in (self.large, self.large.flip(0))]
        return self.last(inputs) * (1 + squares[0] - squares[1])


def test_rounding_in_float32_is_no_reason_to_doubt():
    torch.manual_seed(0)
    matrix = Curvature(Cancels(), some_data((40,)))
    assert matrix._measure_asymmetry() > 1e-3  # in float32
    assert matrix.asymmetry < 1e-3 and matrix.doubt() == ""


def test_params_choose_the_rows_of_the_matrix():
    net, data = small_net(), small_data()
    whole = dense(net, data, all_parameters=True)
    rows = torch.cat(
        [
            torch.full((p.numel(),), name.startswith("linear.") and p.dim() > 1)
            for name, p in net.named_parameters()
        ]
    )
    matrix = Curvature(net, data, params=r"^linear\.")
    assert matrix.names == ("linear.weight",)
    expected = whole[rows][:, rows]
    torch.testing.assert_close(matrix(torch.eye(15, dtype=torch.float64)), expected, rtol=1e-6, atol=1e-8)
    both = Curvature(net, data, params=r"^linear\.", all_parameters=True)
    assert both.names == ("linear.weight", "linear.bias")


def test_tied_parameters_are_chosen_by_any_of_their_names():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    net[2].weight = net[0].weight
    matrix = Curvature(net, SampleSet([(torch.randn(5, 3), torch.arange(5) % 3)]), params=r"^2\.")
    assert matrix.names == ("0.weight",)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("bias", "params 'bias' matches no parameter of more than one dimension; give all_parameters=True"),
        ("fc9", "params 'fc9' is in none of the"),
        ("(", "params '(' is not a regular expression"),
    ],
)
def test_params_that_choose_nothing(params, words):
    with pytest.raises(InputError) as raised:
        Curvature(small_net(), small_data(), params=params)
    assert words in str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_those_of_the_dense_matrix(kind):
    net, data = small_net(), small_data()
    whole = dense(net, data, kind=kind, all_parameters=True)
    matrix = Curvature(net, data, kind=kind, all_parameters=True, batch_size=10)
    start = 0
    for (name, block), size in zip(matrix.blocks(), matrix.sizes, strict=True):
        part = slice(start, start + size)
        start += size
        assert block.names == (name,) and block.dimension == size
        products = block(torch.eye(size, dtype=torch.float64))
        tolerance = dict(rtol=1e-5, atol=1e-6 * float(whole.abs().max()))
        torch.testing.assert_close(products, whole[part, part], **tolerance)
        (low,), (high,) = eigenvalues(block)
        exact = torch.linalg.eigvalsh(whole[part, part])
        assert low.value == pytest.approx(float(exact[0]), rel=1e-3, abs=1e-5)
        assert high.value == pytest.approx(float(exact[-1]), rel=1e-3, abs=1e-5)
    assert matrix.dimension == len(whole)  # the whole matrix has stayed as it was
