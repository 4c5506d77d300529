"""Data of any form becomes one set of samples, cut into batches of any size."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from losslandscape.core.errors import InputError
from losslandscape.data import samples, user_data


class Squares(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        return {"x": torch.tensor([float(i)]), "target": i * i}


X, Y = torch.arange(10.0).view(10, 1), torch.arange(10) ** 2
FORMS = {
    "dataset of dicts": (Squares(), {"x": X, "target": Y}),
    "dataset of tuples": (TensorDataset(X, Y), (X, Y)),
    "loader": (DataLoader(TensorDataset(X, Y), 4), (X, Y)),
    "list of batches": ([(X[:3], Y[:3]), (X[3:], Y[3:])], (X, Y)),
    "generator": (((X[i : i + 1], Y[i : i + 1]) for i in range(10)), (X, Y)),
    "one batch of arrays": ((X.numpy(), Y.numpy()), (X, Y)),
    "one dict": ({"x": X, "target": Y}, {"x": X, "target": Y}),
}


@pytest.mark.parametrize("form", FORMS)
def test_data_of_every_form_is_one_set_of_samples(form):
    data, expected = FORMS[form]
    whole = user_data.as_samples(data)
    assert len(whole) == 10 and len(whole.chunks) == 1
    for one, other in zip(samples.tensors(whole.chunks[0]), samples.tensors(expected), strict=True):
        assert torch.equal(one, other)
    assert isinstance(whole.chunks[0], dict) == isinstance(expected, dict)


def test_a_part_of_the_data_is_the_published_part():
    chosen = np.random.RandomState(0).choice(10, 10 // 3, replace=False)
    for data in (TensorDataset(X, Y), DataLoader(TensorDataset(X, Y), 4)):
        assert user_data.as_samples(data, 3, 0).chunks[0][0].flatten().tolist() == chosen.tolist()
    parts = [
        user_data.as_samples(TensorDataset(X, Y), 3, i).chunks[0][0].flatten().tolist() for i in range(3)
    ]
    assert len(set(sum(parts, []))) == 9


def test_batches_that_do_not_stack_stay_apart_and_can_be_split():
    sentences = [{"ids": torch.arange(2 * length).view(2, length)} for length in (3, 3, 5)]
    whole = user_data.as_samples(sentences)
    assert [tuple(chunk["ids"].shape) for chunk in whole.chunks] == [(4, 3), (2, 5)]
    assert [samples.size(batch) for batch in whole.raw_batches(3)] == [3, 1, 2]
    assert [tuple(chunk["ids"].shape) for chunk in whole.take(np.array([5, 0, 3])).chunks] == [(2, 3), (1, 5)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], ["no batch"]),
        (3, ["int", "iterable of batches"]),
        (["text"], ["str", "a tuple or a dict of tensors"]),
        ([["text", None]], ["list", "no tensor"]),
        ([(X, Y), {"x": X}], ["2 tensors", "a dict of x"]),
        (TensorDataset(X[:0]), ["no sample"]),
    ],
)
def test_what_is_no_data_is_named(data, words):
    with pytest.raises(InputError) as caught:
        user_data.as_samples(data)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ((TensorDataset(X), TensorDataset(X)), ["train", "test"]),
        ([TensorDataset(X), TensorDataset(X)], ["train", "test"]),
        ({"train": [X], "test": [X]}, ["train", "test"]),
        ((X, Y), ["train"]),
        ([X], ["train"]),
        ({"x": X}, ["train"]),
    ],
)
def test_train_and_test_data_are_recognised(given, parts):
    assert list(user_data.parts_of(given)) == parts


def test_a_loader_that_shuffles_gives_the_same_at_every_run():
    sets = TensorDataset(torch.arange(40.0)[:, None], torch.arange(40) % 3)
    chunks = [
        user_data.as_samples(DataLoader(sets, batch_size=7, shuffle=True)).chunks[0][0].flatten().tolist()
        for _ in range(2)
    ]
    assert chunks[0] == chunks[1] == list(range(40))
