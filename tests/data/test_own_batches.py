"""Batches that cannot be cut stay those of the user, and give the values of a plain loop over them."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import losslandscape
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.data import structure, user_data
from losslandscape.data.own_batches import OwnBatches
from losslandscape.evaluate import bn_statistics, losses
from losslandscape.evaluate.evaluation import evaluate
from losslandscape.evaluate.fit_check import check_data


@dataclasses.dataclass
class Graphs:
    """The batch of a graph loader: nodes, edges, the graph of each node, and a class for each graph."""

    x: torch.Tensor
    edges: torch.Tensor
    graph: torch.Tensor
    y: torch.Tensor
    num_graphs: int


class GraphNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, batch):
        received = torch.zeros_like(batch.x).index_add(0, batch.edges[1], batch.x[batch.edges[0]])
        nodes = self.linear(batch.x + received)
        return torch.zeros(len(batch.y), 2).index_add(0, batch.graph, nodes)


def collate(sizes):
    """A batch of graphs with so many nodes, in rings."""
    generator = torch.Generator().manual_seed(sum(sizes))
    nodes, graph = sum(sizes), torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    edges = torch.stack([torch.arange(nodes), (torch.arange(nodes) + 1) % nodes])
    y = torch.tensor([size % 2 for size in sizes])
    return Graphs(torch.randn(nodes, 3, generator=generator), edges, graph, y, len(sizes))


def graph_loader():
    return DataLoader([3, 4, 6, 5, 2], batch_size=2, collate_fn=collate)


def graph_loss(net, batch):
    return nn.functional.cross_entropy(net(batch), batch.y)


def detection_loader():
    """Images of two sizes with targets, collated to lists as torchvision's detection does."""
    items = [
        (
            torch.full((1, side, side), float(side)),
            {"boxes": torch.ones(count, 4) * count, "labels": torch.arange(count)},
        )
        for side, count in ((2, 1), (3, 0), (4, 3))
    ]
    return DataLoader(items, batch_size=2, collate_fn=lambda batch: tuple(zip(*batch, strict=True)))


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 4)

    def forward(self, images, targets):
        places = [self.linear(image.mean().view(1, 1)) for image in images]
        return [(place - t["boxes"]).square().sum() for place, t in zip(places, targets, strict=True)]


def detection_loss(net, batch):
    images, targets = batch
    return torch.stack(net(list(images), [dict(t) for t in targets])).mean()


def plain_loop(net, loss, loader, size):
    with torch.no_grad():
        total = sum(loss(net, batch).item() * size(batch) for batch in loader)
    return total / sum(map(size, loader))


CASES = {
    "graphs": (GraphNet, graph_loss, graph_loader, lambda batch: batch.num_graphs),
    "detection": (Detector, detection_loss, detection_loader, lambda batch: len(batch[0])),
}


@pytest.mark.parametrize("case", CASES)
def test_a_surface_has_the_values_of_a_plain_loop(case):
    make, loss, loader, size = CASES[case]
    torch.manual_seed(0)
    net = make()
    surface = losslandscape.loss_surface(net, loader(), loss, x=(0, 1, 2), norm="", ignore="", quiet=True)
    assert surface.get("train_loss")[0] == pytest.approx(plain_loop(net, loss, loader(), size), rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 64])
def test_the_hessian_is_that_of_the_mean_over_samples(batch_size):
    torch.manual_seed(0)
    net, data = GraphNet(), user_data.as_samples(graph_loader())
    matrix = Curvature(net, data, loss=losses.find(graph_loss), batch_size=batch_size, all_parameters=True)
    parameters = list(net.parameters())

    def mean_loss(*values):
        named = dict(zip(dict(net.named_parameters()), values, strict=True))
        total = 0
        for batch in graph_loader():
            outputs = torch.func.functional_call(net, named, (batch,))
            total = total + nn.functional.cross_entropy(outputs, batch.y, reduction="sum")
        return total / 5

    blocks = torch.autograd.functional.hessian(mean_loss, tuple(parameters))
    rows = [
        torch.cat([b.reshape(p.numel(), -1) for b in row], 1)
        for p, row in zip(parameters, blocks, strict=True)
    ]
    torch.testing.assert_close(matrix(torch.eye(8)), torch.cat(rows))


