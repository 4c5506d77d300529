"""The user's own data: what a function returns, as samples in memory.

`--dataset FILE.py:FUNCTION`; the function returns the training data, or a pair or a dict of training and test data. Data are a torch
Dataset, an iterable of batches such as a DataLoader, or one batch with all samples.
"""

from collections.abc import Iterable, Sized
from functools import partial

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, default_collate
from tqdm import tqdm

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line
from losslandscape.data import samples
from losslandscape.data.dataloader import ImageSet, split_indices
from losslandscape.data.samples import SampleSet

COLLATED = 256  # samples that are put together at a time


def load(
    spec: str, *, test_set: bool, data_split: int = 1, split_idx: int = 0, show_progress: bool = False
) -> dict[str, SampleSet]:
    """Train data, or a random part of it as `dataloader.split_indices` chooses, and test data if asked for.

    Raises:
        user_code.OwnCodeError: if the function raises.
        InputError: saying what was expected and what came, where it returns something else.
    """
    what = f"--dataset {spec}"
    parts = parts_of(user_code.call(user_code.load(spec), what=what))
    if test_set and parts.get("test") is None:
        raise InputError(
            f"{what} returned no test data, which --test_set needs; return (train, test), or leave --test_set out"
        )
    chosen = {"train": (data_split, split_idx), **({"test": (1, 0)} if test_set else {})}
    try:
        return {
            part: user_code.call(
                partial(as_samples, parts[part], *split, name=part, show_progress=show_progress), what=what
            )
            for part, split in chosen.items()
        }
    except user_code.OwnCodeError:
        raise
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


def parts_of(given: object) -> dict[str, object]:
    """Train and test data in what was given: a pair, a dict with `train`, or train data alone."""
    if isinstance(given, SampleSet | ImageSet) or isinstance(given, dict) and "train" not in given:
        return {"train": given}
    if isinstance(given, dict):
        return given
    if (
        isinstance(given, list) and len(given) == 2 and all(isinstance(part, Dataset) for part in given)
    ):  # as random_split returns
        given = tuple(given)
    if (
        isinstance(given, tuple)
        and len(given) == 2
        and not any(isinstance(part, Tensor | np.ndarray) for part in given)
    ):
        return dict(zip(("train", "test"), given, strict=True))
    return {"train": given}


def as_samples(
    data: object, data_split: int = 1, split_idx: int = 0, *, name: str = "train", show_progress: bool = False
) -> SampleSet | ImageSet:
    """A part of the data in memory. Raises `InputError` for what is no data, and for a bad split."""
    progress = {"desc": f"{name} data", "leave": False, "delay": 1, "disable": not show_progress}
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset) and isinstance(data, Sized):
        index = split_indices(_not_empty(len(data)), data_split, split_idx)
        groups = [index[start : start + COLLATED] for start in range(0, len(index), COLLATED)]
        return samples.stack(
            samples.as_batch(_collated([data[int(i)] for i in group])) for group in tqdm(groups, **progress)
        )
    if isinstance(data, SampleSet | ImageSet):
        whole = data
    elif (
        isinstance(data, dict)
        or isinstance(data, tuple)
        and data
        and all(isinstance(part, Tensor | np.ndarray) for part in data)
    ):
        whole = samples.stack([samples.as_batch(data)])
    elif isinstance(data, Iterable) and not isinstance(data, str | Tensor | np.ndarray):
        whole = samples.stack(map(samples.as_batch, tqdm(_in_order(data), **progress)))
    else:
        raise InputError(
            f"the {name} data is of type {type(data).__name__}; give a torch Dataset or an iterable of batches, tuples or dicts of tensors"
        )
    _not_empty(len(whole))
    return whole if data_split == 1 else whole.take(split_indices(len(whole), data_split, split_idx))


def _in_order(data: Iterable[object]) -> Iterable[object]:
    """The same batches at every run, for a loader that shuffles, such as that of a training: its samples, in the order of the data set."""
    shuffles = (
        isinstance(data, DataLoader)
        and isinstance(data.sampler, RandomSampler)
        and not data.sampler.replacement
        and data.batch_size is not None
    )
    if not shuffles or len(data.sampler) < len(data.dataset):
        return data
    return DataLoader(
        data.dataset,
        batch_size=data.batch_size,
        collate_fn=data.collate_fn,
        num_workers=data.num_workers,
        drop_last=data.drop_last,
        worker_init_fn=data.worker_init_fn,
    )


def _not_empty(count: int) -> int:
    if count == 0:
        raise InputError("the data has no sample; give at least one")
    return count


def _collated(items: list[object]) -> object:
    """Samples as a batch; those that do not stack are refused, as padding is for the data set to choose."""
    try:
        return default_collate(items)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"the samples of the data do not stack to a batch ({one_line(error)}); let the data set return tensors of one shape, or "
            "give an iterable of batches"
        ) from error
