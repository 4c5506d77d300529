"""CUDA graphs compute the products that are computed without them; here a stand-in replays the function."""

import pytest
import torch

from losslandscape.curvature import cuda_products
from losslandscape.curvature.batch_products import KINDS, BatchProducts
from losslandscape.curvature.cuda_products import MOST_SAMPLES, largest_size
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.evaluate import cuda_graph
from tests.curvature.matrices import dense, small_data, small_net
from tests.recorded_call import RecordedCall


class Replayed(RecordedCall):
    """Counts how many are made."""

    made = 0

    def __init__(self, function, *, memory):
        Replayed.made += 1
        super().__init__(function, memory=memory)


@pytest.fixture
def captured(monkeypatch):
    """Let matrices on the CPU compute as on a GPU, and return how long each way takes there."""
    seconds = {False: 2.0, True: 1.0}
    Replayed.made = 0
    monkeypatch.setattr(Curvature, "_can_be_captured", True)
    monkeypatch.setattr(cuda_graph, "CapturedCall", Replayed)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))

    def timed(call, *, runs):
        call()
        return seconds[call.func._function.keywords["together"]]

    monkeypatch.setattr(cuda_products, "device_seconds", timed)
    return seconds


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_graphs_give_the_products_of_the_dense_matrix(captured, kind, together):
    captured[False] = 2.0 if together else 0.5
    net, data = small_net(), small_data()
    matrix = Curvature(net, data, kind=kind, batch_size=10)  # batches of 10, 10 and 3
    for count in (1, 3):
        vectors = torch.randn(count, matrix.dimension, dtype=torch.float64)
        for _ in range(3):
            expected = vectors @ dense(net, data, kind=kind)
            torch.testing.assert_close(matrix(vectors), expected)
            with torch.no_grad():
                net.linear.weight.mul_(1.1)  # a graph reads the present weights
    assert Replayed.made == 2 + 3  # both sizes of batches; with 3 vectors, the larger size in both ways


def test_a_net_in_other_memory_gets_other_graphs(captured):
    net, data = small_net(), small_data()
    matrix = Curvature(net, data)
    vector = torch.ones(matrix.dimension, dtype=torch.float64)
    matrix(vector)
    net.linear.weight.data = 2 * net.linear.weight.data
    torch.testing.assert_close(matrix(vector), dense(net, data).sum(1))
    assert Replayed.made == 2


@pytest.mark.parametrize("error", [RuntimeError("no batching rule"), torch.OutOfMemoryError("memory")])
def test_what_cannot_be_done_together_is_done_alone(captured, monkeypatch, error):
    split = BatchProducts.split

    def fails(self, rows):
        if rows.dim() > 1:
            raise error
        return split(self, rows)

    monkeypatch.setattr(BatchProducts, "split", fails)
    net, data = small_net(), small_data()
    matrix = Curvature(net, data)
    vectors = torch.randn(3, matrix.dimension, dtype=torch.float64)
    torch.testing.assert_close(matrix(vectors), vectors @ dense(net, data))


@pytest.mark.parametrize(
    ("needed", "free", "size"),
    [(10, 10, 128), (10, 79, 128), (10, 80, 256), (10, 10**9, MOST_SAMPLES), (0, 10, MOST_SAMPLES)],
)
def test_batches_grow_while_they_take_a_share_of_the_memory(needed, free, size):
    assert largest_size(128, needed, free) == size
