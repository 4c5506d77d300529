"""Random vectors that probe a curvature matrix, and the mean of the results with its standard error."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from losslandscape.curvature.krylov import SymmetricMatrix

TOGETHER = 8  # vectors that share a pass over the data: each takes about a fifth less time than alone


def random_signs(matrix: SymmetricMatrix, count: int, generator: torch.Generator) -> Tensor:
    """Return random vectors (count, n) with entries 1 and -1, which are equal on every device."""
    shape = (count, matrix.dimension)
    bits = torch.randint(0, 2, shape, generator=generator, dtype=torch.int8)
    return (bits * 2 - 1).to(matrix.device, matrix.dtype)


def block_sizes(count: int, together: int = TOGETHER) -> Iterator[int]:
    """Cut `count` vectors into blocks that share a pass; return the number of vectors in each block."""
    return (min(together, count - start) for start in range(0, count, together))


def mean_and_error(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over the first axis, and its standard error."""
    with np.errstate(invalid="ignore"):  # infinities are results
        return samples.mean(0), samples.std(0, ddof=1) / math.sqrt(len(samples))
