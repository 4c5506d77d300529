"""The probe for the fastest batch size, with times that are given."""

import itertools

import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.data.samples import SampleSet
from losslandscape.evaluate import batch_size
from losslandscape.evaluate.batch_size import Probe, fastest
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.evaluate.loss import Terms

SIZES = (1, 2, 4, 8)


def probe(times: dict[int, float], *, count: int = 100) -> tuple[int, list[int]]:
    """The fastest size, and the sizes tried; a size without a time takes too much memory."""
    tried = []

    def seconds(size: int) -> float:
        tried.append(size)
        if size not in times:
            raise torch.OutOfMemoryError
        return times[size]

    return fastest(seconds, sizes=SIZES, count=count, limit=60), tried


@pytest.mark.parametrize(
    ("times", "count", "expected"),
    [
        ({1: 4.0, 2: 3.0, 4: 2.0, 8: 1.0}, 100, (8, [1, 2, 4, 8])),
        ({1: 4.0, 2: 3.0, 4: 3.2, 8: 1.0}, 100, (8, [1, 2, 4, 8])),  # slower, but not clearly
        ({1: 4.0, 2: 3.0, 4: 3.4, 8: 1.0}, 100, (2, [1, 2, 4])),
        ({1: 4.0, 2: 3.0, 4: 2.0, 8: 1.0}, 3, (4, [1, 2, 4])),  # a batch of 4 has all samples
        ({1: 4.0, 2: 3.0}, 100, (2, [1, 2, 4])),
    ],
    ids=["larger is faster", "a little slower", "clearly slower", "few samples", "little memory"],
)
def test_larger_sizes_are_tried_while_they_are_not_clearly_slower(times, count, expected):
    assert probe(times, count=count) == expected


def test_too_little_memory_for_one_size_is_refused():
    with pytest.raises(InputError, match="1 samples.*memory.*batch_size"):
        probe({})


def test_no_larger_size_is_tried_after_the_limit_which_the_first_size_does_not_count_in(monkeypatch):
    seconds = itertools.accumulate((50, 1, 2, 1))  # when the sizes are done
    monkeypatch.setattr("time.perf_counter", lambda: float(next(seconds)))
    tried = []
    fastest(lambda size: tried.append(size) or 1 / size, sizes=SIZES, count=100, limit=2.5)
    assert tried == [1, 2, 4]


def samples(count: int) -> SampleSet:
    return SampleSet(((torch.randn(count, 4), torch.arange(count) % 3),))


def test_a_size_is_measured_on_at_least_one_batch_and_so_many_samples():
    measured = []

    def run(data, size):
        measured.append((len(data), size))
        return Terms(torch.zeros(1), 1.0)

    def clock(call):
        call()
        return 1.0  # so the time per sample is one over the number of samples

    chosen = Probe(sizes=SIZES, samples=3, limit=60, clock=clock).fastest(run, samples(6))
    assert measured == [(3, 1), (3, 2), (4, 4), (6, 8)]
    assert chosen == 8


def test_an_evaluator_chooses_the_batch_that_its_clock_finds_fastest(monkeypatch):
    batches = []

    def clock(call):
        batches.clear()
        call()
        return {1: 4.0, 2: 3.0, 4: 2.0, 8: 2.1}[batches[0]]

    monkeypatch.setattr(batch_size, "CPU", Probe(sizes=SIZES, samples=8, limit=60, clock=clock))
    net = torch.nn.Linear(4, 3)

    def loss(net, batch):
        batches.append(len(batch[0]))
        return torch.nn.functional.cross_entropy(net(batch[0]), batch[1]), len(batch[0])

    evaluator = Evaluator(net, {"train": samples(8)}, loss=loss)
    evaluator.prepare()
    assert evaluator.batch_size == 4
