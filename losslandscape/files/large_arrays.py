"""Maps the arrays of a file into memory, and writes them block by block, so that no array is read whole.

NumPy has no bfloat16. Such numbers are 16-bit words of the type `BFLOAT16`, and HDF5 keeps its name.
"""

import mmap
from collections.abc import Iterator, Mapping
from math import prod

import numpy as np

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
BLOCK = 2**24  # bytes


def write_at(path: str, arrays: Mapping[int, np.ndarray]) -> None:
    """Write arrays into an existing file, each at its offset in bytes."""
    with open(path, "r+b") as file:
        for place, values in arrays.items():
            file.seek(place)
            for block in blocks(values):
                file.write(block.data)


def blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array's bytes in order, in blocks."""
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    for start in range(0, flat.size, BLOCK):
        yield flat[start : start + BLOCK]


def mapped(path: str) -> mmap.mmap:
    """Return a file as memory. Writes to it do not reach the file."""
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def array_at(memory: mmap.mmap, place: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array at a place of a mapped file.

    Raises:
        ValueError: the file ends before the array does.
    """
    return np.frombuffer(memory, dtype, prod(shape), place).reshape(shape)


def zeros(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of zeros that takes the memory of one number."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, dtype), shape, [0] * len(shape))


def is_one_zero(values: np.ndarray) -> bool:
    """Return whether an array was made by `zeros`."""
    return values.size > 1 and not any(values.strides) and not any(values.flat[0].tobytes())


def numbers(values: np.ndarray) -> np.ndarray:
    """Return an array of type `BFLOAT16` as float32, and any other array as it is."""
    if values.dtype != BFLOAT16:
        return values
    return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
