"""Products and eigenvalues against dense matrices that torch.func makes, on nets of under 1,000 parameters."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.func import functional_call, hessian, jacrev, jvp

from losslandscape.cli import hessian as hessian_script
from losslandscape.core.errors import InputError
from losslandscape.curvature import lanczos
from losslandscape.curvature.hess_vec_prod import KINDS, Curvature, extreme_eigenvalues
from losslandscape.curvature.lanczos import eigenvalues
from losslandscape.data.dataloader import ImageSet
from losslandscape.data.samples import SampleSet
from losslandscape.measure import losses
from losslandscape.measure.losses import sample_losses
from losslandscape.nets import model_loader, net_plotter
from tests.helpers import SMALL_BATCH


class SmallNet(nn.Module):
    """Everything that makes second derivatives hard, in 158 parameters: batch norms, ReLUs in place, pooling, a shortcut, tied weights."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)
        self.twice = nn.Conv2d(3, 3, 3, padding=1)
        self.bare = nn.BatchNorm2d(3, affine=False)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.BatchNorm1d(3)
        self.linear = nn.Linear(3, 5)

    def forward(self, images):
        maps = self.relu(self.norm(self.conv(images)))
        maps = self.relu(maps + self.bare(self.twice(torch.tanh(self.twice(maps)))))
        return self.linear(self.last(nn.functional.max_pool2d(maps, 2).mean((2, 3))))


def small_net(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(1)
    net = SmallNet()
    for norm in (net.norm, net.bare, net.last):
        norm.running_mean.normal_(std=0.3)
        norm.running_var.uniform_(0.5, 2)
    for tensor in [net.norm.weight, net.norm.bias, net.last.weight, net.last.bias]:
        nn.init.normal_(tensor)
    return net.to(dtype)


def small_data(count: int = 23) -> ImageSet:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (count, 2, 6, 6), generator=generator, dtype=torch.uint8)
    return ImageSet(
        images, torch.randint(0, 5, (count,), generator=generator), mean=(0.4, 0.5), std=(0.2, 0.3)
    )


def dense(
    net: nn.Module,
    data: ImageSet,
    *,
    kind: str = "hessian",
    loss_name: str = "crossentropy",
    all_parameters: bool = False,
) -> torch.Tensor:
    """The matrix (n, n) from its definition, of the whole data set at once."""
    net.eval()
    chosen = {
        name: tensor.detach() for name, tensor in net.named_parameters() if all_parameters or tensor.dim() > 1
    }
    start = torch.cat([tensor.flatten() for tensor in chosen.values()])
    images = data.batch(slice(None)).to(start.dtype)

    def logits(flat):
        parts = flat.split([tensor.numel() for tensor in chosen.values()])
        return functional_call(
            net,
            {name: part.view_as(chosen[name]) for name, part in zip(chosen, parts, strict=True)},
            (images,),
        )

    def loss_of_logits(one, label):
        return sample_losses(loss_name, one[None], label[None])[0]

    def mean_loss(flat):
        return sample_losses(loss_name, logits(flat), data.labels).mean()

    if kind == "hessian":
        return hessian(mean_loss)(start).detach()
    if kind == "fisher":
        gradients = jacrev(lambda flat: sample_losses(loss_name, logits(flat), data.labels))(start)
        return (gradients.T @ gradients / len(data)).detach()
    jacobian = jacrev(logits)(start)
    inner = torch.stack(
        [hessian(loss_of_logits)(one, label) for one, label in zip(logits(start), data.labels, strict=True)]
    )
    return (torch.einsum("icp,icd,idq->pq", jacobian, inner, jacobian) / len(data)).detach()


class Dense:
    """A matrix with the interface of `Curvature`."""

    def __init__(self, matrix: torch.Tensor):
        self.matrix, self.dimension, self.dtype, self.device = (
            matrix,
            len(matrix),
            matrix.dtype,
            matrix.device,
        )
        self.products = 0

    def __call__(self, vectors):
        self.products += 1
        return vectors @ self.matrix


def with_spectrum(values, *, dtype: torch.dtype = torch.float64) -> Dense:
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(
        torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
    )
    return Dense(((basis * torch.as_tensor(values, dtype=torch.float64)) @ basis.T).to(dtype))


