"""Loads the user's own data, from a function in a file or from Python, as samples in memory.

The data of a part (`train` or `test`) is a torch Dataset, an iterable of batches such as a DataLoader, or one
batch of all samples. It is read while all global random numbers are seeded, so that a loader that draws
samples at random, or augments them, gives the same at every run.
"""

from collections.abc import Iterable, Iterator, Sized
from functools import partial
from types import UnionType
from typing import Any, cast

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, default_collate
from tqdm import tqdm

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.core.quantity import PARTS
from losslandscape.core.random_state import seeded
from losslandscape.core.text import one_line
from losslandscape.data import samples
from losslandscape.data.dataloader import split_indices
from losslandscape.data.image_set import ImageSet
from losslandscape.data.own_batches import OwnBatches
from losslandscape.data.samples import Batch, Samples, SampleSet
from losslandscape.data.structure import is_named, nbytes, size, tensors

COLLATE_SIZE = 256  # samples of a Dataset that are collated into one batch
READING_SEED = 0  # of all random numbers that are drawn while data is read
# A stream without a known length is refused as endless when it has given more than one of these.
MOST_SAMPLES = 1_000_000
MOST_BYTES = 2**30
TENSOR_BYTES = 1000  # what a tensor takes beside its values


def load(
    spec: str,
    *,
    test_set: bool | None = False,
    data_split: int = 1,
    split_idx: int = 0,
    count: int | None = None,
    show_progress: bool = False,
) -> dict[str, Samples]:
    """Load the data that a function returns: training data, or a pair or a dict of training and test data.

    Args:
        spec: `FILE.py:FUNCTION` or `package.module:function`.
        test_set: whether to load the test data too; None loads them if the function returns some.
        data_split, split_idx: which split of the training data to load, as in `dataloader.split_indices`.
        count: the number of samples of each part to read before the split; None for all.
        show_progress: whether to draw a progress bar.

    Raises:
        user_code.OwnCodeError: the function or its dataset raises an error.
        InputError: the function returns something else, or no test data although `test_set` needs them.
    """
    what = f"dataset {spec}"
    with seeded(READING_SEED):
        parts = parts_of(user_code.call(user_code.load(spec), what=what))
    if test_set is None:
        test_set = parts.get("test") is not None
    if test_set and parts.get("test") is None:
        advice = "return (train, test), or leave {test_set} out"
        raise InputError(f"{what} returned no test data", advice)
    splits = {"train": (data_split, split_idx)}
    if test_set:
        splits["test"] = (1, 0)
    sets = {}
    for part, split in splits.items():
        options = {"name": part, "count": count, "show_progress": show_progress}
        try:
            # Through user_code.call, because a dataset also runs code of the user.
            sets[part] = user_code.call(as_samples, parts[part], *split, what=what, **options)
        except user_code.OwnCodeError:
            raise
        except InputError as error:
            raise InputError(f"{what}: {error.fault}", error.advice) from error
    return sets


def parts_of(data: object) -> dict[str, object]:
    """Return data by part, from a pair (train, test), a dict with `train`, or training data alone."""
    if isinstance(data, dict) and "train" in data:
        return data
    if isinstance(data, list) and _are_all(data, Dataset):  # as torch's random_split returns them
        data = tuple(data)
    if not isinstance(data, tuple) or len(data) != 2:
        return {"train": data}
    if any(isinstance(part, Tensor | np.ndarray) for part in data):  # one batch
        return {"train": data}
    return dict(zip(PARTS, data, strict=True))


def as_samples(
    data: object,
    data_split: int = 1,
    split_idx: int = 0,
    *,
    name: str = "train",
    count: int | None = None,
    show_progress: bool = False,
) -> Samples:
    """Return one split of some data as samples in memory.

    Args:
        data: one of the forms that the module's docstring lists, or a set of samples.
        data_split, split_idx: which split to return, as in `dataloader.split_indices`. Batches that cannot be
            cut are split as wholes.
        name: the name of the data in messages.
        count: the number of samples to read before the split; None for all. The last batch is cut if it can
            be.
        show_progress: whether to draw a progress bar.

    Raises:
        InputError: the data have another form or no sample, or seem endless, or the split does not exist.
    """
    bar = partial(tqdm, desc=f"{name} data", leave=False, delay=1, disable=not show_progress)
    with seeded(READING_SEED):
        if _is_dataset(data):
            return _from_dataset(data, data_split, split_idx, count, bar)
        everything = _whole(data, name, count, bar)
    _require_samples(len(everything))
    if data_split == 1:
        return everything
    if isinstance(everything, OwnBatches):
        return everything.pick(split_indices(len(everything.batches), data_split, split_idx))
    return everything.take(split_indices(len(everything), data_split, split_idx))


