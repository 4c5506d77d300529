"""Seeds all random generators for a while, so that code that draws random numbers can be repeated."""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from losslandscape.core.provenance import Facts

FIXED_SEED = 0  # of the random numbers that every point gets, if they are fixed


def randomness_facts(fix: bool) -> Facts:
    """Return the fact that every point gets the same random numbers; empty unless `fix`."""
    return {"random numbers": f"seed {FIXED_SEED} at every point"} if fix else {}


def fixed_randomness(fix: bool) -> AbstractContextManager:
    """Return a context with the random numbers that every point gets; unless `fix`, it changes nothing."""
    return seeded(FIXED_SEED) if fix else nullcontext()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch for the block, and restore them afterwards.

    Args:
        seed: from 0 to 2^32 - 1, the range of NumPy's seeds.
    """
    import torch  # imported here: it takes seconds, and commands that draw figures do not need it

    python_state, numpy_state = random.getstate(), np.random.get_state()
    gpus = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=gpus):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
