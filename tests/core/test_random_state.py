"""Random numbers are the same in every seeded block, and go on as before after it."""

import random

import numpy as np
import torch

from losslandscape.core.random_state import seeded


def draws() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_equal_inside_and_unchanged_after() -> None:
    with seeded(1):
        first = draws()
    with seeded(0):
        expected = draws()  # what seed 0 gives
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    undisturbed = [*draws(), *draws()]
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    before = draws()
    with seeded(1):
        assert draws() == first != expected
    assert [*before, *draws()] == undisturbed
