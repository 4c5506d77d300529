"""Tensors in a batch of any structure are found, replaced in a copy of the same classes, and counted."""

import dataclasses
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from losslandscape.data import structure

X, Y = torch.arange(6.0).view(3, 2), torch.arange(3)


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: torch.Tensor
    name: str
    nothing: None = None


@dataclasses.dataclass(slots=True)
class Slotted:
    x: torch.Tensor
    scale: float = 2.0


class Graphs:
    """Like a batch of torch_geometric: the tensors are in a store that knows its owner."""

    def __init__(self, x, y):
        self.store = {"x": x, "y": y}
        self.owner = self

    @property
    def num_graphs(self):
        return len(self.store["y"])


class Named:
    """Like transformers' BatchEncoding: it has keys, and attributes for them."""

    def __init__(self, data):
        self.data = data

    def keys(self):
        return self.data.keys()

    def __getitem__(self, name):
        return self.data[name]

    def __getattr__(self, name):
        if name == "data" or name not in self.data:
            raise AttributeError(name)
        return self.data[name]


class AttributeDict(dict):
    __getattr__ = dict.__getitem__


BATCHES = {
    "tuple": ((X, Y), 2, 3),
    "nested": (({"a": X, "b": [X, Y]}, Y), 4, 3),
    "named tuple": (Pair(X, Y), 2, 3),
    "frozen dataclass": (Frozen(X, "text"), 1, 3),
    "slots": (Slotted(X), 1, 3),
    "ordered": (OrderedDict(x=X, y=Y), 2, 3),
    "attribute dict": (AttributeDict(x=X, y=Y), 2, 3),
    "keys": (Named({"x": X, "y": Y}), 2, 3),
    "graphs": (Graphs(X[:2], Y), 2, 3),
    "detection, listed": (([X, X], [{"boxes": X[:, :1], "name": "a"}, {"boxes": X[:0, :1]}]), 4, 2),
    "detection, all of three rows": (([X, X], [{"boxes": X}, {"boxes": X}]), 4, 2),
    "detection, stacked": ((torch.stack([X, X]), ({"boxes": X}, {"boxes": X})), 3, 2),
    "samples": ([{"image": X, "boxes": Y[:1]}, {"image": X, "boxes": Y[:2]}], 4, 2),
    "lists of tensors": (([X, X[:1]], [Y, Y[:2]]), 4, 2),
    "list of graphs": ([Frozen(X, "a"), Frozen(X[:2], "b")], 2, 2),
    "packed sequences and labels": ((pack_sequence([X, X[:1]]), Y[:2]), 2, 2),
    "graphs and labels": (({"nodes": X, "edges": X[:2]}, Y[:1]), 3, 1),
    "two inputs in a list": (([X, X[:1], X], Y[:2]), 4, None),
    "a text for each": ({"x": X, "names": ["a", "b", "c"], "epoch": 7}, 1, 3),
    "unequal": ((X, Y[:2]), 2, None),
    "a sample": ((X, torch.tensor(1)), 2, None),
    "a sample with a number": ((X, 1), 1, None),
}


@pytest.mark.parametrize("form", BATCHES)
def test_every_tensor_is_replaced_in_a_copy_of_the_same_classes(form):
    batch, count, size = BATCHES[form]
    found = structure.tensors(batch)
    assert len(found) == count and structure.size(batch) == size
    before = [tensor.clone() for tensor in found]
    copied = structure.each(batch, lambda tensor: tensor + 1)
    assert type(copied) is type(batch)
    for old, kept, new in zip(before, structure.tensors(batch), structure.tensors(copied), strict=True):
        assert torch.equal(old, kept) and torch.equal(old + 1, new)
    others = [
        [leaf for _, leaf in structure.leaves(b) if not isinstance(leaf, torch.Tensor)]
        for b in (batch, copied)
    ]
    assert others[0] == others[1]


def test_what_can_be_cut_between_any_two_samples():
    assert list(structure.columns({"x": X, "y": Y})) == ["x", "y"]
    assert list(structure.columns(Named({"x": X}))) == ["x"]
    assert list(structure.columns(Pair(X, Y))) == [0, 1]
    sparse = torch.eye(3).to_sparse()
    nested = torch.nested.nested_tensor([X, X[:1]], layout=torch.jagged)
    for batch in (
        (X, sparse),
        (nested, Y[:2]),
        (X, Y[:2]),
        (X, 1.0),
        (X, torch.tensor(1.0)),
        (X, [Y]),
        Frozen(X, "a"),
        (),
    ):
        assert structure.columns(batch) is None


def test_an_object_that_holds_itself_comes_back_once():
    graphs = structure.each(Graphs(X, Y), torch.clone)
    assert graphs.owner is graphs and graphs.store["x"] is not X


def test_the_bytes_of_a_sparse_tensor_are_those_of_its_entries():
    eye = torch.eye(1000)
    assert structure.nbytes(eye.to_sparse()) == structure.nbytes(eye.to_sparse_csr()) == 1000 * (16 + 4)
    indices, values = structure.dense_parts(eye.to_sparse_csr())
    assert np.array_equal(indices[0], np.arange(1000)) and values.sum() == 1000