def test_a_set_is_counted_taken_and_split_by_whole_batches():
    data = user_data.as_samples(graph_loader())
    assert isinstance(data, OwnBatches)
    assert (len(data), data.sizes, data.device.type) == (5, (2, 2, 1), "cpu")
    assert data.nbytes == sum(t.nbytes for batch in graph_loader() for t in structure.tensors(batch))
    assert [batch.num_graphs for batch in data.raw_batches(1)] == [2, 2, 1]
    assert data.take(np.array([4, 1])).sizes == (2, 1)
    halves = [user_data.as_samples(graph_loader(), 3, i).batches[0].x for i in range(3)]
    assert {len(x) for x in halves} == {7, 11, 2}
    with pytest.raises(InputError, match="data_split"):
        user_data.as_samples(graph_loader(), 4)


def test_net_and_loss_may_change_their_batch():
    data = user_data.as_samples(detection_loader())
    before = fingerprint_of_arrays(data.arrays())
    for batch in data.raw_batches(1):
        images, targets = data.prepared(batch)
        images[0].zero_()
        targets[0]["boxes"].zero_()
        targets[0]["extra"] = 1
    assert fingerprint_of_arrays(data.arrays()) == before


def test_fingerprints_see_structure_tensors_and_texts():
    def of(*batches):
        return fingerprint_of_arrays(OwnBatches.of(batches).arrays())

    x = torch.ones(2, 3)
    sets = [({"x": x, "n": "a"},), ({"x": x, "n": "b"},), ({"z": x, "n": "a"},), ({"x": x + 1, "n": "a"},)]
    sets += [({"x": x[:1], "n": "a"}, {"x": x[1:], "n": "a"}), ({"x": x.to_sparse(), "n": "a"},)]
    sets += [({"x": x, "n": np.zeros(2)},), ({"x": x, "n": np.ones(2)},), ({"x": x[:0], "n": "a"},)]
    assert len({of(*batches) for batches in sets}) == len(sets)
    assert of(*sets[0]) == of({"x": x.clone(), "n": "a"})


def test_batches_that_do_not_tell_their_size_need_a_weight():
    batches = [(torch.ones(4, 3), torch.ones(2)), (torch.zeros(6, 3), torch.ones(3))]
    data, net = user_data.as_samples(batches), nn.Linear(3, 1)

    def mean(net, batch):
        return net(batch[0]).mean()

    with pytest.raises(InputError, match=r"how many samples .* of type tuple.*\(mean, weight\)"):
        check_data(net, data, losses.find(mean), "net")
    weighted = losses.find(lambda net, batch: (mean(net, batch), len(batch[1])))
    check_data(net, data, weighted, "net")
    expected = sum(mean(net, batch).item() * len(batch[1]) for batch in batches) / 5
    assert evaluate(net, data, loss=weighted)[0] == pytest.approx(expected, rel=1e-6)
    alone = user_data.as_samples(batches[:1])  # the weight of a single batch is of no effect
    check_data(net, alone, losses.find(mean), "net")
    assert evaluate(net, alone, loss=mean)[0] == pytest.approx(mean(net, batches[0]).item())


def test_a_sparse_graph_keeps_its_one_batch():
    torch.manual_seed(0)
    adjacency, x, y = torch.eye(6).roll(1, 0).to_sparse(), torch.randn(6, 3), torch.arange(6) % 2
    net = nn.Linear(3, 2)

    def loss(net, batch):
        return nn.functional.cross_entropy(torch.sparse.mm(batch[1], net(batch[0])), batch[2])

    expected = nn.functional.cross_entropy(net(x).roll(1, 0), y)
    data = user_data.as_samples((x, adjacency, y))
    assert evaluate(net, data, loss=loss, batch_size=2)[0] == pytest.approx(expected.item(), rel=1e-6)


def test_own_batches_of_samples_that_can_be_cut():
    x, y = torch.arange(20.0).view(10, 2), torch.arange(10)
    data = user_data.as_samples(DataLoader(TensorDataset(x, y), 4))
    assert data.own_sizes == (4, 4, 2)
    own = data.in_own_batches()
    assert own.sizes == (4, 4, 2) and torch.equal(own.batches[1][0], x[4:8])
    part = user_data.as_samples(DataLoader(TensorDataset(x, y), 4), 2, 1)
    assert part.own_sizes == (4, 1) and [len(b[1]) for b in part.in_own_batches().batches] == [4, 1]
    assert torch.equal(torch.cat([b[1] for b in part.in_own_batches().batches]), part.chunks[0][1])
    padded = user_data.as_samples([{"ids": torch.ones(n, length)} for n, length in ((2, 3), (3, 3), (2, 5))])
    assert [tuple(batch["ids"].shape) for batch in padded.in_own_batches().batches] == [
        (2, 3),
        (3, 3),
        (2, 5),
    ]
    for one in (TensorDataset(x, y), (x, y), {"x": x}):
        assert user_data.as_samples(one).in_own_batches() is None


