"""Says from which size a net is large, so that its tensors are kept in files and read in blocks.

A large net is in memory once. Its minimiser and its directions lie in mapped files, from which the system
reads pages and drops them again.
"""

# A net of at least this many numbers is large. Those of the paper have at most 26 million.
LARGE = 2**26
BLOCK = 2**18  # numbers in a block, which fits a cache; random directions depend on it
GPU_BLOCK = 2**23  # numbers in a block that is copied to a GPU


def is_large(numbers: int) -> bool:
    """Return whether a net, or the directions of one, with this many numbers is large."""
    return numbers >= LARGE