@pytest.mark.parametrize("loss_name", ["crossentropy", "mse"])
@pytest.mark.parametrize("all_parameters", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_products_are_those_of_the_dense_matrix(kind, all_parameters, loss_name):
    net, data = small_net(), small_data()
    expected = dense(net, data, kind=kind, loss_name=loss_name, all_parameters=all_parameters)
    matrix = Curvature(net, data, kind=kind, loss=loss_name, all_parameters=all_parameters, batch_size=10)
    assert matrix.dimension == sum(matrix.sizes) == len(expected) < 1000
    identity = torch.eye(matrix.dimension, dtype=torch.float64)
    torch.testing.assert_close(matrix(identity), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    torch.testing.assert_close(
        matrix(identity[3]), expected[3], rtol=1e-5, atol=1e-5 * float(expected.abs().max())
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [1, 7, 22, 1000])
def test_batches_that_do_not_divide_the_data_change_nothing(kind, batch_size):
    net, data = small_net(), small_data()
    vectors = torch.randn(2, Curvature(net, data).dimension, dtype=torch.float64)
    whole = Curvature(net, data, kind=kind, batch_size=23)(vectors)
    torch.testing.assert_close(
        Curvature(net, data, kind=kind, batch_size=batch_size)(vectors), whole, rtol=1e-9, atol=1e-12
    )


def test_float32_products():
    net, data = small_net(torch.float32), small_data()
    expected = dense(net.double(), data)
    net.float()
    found = Curvature(net, data, batch_size=10)(torch.eye(len(expected)))
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("model", ["vgg9", "resnet20", "densenet_cifar"])
def test_the_nets_of_the_paper(model):
    """In float32 against forward mode over reverse mode in float64, through PyTorch's own batch norms."""
    torch.manual_seed(0)
    net = model_loader.build(model).eval()
    data = ImageSet(torch.rand(2, 3, 32, 32), torch.tensor([3, 7]))
    vector = torch.randn(sum(tensor.numel() for tensor in net.parameters() if tensor.dim() > 1))
    matrix = Curvature(net, data)
    found = matrix(vector)
    net.double()
    chosen = {name: tensor.detach() for name, tensor in net.named_parameters() if tensor.dim() > 1}
    direction = dict(zip(chosen, matrix.split(vector.double()), strict=True))

    def mean_loss(weights):
        return sample_losses(
            "crossentropy", functional_call(net, weights, (data.images.double(),)), data.labels
        ).mean()

    _, expected = jvp(torch.func.grad(mean_loss), (chosen,), (direction,))
    expected = torch.cat([part.flatten() for part in expected.values()])
    assert torch.linalg.vector_norm(found - expected) < 1e-4 * torch.linalg.vector_norm(expected)


def test_the_net_comes_out_unchanged():
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
        expected = matrix(torch.ones(matrix.dimension, dtype=torch.float64))
    eigenvalues(matrix, most_products=4)
    assert (
        len(calls) == 1 + 3 * 6
    )  # a trial on two samples; of three batches each, four steps, the residuals and the one above
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert [name for name, module in net.named_modules() if not module.training] == ["norm"]
    assert [name for name, tensor in net.named_parameters() if not tensor.requires_grad] == ["conv.weight"]
    assert [name for name, tensor in net.named_parameters() if tensor.grad is not None] == ["linear.weight"]
    assert (net.linear.weight.grad == 1).all()
    assert not any("forward" in vars(module) for module in net.modules())
    handle.remove()
    torch.testing.assert_close(expected, dense(net, data).sum(0))


def test_the_net_comes_out_unchanged_where_a_product_fails():
    net, data = small_net().train(), small_data()
    with pytest.raises(InputError):
        Curvature(net, ImageSet(data.images[:, :1], data.labels))
    assert (
        net.norm.training
        and net.norm.weight.requires_grad
        and not any("forward" in vars(module) for module in net.modules())
    )


def test_extreme_eigenvalues_as_the_net_moves():
    net, data = small_net(), small_data()
    matrix = Curvature(net, data)
    with net_plotter.moving(
        net, [net_plotter.random_direction(net, "weights", norm="filter")], "weights"
    ) as move:
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


@pytest.mark.parametrize("basis_size", [30, 80])  # with many restarts, and with few
@pytest.mark.parametrize(("smallest", "largest"), [(3, 5), (0, 4), (2, 0)])
def test_top_k_with_eigenvectors(smallest, largest, basis_size, monkeypatch):
    monkeypatch.setattr(lanczos, "BASIS_SIZE", basis_size)
    net, data = small_net(), small_data()
    expected, vectors = torch.linalg.eigh(dense(net, data))
    low, high = eigenvalues(
        Curvature(net, data), smallest=smallest, largest=largest, tolerance=1e-6, most_products=600
    )
    assert [len(low), len(high)] == [smallest, largest]
    order = [*range(smallest), *range(len(expected) - 1, len(expected) - 1 - largest, -1)]
    for eigen, i in zip(low + high, order, strict=True):
        assert eigen.converged
        assert eigen.value == pytest.approx(float(expected[i]), rel=1e-5, abs=1e-7)
        assert abs(float(eigen.vector @ vectors[:, i])) == pytest.approx(1, abs=1e-4)


def test_as_eigsh_with_fewer_products_than_it_takes_for_one_end_after_the_other():
    matrix = with_spectrum(np.r_[np.linspace(-1, 1, 380), -6, -3, np.geomspace(3, 100, 18)])
    (low,), (high,) = eigenvalues(matrix, tolerance=1e-3)
    ours, matrix.products = matrix.products, 0
    operator = LinearOperator(
        (400, 400), matvec=lambda v: matrix(torch.from_numpy(v.ravel())).numpy(), dtype=float
    )
    ends = [eigsh(operator, 1, which=which, tol=1e-3, return_eigenvectors=False)[0] for which in ("SA", "LA")]
    assert [low.value, high.value] == pytest.approx([-6, 100], rel=1e-4)
    assert ends == pytest.approx([-6, 100], rel=1e-4)
    assert ours < matrix.products


def test_a_small_negative_end_is_found_beside_a_large_positive_one():
    """A residual that is small against the largest eigenvalue alone would be met by the bulk at zero, before the true end appears."""
    matrix = with_spectrum(
        np.r_[np.linspace(-0.01, 0.01, 900), -0.3, 20, 40, 60, 80, 100], dtype=torch.float32
    )
    (low,), (high,) = eigenvalues(matrix)
    assert low.converged and low.value == pytest.approx(-0.3, rel=1e-3)
    assert high.converged and high.value == pytest.approx(100, rel=1e-4)


def test_what_has_not_converged_says_so():
    matrix = with_spectrum(np.linspace(-1, 1, 500))
    (low,), (high,) = eigenvalues(matrix, most_products=10)
    assert not low.converged and not high.converged
    for eigen in (low, high):
        assert eigen.residual == pytest.approx(
            float(torch.linalg.vector_norm(matrix(eigen.vector) - eigen.value * eigen.vector))
        )
        assert eigen.residual > 1e-3


@pytest.mark.parametrize("most_products", [29, 30, 31, 32, 60])
def test_residuals_are_true_wherever_the_products_end(most_products, monkeypatch):
    monkeypatch.setattr(lanczos, "BASIS_SIZE", 30)
    matrix = with_spectrum(np.linspace(-1, 1, 500))
    (low,), (high,) = eigenvalues(matrix, most_products=most_products)
    assert -1 - 1e-12 < low.value < -0.95 and 0.95 < high.value < 1 + 1e-12


def test_the_same_seed_gives_the_same_numbers_and_another_nearly_the_same():
    matrix = with_spectrum(np.linspace(-1, 1, 300) ** 3)
    first, second, other = (eigenvalues(matrix, seed=seed)[1][0] for seed in (0, 0, 1))
    assert first.value == second.value and torch.equal(first.vector, second.vector)
    assert other.value != first.value and other.value == pytest.approx(first.value, rel=1e-4)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_matrices_smaller_than_what_is_wanted_from_both_ends(dimension):
    values = np.arange(1.0, dimension + 1)
    low, high = eigenvalues(with_spectrum(values), smallest=dimension, largest=dimension, tolerance=1e-9)
    assert [eigen.value for eigen in low] == pytest.approx(values)
    assert [eigen.value for eigen in high] == pytest.approx(values[::-1])


def test_a_zero_hessian():
    net, data = small_net(), small_data()
    nn.init.zeros_(net.linear.weight)
    nn.init.zeros_(net.norm.weight)
    nn.init.constant_(net.norm.bias, -1)
    nn.init.zeros_(net.twice.weight)
    nn.init.constant_(net.bare.running_mean, 9)  # every ReLU is off
    for kind in ("fisher", "hessian"):
        matrix = Curvature(net, data, kind=kind)
        low, high = eigenvalues(matrix, smallest=1, largest=2)
        expected = torch.linalg.eigvalsh(dense(net, data, kind=kind))
        assert [eigen.value for eigen in low + high] == pytest.approx(
            [float(expected[i]) for i in (0, -1, -2)], rel=1e-4, abs=1e-9
        )
    (low,), high = eigenvalues(Dense(torch.zeros(50, 50)), largest=3)
    assert all(eigen.value == eigen.residual == 0 and eigen.converged for eigen in [low, *high])


class NoParameterMatters(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.randn(3, 3))
        self.linear = nn.Linear(72, 5)

    def forward(self, images):
        return images.flatten(1)[:, :5] + 0 * self.linear(images.flatten(1)).detach()


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_that_its_parameters_do_not_change_is_refused(kind):
    with pytest.raises(InputError, match="no gradient by the parameters"):
        Curvature(NoParameterMatters(), small_data(), kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_that_is_not_used_has_zero_curvature(kind):
    net = small_net()
    net.unused = nn.Parameter(torch.ones(3, 3, dtype=torch.float64))
    matrix = Curvature(net, small_data(), kind=kind)
    products = matrix(torch.ones(matrix.dimension, dtype=torch.float64))
    assert {
        name: bool(part.any()) for name, part in zip(matrix.names, matrix.split(products), strict=True)
    } == {"unused": False, "conv.weight": True, "twice.weight": True, "linear.weight": True}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite(value):
    net = small_net()
    net.norm.running_var[1] = -1 if math.isnan(value) else 1
    if math.isinf(value):
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
    with pytest.raises(InputError, match="5 eigenvalues .* has 4"):
        eigenvalues(with_spectrum([1, 2, 3, 4]), largest=5)
    with pytest.raises(InputError, match="3 products"):
        eigenvalues(with_spectrum([1, 2, 3, 4]), largest=3, most_products=3)


QUICK = ["--dataset", "digits", "--data_split", "700", "--model", "resnet20"]  # 2 images


def test_the_script_prints_what_it_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model_6.t7").write_bytes(SMALL_BATCH.read_bytes())
    hessian_script.main(
        [
            *QUICK,
            "--model_folder",
            str(tmp_path),
            "--model_file",
            "model_6.t7",
            "--top",
            "2",
            "--most_products",
            "6",
            "--probes",
            "4",
            "--steps",
            "4",
            "--density_probes",
            "2",
            "--json",
            "numbers.json",
        ]
    )
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "numbers.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model_6.t7",
        "model_6.t7_hessian_density.pdf",
        "numbers.json",
    ]
    ends = found["eigenvalues"]
    assert len(ends["largest"]) == 2 and len(ends["smallest"]) == 1
    for number in (
        *(eigen["value"] for eigen in ends["largest"] + ends["smallest"]),
        found["trace"]["value"],
        found["trace"]["layers"]["linear.weight"][0],
    ):
        assert f"{number:.6g}" in printed
    assert found["parameters"]["conv1.weight"] == 432 and set(found["trace"]["layers"]) == set(
        found["parameters"]
    )
    assert found["samples"] == 2 and "NOT CONVERGED" in printed


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--model_file", "absent.t7"], "absent.t7"),
        (["--tolerance", "0"], "--tolerance"),
        (["--model_file2", "x.t7"], "--model_file2"),
        (["--only", "eigenvalues", "--most_products", "1"], "1 products"),
        (["--probes", "1", "--only", "trace"], "1 random vectors"),
        (["--only", "density", "--density_probes", "1"], "1 random vectors"),
    ],
)
def test_the_script_refuses_in_a_sentence(flags, named, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        hessian_script.main([*QUICK, *flags])
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


class Flattens(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(16, 3)

    def forward(self, images):
        return self.last(self.conv(images).tanh().view(images.size(0), -1))


def some_data(shape=(3, 4, 4)):
    torch.manual_seed(2)
    return SampleSet(((torch.randn(7, *shape), torch.arange(7) % 3),))


def test_a_net_that_flattens_by_view_and_a_loss_that_differentiates_by_all_weights():
    torch.manual_seed(0)
    net, data = Flattens(), some_data()
    calls = []

    def loss(net, batch):
        value = F.cross_entropy(net(batch[0]), batch[1])
        slopes = torch.autograd.grad(value, list(net.parameters()), create_graph=True)
        calls.append(len(slopes))
        return value

    found = Curvature(net, data, loss=losses.find(loss), batch_size=3)
    vector = torch.randn(found.dimension)
    torch.testing.assert_close(found(vector), Curvature(net, data)(vector), rtol=1e-4, atol=1e-5)
    assert calls and found.doubt() == ""


def test_a_loss_without_a_second_derivative_is_refused():
    net, data = Flattens(), some_data()

    def constant(net, batch):
        with torch.no_grad():
            return F.cross_entropy(net(batch[0]), batch[1])

    def frees_its_graph(net, batch):
        value = F.cross_entropy(net(batch[0]), batch[1])
        return value, 1.0, {"slope": torch.autograd.grad(value, net.last.bias)[0].norm()}

    with pytest.raises(InputError, match="the loss constant has no gradient"):
        Curvature(net, data, loss=losses.find(constant))
    with pytest.raises(InputError, match="create_graph=True"):
        Curvature(net, data, loss=losses.find(frees_its_graph))


def test_a_derivative_that_is_not_exact_is_told():
    torch.manual_seed(0)
    net, data = (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)), nn.Tanh(), nn.Linear(4, 3)),
        some_data((5,)),
    )
    matrix = Curvature(net, data)
    halves = torch.randn(2, matrix.dimension)
    first, second = (halves * matrix(halves).flip(0)).sum(1)
    assert (
        abs(float(first - second)) > 1e-4
    )  # PyTorch's own fault; once it is mended, this test and the warning can go
    assert "is not symmetric" in matrix.doubt()


