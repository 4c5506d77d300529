"""Data of any form becomes one set of samples, cut into batches of any size."""

import itertools
import random

import numpy as np
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import losslandscape
from losslandscape.core.errors import InputError
from losslandscape.data import structure, user_data
from losslandscape.data.dataloader import split_indices
from losslandscape.evaluate.evaluation import evaluate
from losslandscape.files import h5_util
from tests.helpers import run, succeed


class Squares(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        return {"x": torch.tensor([float(i)]), "target": i * i}


class ByNumber:
    """A dataset that is not of torch's class."""

    inputs = torch.arange(10.0)

    def __len__(self):
        return 10

    def __getitem__(self, i):
        return self.inputs[i : i + 1], i * i


X, Y = torch.arange(10.0).view(10, 1), torch.arange(10) ** 2
FORMS = {
    "samples by number": (ByNumber(), (X, Y)),
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
    for one, other in zip(structure.tensors(whole.chunks[0]), structure.tensors(expected), strict=True):
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
    assert [structure.size(batch) for batch in whole.raw_batches(3)] == [3, 1, 2]
    assert [tuple(chunk["ids"].shape) for chunk in whole.take(np.array([5, 0, 3])).chunks] == [(2, 3), (1, 5)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], ["no batch"]),
        (3, ["int", "iterable of batches"]),
        (["text"], ["str", "a tuple or a dict of tensors"]),
        ([["text", None]], ["list", "no tensor"]),
        ({"training": DataLoader(TensorDataset(X, Y))}, ["dict", "no tensor"]),
        ([TensorDataset(X), TensorDataset(X), TensorDataset(X)], ["TensorDataset", "no tensor"]),
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


class Augmented(Dataset):
    """Samples with noise from each of the global generators, as transforms add it."""

    def __len__(self):
        return 6

    def __getitem__(self, i):
        return torch.tensor([i + random.random(), i + np.random.rand(), i + torch.rand(()).item()])


class RandomBatches:
    """A batch sampler that draws with NumPy, and has a length."""

    def __iter__(self):
        return (np.random.permutation(40)[:5].tolist() for _ in range(3))

    def __len__(self):
        return 3


NUMBERS = TensorDataset(torch.arange(40.0)[:, None])
RANDOM = {
    "with replacement": lambda: DataLoader(NUMBERS, 8, sampler=RandomSampler(NUMBERS, replacement=True)),
    "fewer": lambda: DataLoader(NUMBERS, 8, sampler=RandomSampler(NUMBERS, num_samples=20)),
    "weighted": lambda: DataLoader(NUMBERS, 8, sampler=WeightedRandomSampler([1.0] * 40, 20)),
    "subset": lambda: DataLoader(NUMBERS, 8, sampler=SubsetRandomSampler(range(20))),
    "own batches": lambda: DataLoader(NUMBERS, batch_sampler=RandomBatches()),
    "augmented": Augmented,
    "augmented and shuffled": lambda: DataLoader(Augmented(), 2, shuffle=True),
    "a generator": lambda: ((torch.rand(2, 3),) for _ in range(3)),
}


@pytest.mark.parametrize("form", RANDOM)
def test_random_data_is_the_same_at_every_run(form):
    runs = []
    for seed in (1, 2):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        runs.append(user_data.as_samples(RANDOM[form]()).chunks[0][0])
        assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(*runs)


def test_a_function_that_draws_its_data_gives_the_same_at_every_run(inside):
    (inside / "mine.py").write_text("import torch\ndef data(): return torch.rand(5, 2), torch.ones(5)\n")
    first, second = (user_data.load("mine.py:data")["train"].chunks[0][0] for _ in range(2))
    assert torch.equal(first, second)


RESUMED = """
import torch
from torch.utils.data import DataLoader, RandomSampler, TensorDataset
def net(): return torch.nn.Linear(3, 2)
def data():
    generator = torch.Generator(); generator.seed()
    samples = TensorDataset(torch.arange(120.0).view(40, 3) / 120, torch.arange(40) % 2)
    return DataLoader(samples, 8, sampler=RandomSampler(samples, True, generator=GENERATOR))
"""


def test_resuming_says_that_random_data_differs(inside):
    flags = ["--model", "mine.py:net", "--dataset", "mine.py:data", "--x=0:1:2", "--surf_file", "s.h5"]
    (inside / "mine.py").write_text(RESUMED.replace("GENERATOR", "generator"))
    succeed("plot_surface.py", *flags, cwd=inside)
    done = run("plot_surface.py", *flags, cwd=inside)
    assert done.returncode == 2
    assert "was made with another train samples" in done.stderr and "seed its own generator" in done.stderr
    (inside / "mine.py").write_text(RESUMED.replace("GENERATOR", "None"))
    succeed("plot_surface.py", *flags, "--overwrite", cwd=inside)
    assert "0 of 2 points" in succeed("plot_surface.py", *flags, cwd=inside)


def endless():
    while True:
        yield torch.rand(4, 3), torch.zeros(4, dtype=torch.long)


class Stream(IterableDataset):
    def __iter__(self):
        return endless()


STREAMS = {
    "generator": endless,
    "loader": lambda: DataLoader(Stream(), batch_size=None),
    "sampler without an end": lambda: DataLoader(NUMBERS, 4, sampler=iter(lambda: 3, None)),
    "cycle": lambda: itertools.cycle([(X, Y)]),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_an_endless_stream_is_refused_and_its_first_samples_are_read(stream, monkeypatch):
    monkeypatch.setattr(user_data, "MOST_SAMPLES", 100)
    with pytest.raises(
        InputError, match=r"given 1[01]\d samples \(0.00 GiB\) and may be endless.*give samples="
    ):
        user_data.as_samples(STREAMS[stream]())
    assert len(user_data.as_samples(STREAMS[stream](), count=150)) == 150
    monkeypatch.setattr(user_data, "MOST_BYTES", 30)
    with pytest.raises(InputError, match="may be endless"):
        user_data.as_samples(STREAMS[stream]())


def test_the_first_samples_from_python():
    surface = losslandscape.loss_surface(
        torch.nn.Linear(3, 2), endless(), x=(0, 1, 2), samples=10, quiet=True
    )
    assert surface.made_with["samples"] == "10"
    with pytest.raises(InputError, match="samples 0 is not a whole number"):
        losslandscape.loss_surface(torch.nn.Linear(3, 2), endless(), samples=0)


def test_data_of_a_known_length_has_no_limit(monkeypatch):
    monkeypatch.setattr(user_data, "MOST_SAMPLES", 5)
    assert len(user_data.as_samples(DataLoader(NUMBERS, 4))) == 40
    assert len(user_data.as_samples([(X, Y)] * 3)) == 30
    assert len(user_data.as_samples(iter([(X[:4], Y[:4])]))) == 4


def test_the_first_samples_of_every_form():
    for form, (data, _) in FORMS.items():
        if form != "generator":  # the first test has used it up
            first = structure.tensors(user_data.as_samples(data, count=7).chunks[0])[0]
            assert torch.equal(first, X[:7]), form
    half = user_data.as_samples(DataLoader(TensorDataset(X, Y), 4), 2, 0, count=7)
    assert half.chunks[0][0].flatten().tolist() == split_indices(7, 2, 0).tolist()
    graphs = [{"x": X, "name": "a"}, {"x": X, "name": "b"}, {"x": X, "name": "c"}]
    assert user_data.as_samples(graphs, count=12).sizes == (10, 10)
    assert len(user_data.as_samples(user_data.as_samples((X, Y)), count=3)) == 3


def test_samples_is_an_option_and_a_fact(inside):
    (inside / "mine.py").write_text(
        "import torch\n"
        "def net(): return torch.nn.Linear(3, 2)\n"
        "def data():\n    while True: yield torch.rand(4, 3), torch.zeros(4, dtype=torch.long)\n"
    )
    flags = ["--model", "mine.py:net", "--dataset", "mine.py:data", "--x=0:1:2"]
    out = succeed("plot_surface.py", *flags, "--samples", 10, cwd=inside)
    assert "samples: 10 train" in out
    (file,) = inside.glob("*_samples=10.h5")
    assert h5_util.read_surface(str(file)).made_with["samples"] == "10"
    done = run("plot_surface.py", *flags, "--samples", 11, "--surf_file", file, cwd=inside)
    assert done.returncode == 2 and "samples (there 10, here 11)" in done.stderr
    assert "10 samples" in succeed("evaluation.py", *flags[:4], "--samples", 10, cwd=inside)


def test_padding_of_the_user_is_kept():
    """Sentences of several lengths, padded by the loader's function to the longest of each batch."""
    torch.manual_seed(0)
    sentences = [torch.randint(1, 9, (length,)) for length in (3, 5, 2, 4, 6)]

    def collate(items):
        ids = torch.nn.utils.rnn.pad_sequence(items, batch_first=True)
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.linear = torch.nn.Embedding(9, 4), torch.nn.Linear(4, 9)

        def forward(self, input_ids, attention_mask):
            return self.linear(self.embedding(input_ids).cumsum(1))

    def own(net, batch):
        return net(**batch).square().mean(), len(batch["input_ids"])

    net, loader = Net(), DataLoader(sentences, 2, collate_fn=collate, shuffle=True)
    data = user_data.as_samples(loader)
    assert [tuple(chunk["input_ids"].shape) for chunk in data.chunks] == [(2, 5), (2, 4), (1, 6)]
    total, tokens, squares = 0.0, 0, 0.0
    with torch.no_grad():
        for sentence in sentences:
            logits = net(sentence[None], None)[0, :-1]
            total += torch.nn.functional.cross_entropy(logits, sentence[1:], reduction="sum").item()
            tokens += len(sentence) - 1
        for batch in (collate(sentences[i : i + 2]) for i in (0, 2, 4)):
            squares += own(net, batch)[0].item() * own(net, batch)[1]
    assert evaluate(net, data, loss="next_token")[0] == pytest.approx(total / tokens, rel=1e-6)
    assert evaluate(net, data, loss=own)[0] == pytest.approx(squares / 5, rel=1e-6)


class Rows:
    """A dataset as Hugging Face's, which is an iterable of samples too."""

    rows = [{"x": torch.full((3,), float(i)), "label": i % 2} for i in range(5)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def __getitems__(self, indices):
        return [self.rows[i] for i in indices]

    def __iter__(self):
        return iter(self.rows)


def test_a_dataset_that_iterates_over_its_samples():
    samples = user_data.as_samples(Rows())
    assert len(samples) == 5
    assert samples.chunks[0]["x"].shape == (5, 3) and samples.chunks[0]["label"].tolist() == [0, 1, 0, 1, 0]
