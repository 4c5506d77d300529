"""The user's own data, from a function in a file or from Python, as samples in memory.

The data of a part is a torch Dataset, an iterable of batches such as a DataLoader, or one batch of all
samples.
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

COLLATED = 256  # samples that are put into a batch at a time


def load(
    spec: str,
    *,
    test_set: bool = False,
    data_split: int = 1,
    split_idx: int = 0,
    show_progress: bool = False,
) -> dict[str, Samples]:
    """The data that a function returns: training data, or a pair or a dict of training and test data.

    Args:
        spec: `FILE.py:FUNCTION` or `package.module:function`.
        test_set: also the test data.
        data_split, split_idx: the part of the training data, as in `dataloader.split_indices`.
        show_progress: draw a bar.

    Raises:
        user_code.OwnCodeError: the function raises.
        InputError: it returns something else.
    """
    what = f"dataset {spec}"
    parts = parts_of(user_code.call(user_code.load(spec), what=what))
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
            # A call, because datasets run code of the user too.
            sets[part] = user_code.call(as_samples, parts[part], *split, what=what, **options)
        except user_code.OwnCodeError:
            raise
        except InputError as error:
            raise InputError(f"{what}: {error.fault}", error.advice) from error
    return sets


def parts_of(data: object) -> dict[str, object]:
    """Training and test data: from a pair, a dict with `train`, or training data alone."""
    if isinstance(data, dict) and "train" in data:
        return data
    # random_split returns a list.
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
    """A part of some data in memory.

    Args:
        data: as this module describes, or a set of samples.
        data_split, split_idx: the part, as in `dataloader.split_indices`.
        name: of the data, for messages.
        show_progress: draw a bar.

    Raises:
        InputError: this is no data, there is no sample, or no such part.
    """

    bar = partial(tqdm, desc=f"{name} data", leave=False, delay=1, disable=not show_progress)
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset) and isinstance(data, Sized):
        index = split_indices(_require_samples(len(data)), data_split, split_idx)
        groups = [index[start : start + COLLATED] for start in range(0, len(index), COLLATED)]
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
    """The same batches on every run: a loader that shuffles gives the samples in the dataset's order."""
    if not isinstance(data, DataLoader) or not isinstance(data.sampler, RandomSampler):
        return data
    takes_all_once = not data.sampler.replacement and len(data.sampler) >= len(cast(Sized, data.dataset))
    if data.batch_size is None or not takes_all_once:
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
    """Samples as a batch. Padding is the dataset's choice, so samples that do not stack are refused."""
    items = [data[int(i)] for i in index]
    try:
        return default_collate(items)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"the samples of the data do not stack to a batch ({one_line(error)})",
            "let the dataset return tensors of one shape, or give an iterable of batches",
        ) from error