class Diagonal:
    """A symmetric matrix of these eigenvalues, in a basis of its own."""

    def __init__(self, values, dtype):
        self.dimension, self.dtype, self.device = len(values), dtype, torch.device("cpu")
        basis = torch.linalg.qr(
            torch.randn(
                len(values), len(values), dtype=torch.float64, generator=torch.Generator().manual_seed(0)
            )
        )[0]
        self._matrix = (basis * torch.tensor(values, dtype=torch.float64) @ basis.T).to(dtype)

    def __call__(self, vectors):
        return vectors @ self._matrix


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("values", "smallest", "largest"),
    [
        ([81.0] * 3 + [float(i) for i in range(60)], 1, 4),
        ([0.0] * 20 + [float(i) for i in range(1, 40)], 3, 2),
        ([1.0] * 50, 2, 2),
        ([0.0] * 50, 2, 2),
        ([5.0, 1.0, 1.0], 2, 1),
        ([-1.0] * 10 + [-2.0] * 10 + [-3.0], 2, 3),
        ([1e-3] * 5 + [1.0] * 2 + [100.0], 2, 5),
        ([7.0, 7.0, 1.0], 0, 2),
    ],
)
def test_equal_eigenvalues_are_found_as_often_as_they_are_there(values, smallest, largest, dtype):
    low, high = eigenvalues(Diagonal(values, dtype), smallest=smallest, largest=largest, tolerance=1e-4)
    scale = max(map(abs, values))
    assert [eigen.value for eigen in low] == pytest.approx(sorted(values)[:smallest], abs=1e-4 * scale)
    assert [eigen.value for eigen in high] == pytest.approx(
        sorted(values, reverse=True)[:largest], abs=1e-4 * scale
    )
    assert all(eigen.converged for eigen in low + high)
    vectors = torch.stack([eigen.vector for eigen in high]).double()
    torch.testing.assert_close(
        vectors @ vectors.T, torch.eye(largest, dtype=torch.float64), rtol=0, atol=1e-3
    )


def test_a_search_for_equal_ones_that_has_no_products_left_is_told():
    matrix = Diagonal([float(i) for i in range(60)], torch.float64)
    low, high = eigenvalues(matrix, smallest=1, largest=3, tolerance=1e-2, most_products=36)
    assert [eigen.converged for eigen in low + high] == [True, True, False, False]


@pytest.mark.parametrize("place", ["nowhere/x.json", "."])
def test_a_place_where_nothing_can_be_written_is_told_before_computing(place, capsys):
    with pytest.raises(SystemExit) as ended:
        hessian_script.main([*QUICK, "--json", place])
    assert ended.value.code == 2 and f"--json: {place!r}" in capsys.readouterr().err