def test_a_real_graph_loader():
    geometric = pytest.importorskip("torch_geometric")
    from torch_geometric.loader import DataLoader as GraphLoader

    generator = torch.Generator().manual_seed(0)
    graphs = [
        geometric.data.Data(
            x=torch.randn(n, 3, generator=generator),
            edge_index=torch.tensor([[0], [1]]),
            y=torch.tensor([n % 2]),
        )
        for n in (3, 4, 6, 5, 2)
    ]

    def loss(net, batch):
        edges, nodes = batch.edge_index, batch.x
        nodes = nodes.index_add(0, edges[1], nodes[edges[0]])
        outputs = torch.zeros(batch.num_graphs, 2).index_add(0, batch.batch, net(nodes))
        return nn.functional.cross_entropy(outputs, batch.y)

    net, loader = nn.Linear(3, 2), GraphLoader(graphs, batch_size=2)
    data = user_data.as_samples(GraphLoader(graphs, batch_size=2, shuffle=True))
    assert data.sizes == (2, 2, 1) and type(data.prepared(data.batches[0])) is type(next(iter(loader)))
    expected = plain_loop(net, loss, loader, lambda batch: batch.num_graphs)
    assert evaluate(net, data, loss=loss)[0] == pytest.approx(expected, rel=1e-6)


def test_a_batch_encoding_is_cut_and_keeps_its_class():
    encoding = pytest.importorskip("transformers").BatchEncoding
    ids = torch.arange(12).view(4, 3) % 5
    data = user_data.as_samples([encoding({"input_ids": ids[:2]}), encoding({"input_ids": ids[2:]})])
    net = nn.Sequential(nn.Embedding(5, 5))
    assert {type(batch) for batch in data.raw_batches(3)} == {encoding}

    def loss(net, batch):
        return nn.functional.cross_entropy(net(batch.input_ids).flatten(0, 1), batch["input_ids"].flatten())

    expected = nn.functional.cross_entropy(net(ids).flatten(0, 1), ids.flatten())
    assert evaluate(net, data, loss=loss, batch_size=3)[0] == pytest.approx(expected.item(), rel=1e-6)

    class Net(nn.Embedding):
        def forward(self, input_ids):
            return super().forward(input_ids)

    expected = nn.functional.cross_entropy(net(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    named = Net(5, 5, _weight=net[0].weight)
    assert evaluate(named, data, loss="next_token")[0] == pytest.approx(expected.item(), rel=1e-6)
    as_dict = user_data.as_samples([{"input_ids": ids[:2]}, {"input_ids": ids[2:]}])
    assert fingerprint_of_arrays(data.arrays()) == fingerprint_of_arrays(as_dict.arrays())


def test_batch_norms_are_estimated_from_whole_batches():
    """Enough random batches for the number of samples, each once."""
    data = OwnBatches.of([{"x": torch.full((4, 1), float(i)), "name": "a"} for i in range(10)])
    part = bn_statistics.random_part(data, 10)
    assert part.sizes == (4, 4, 4) and len({batch["x"][0].item() for batch in part.batches}) == 3
    assert bn_statistics.random_part(data, 1000).sizes == data.sizes


RAGGED = {
    "nested": lambda x: torch.nested.as_nested_tensor(x, layout=torch.jagged),
    "packed": lambda x: torch.nn.utils.rnn.pack_sequence(x, enforce_sorted=False),
}


@pytest.mark.parametrize("form", RAGGED)
def test_sequences_of_several_lengths_in_one_tensor(form):
    torch.manual_seed(0)
    sequences, y = [torch.randn(n, 3) for n in (2, 4, 3)], torch.arange(3.0)
    batches = [(RAGGED[form](sequences[low:high]), y[low:high]) for low, high in ((0, 2), (2, 3))]
    net = nn.LSTM(3, 1, batch_first=True)

    def loss(net, batch):
        rows = batch[0].unbind() if form == "nested" else torch.nn.utils.rnn.unpack_sequence(batch[0])
        return sum((net(row)[0].sum() - y) ** 2 for row, y in zip(rows, batch[1], strict=True)) / len(rows)

    data = user_data.as_samples(batches)
    assert isinstance(data, OwnBatches) and data.sizes == (2, 1)
    expected = sum((net(x)[0].sum() - y).item() ** 2 for x, y in zip(sequences, y, strict=True)) / 3
    assert evaluate(net, data, loss=loss)[0] == pytest.approx(expected, rel=1e-5)
    prints = [fingerprint_of_arrays(user_data.as_samples(batches, 2, i).arrays()) for i in (0, 1)]
    assert prints[0] != prints[1]