def _from_dataset(
    data: Any, data_split: int, split_idx: int, count: int | None, bar: partial[tqdm]
) -> Samples:
    """Collate the chosen samples of a dataset; the others are not read."""
    length = _require_samples(len(data))
    index = split_indices(min(length, count or length), data_split, split_idx)
    groups = [index[start : start + COLLATE_SIZE] for start in range(0, len(index), COLLATE_SIZE)]
    batches = (samples.as_batch(_collated(data, group)) for group in bar(groups))
    return samples.gather(batches, are_own=False)


def _whole(data: Any, name: str, count: int | None, bar: partial[tqdm]) -> Samples:
    """Return all samples of some data, or the first `count`."""
    if isinstance(data, ImageSet | SampleSet | OwnBatches):
        return data if count is None else data.take(np.arange(min(count, len(data))))
    if _is_batch(data):
        batch = samples.as_batch(data)
        return samples.gather([batch if count is None else samples.cut(batch, count)], are_own=False)
    if isinstance(data, Iterable) and not isinstance(data, str | Tensor | np.ndarray):
        with bar(_in_order(data)) as progress:
            batches = map(samples.as_batch, progress)
            read = _limited(batches, data, name) if count is None else _first(batches, count)
            return samples.gather(read, are_own=True)
    raise InputError(
        f"the {name} data is of type {type(data).__name__}",
        "give a torch Dataset or an iterable of batches, tuples or dicts of tensors",
    )


def _is_dataset(data: object) -> bool:
    """Return whether some data has a length and gives each sample by its number, as torch's Datasets do."""
    if isinstance(data, Dataset):
        return isinstance(data, Sized) and not isinstance(data, IterableDataset)
    if hasattr(data, "__getitems__"):  # a Dataset of Hugging Face, which also iterates over its samples
        return True
    return isinstance(data, Sized) and hasattr(data, "__getitem__") and not isinstance(data, Iterable)


def _is_batch(data: object) -> bool:
    """Return whether some data is one batch of all samples, not an iterable of batches."""
    if isinstance(data, tuple) and data:
        return hasattr(data, "_fields") or _are_all(data, Tensor | np.ndarray)
    if is_named(data):
        return True
    return not isinstance(data, Iterable) and bool(tensors(data))


def _first(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """Yield the first batches, until they hold `count` samples; cut the last if it can be cut."""
    for batch in batches:
        yield samples.cut(batch, count)
        count -= size(batch) or 1
        if count <= 0:
            return


def _limited(batches: Iterable[Batch], data: Iterable, name: str) -> Iterator[Batch]:
    """Yield the batches of some data; refuse a stream that seems endless.

    Raises:
        InputError: more batches came than the data's length says, and so many samples or bytes that the data
            probably never ends.
    """
    read, memory, expected = 0, 0, _length(data)
    for number, batch in enumerate(batches, 1):
        read += size(batch) or 1
        memory += sum(nbytes(tensor) + TENSOR_BYTES for tensor in tensors(batch))
        if number > expected and (read > MOST_SAMPLES or memory > MOST_BYTES):
            raise InputError(
                f"the {name} data has given {read:,} samples ({memory / 2**30:.2f} GiB) and may be endless, "
                "because it has no length",
                "give {samples}, the number of samples to read",
            )
        yield batch


def _length(data: Iterable) -> int:
    """Return the number of batches that some data says it has, or 0 if it does not say it."""
    try:
        return len(cast(Sized, data))
    except (TypeError, NotImplementedError):
        return 0


def _are_all(values: Iterable[object], kind: type | UnionType) -> bool:
    return all(isinstance(value, kind) for value in values)


def _require_samples(count: int) -> int:
    if count == 0:
        raise InputError("the data has no sample", "give at least one")
    return count


def _in_order(data: Iterable[object]) -> Iterable[object]:
    """Return the data; replace a DataLoader that shuffles all samples by one in the dataset's order.

    So every run gets the same batches.
    """
    if not isinstance(data, DataLoader) or not isinstance(data.sampler, RandomSampler):
        return data
    draws_all_once = not data.sampler.replacement and len(data.sampler) >= len(cast(Sized, data.dataset))
    if data.batch_size is None or not draws_all_once:
        return data
    return DataLoader(
        data.dataset,
        batch_size=data.batch_size,
        collate_fn=data.collate_fn,
        num_workers=data.num_workers,
        drop_last=data.drop_last,
        worker_init_fn=data.worker_init_fn,
    )


def _collated(data: Dataset, index: Iterable[int]) -> object:
    """Return these samples as a batch.

    Raises:
        InputError: the samples differ in shape. They are not padded, because only the user can choose how.
    """
    items = [data[int(i)] for i in index]
    try:
        return default_collate(items)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"the samples of the data do not stack to a batch ({one_line(error)})",
            "let the dataset return tensors of one shape, or give an iterable of batches",
        ) from error
