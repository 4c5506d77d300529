"""Products on a GPU are those of the dense matrix, and after the first product CUDA graphs compute them."""

import pytest
import torch

from losslandscape.curvature.batch_products import KINDS
from losslandscape.curvature.hess_vec_prod import Curvature, extreme_eigenvalues
from losslandscape.data import dataloader
from losslandscape.nets import model_loader
from losslandscape.parallel.devices import exact_products
from tests.curvature.matrices import dense, small_data, small_net
from tests.helpers import SMALL_BATCH

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 3])
def test_products_equal_the_dense_matrix(kind, count):
    net, data = small_net(), small_data()
    vectors = torch.randn(count, len(dense(net, data)), dtype=torch.float64)
    expected = vectors @ dense(net, data, kind=kind)
    matrix = Curvature(net.cuda(), data.to("cuda"), kind=kind, batch_size=10)
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(matrix(vectors.cuda()).cpu(), expected)
    captured = len(calls)
    for _ in range(3):
        torch.testing.assert_close(matrix(vectors.cuda()).cpu(), expected)
    assert len(calls) == captured, "the net runs again, so no graph was captured"


def test_graphs_read_the_weights_of_the_moved_net():
    net, data = small_net(), small_data()
    matrix = Curvature(net.cuda(), data.to("cuda"))
    for factor in (1.0, 0.5, 2.0):
        with torch.no_grad():
            net.linear.weight.mul_(factor)
        low, high = extreme_eigenvalues(matrix, tolerance=1e-6)
        expected = torch.linalg.eigvalsh(dense(net.cpu(), data))
        net.cuda()
        assert (low.value, high.value) == pytest.approx((float(expected[0]), float(expected[-1])), rel=1e-5)


def test_float32_products_of_a_resnet_equal_those_of_the_cpu():
    net = model_loader.load("resnet20", str(SMALL_BATCH))
    data = dataloader.load("digits", "train", datapath="", data_split=16)
    on_cpu = Curvature(net, data)
    vectors = torch.randn(8, on_cpu.dimension)
    expected = on_cpu(vectors)
    with exact_products():
        products = Curvature(net.cuda(), data.to("cuda"))(vectors.cuda()).cpu()
    assert torch.linalg.vector_norm(products - expected) < 1e-4 * torch.linalg.vector_norm(expected)
