"""The probe for the fastest batch size, with times that are given."""

import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.evaluate.batch_size import fastest

SIZES = (1, 2, 4, 8)


def probe(times: dict[int, float], *, count: int = 100) -> tuple[int, list[int]]:
    """The fastest size, and the sizes tried; a size without a time takes too much memory."""
    tried = []

    def seconds(size: int) -> float:
        tried.append(size)
        if size not in times:
            raise torch.OutOfMemoryError
        return times[size]

    return fastest(seconds, sizes=SIZES, count=count), tried


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
