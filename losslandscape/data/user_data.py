"""Loads the user's own data, from a function in a file or from Python, as samples in memory.

The data of a part (`train` or `test`) is a torch Dataset, an iterable of batches such as a DataLoader, or one
batch of all samples.
"""

from collections.abc import Iterable, Sized
from functools import partial
from types import UnionType
from typing import cast

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, default_collate
from tqdm import tqdm

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.core.quantity import PARTS
from losslandscape.core.text import one_line
from losslandscape.data import samples
from losslandscape.data.dataloader import split_indices
from losslandscape.data.image_set import ImageSet
from losslandscape.data.samples import Samples, SampleSet

COLLATE_SIZE = 256  # samples of a Dataset that are collated into one batch


def load(
    spec: str,
    *,
    test_set: bool | None = False,
    data_split: int = 1,
    split_idx: int = 0,
    show_progress: bool = False,
) -> dict[str, Samples]:
    """Load the data that a function returns: training data, or a pair or a dict of training and test data.

    Args:
        spec: `FILE.py:FUNCTION` or `package.module:function`.
        test_set: whether to load the test data too; None loads them if the function returns some.
        data_split, split_idx: which split of the training data to load, as in `dataloader.split_indices`.
        show_progress: whether to draw a progress bar.

    Raises:
        user_code.OwnCodeError: the function or its dataset raises an error.
        InputError: the function returns something else, or no test data although `test_set` needs them.
    """
    what = f"dataset {spec}"
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
        options = {"name": part, "show_progress": show_progress}
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
    # torch's random_split returns a list.
    if isinstance(data, list) and _are_all(data, Dataset):
        data = tuple(data)
    if not isinstance(data, tuple) or len(data) != 2:
        return {"train": data}
    if any(isinstance(part, Tensor | np.ndarray) for part in data):  # one batch
        return {"train": data}
    return dict(zip(PARTS, data, strict=True))


def as_samples(
    data: object, data_split: int = 1, split_idx: int = 0, *, name: str = "train", show_progress: bool = False
) -> Samples:
    """Return one split of some data as samples in memory.

    Args:
        data: one of the forms that the module's docstring lists, or a set of samples.
        data_split, split_idx: which split to return, as in `dataloader.split_indices`.
        name: the name of the data in messages.
        show_progress: whether to draw a progress bar.

    Raises:
        InputError: the data have another form or no sample, or the split does not exist.
    """
    bar = partial(tqdm, desc=f"{name} data", leave=False, delay=1, disable=not show_progress)
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset) and isinstance(data, Sized):
        index = split_indices(_require_samples(len(data)), data_split, split_idx)
        groups = [index[start : start + COLLATE_SIZE] for start in range(0, len(index), COLLATE_SIZE)]
        return samples.stack(samples.as_batch(_collated(data, group)) for group in bar(groups))
    if isinstance(data, ImageSet | SampleSet):
        everything: Samples = data
    elif isinstance(data, dict) or (isinstance(data, tuple) and data and _are_all(data, Tensor | np.ndarray)):
        everything = samples.stack([samples.as_batch(data)])
    elif isinstance(data, Iterable) and not isinstance(data, str | Tensor | np.ndarray):
        everything = samples.stack(map(samples.as_batch, bar(_in_order(data))))
    else:
        raise InputError(
            f"the {name} data is of type {type(data).__name__}",
            "give a torch Dataset or an iterable of batches, tuples or dicts of tensors",
        )
    count = _require_samples(len(everything))
    return everything if data_split == 1 else everything.take(split_indices(count, data_split, split_idx))


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
