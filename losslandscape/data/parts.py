"""Loads the data that a surface is measured on: the training set, or a share of it, and the test set."""

from functools import partial

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.data import dataloader, node_memory, text_files, user_data
from losslandscape.data.samples import Samples
from losslandscape.parallel.mpi4pytorch import Serial


def load_parts(
    ranks: Serial,
    dataset: str,
    *,
    datapath: str,
    test_set: bool | None,
    npz_files: dict[str, str],
    labels_file: str,
    data_split: int,
    split_idx: int,
    raw_data: bool,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    threads: int,
    count: int | None = None,
    tokenizer: str = "",
    context: int | None = None,
) -> dict[str, Samples]:
    """Load the training data, and on request the test data. The ranks of a node share one copy.

    Args:
        ranks: all ranks; each calls this.
        dataset: one of `dataloader.DATASETS`, text files, or a function of the user, such as `mine.py:data`.
        test_set: whether to load the test set too, which is always loaded whole; None loads it if there is
            one.
        npz_files: for `train` and `test`, the `.npz` file that replaces the dataset's images, or "".
        labels_file: the `.npy` file that replaces the labels of the training set, or "".
        data_split, split_idx: the training set is split into `data_split` parts, and part `split_idx` is
            loaded.
        count: the number of samples of each part to use, the first ones, before the split; None for all.
        datapath, raw_data, mean, std, threads: as for `dataloader.load`.
        tokenizer, context: as for `text_files.load`.

    Raises:
        InputError: on all ranks, if one of them cannot load the data, or if an option for image datasets is
            given with a function of the user.
    """
    show_progress = ranks.rank == 0
    split = {"data_split": data_split, "split_idx": split_idx}
    is_text = text_files.is_text(dataset)
    if is_text or user_code.is_own(dataset):
        files = {  # by the names of their options
            "trainloader": npz_files["train"],
            "testloader": npz_files["test"],
            "train_labels": labels_file,
        }
        _require_unused(dataset, {**files, "raw_data": raw_data, "mean": mean, "std": std})
        text = partial(text_files.load, tokenizer=tokenizer, context=context)
        own = partial(user_data.load, show_progress=show_progress)
        return node_memory.load_samples(
            ranks,
            text if is_text else own,
            dataset,
            define_classes=partial(user_code.load, dataset),
            test_set=test_set,
            count=count,
            **split,
        )
    if test_set is None:
        test_set = bool(npz_files["test"]) or not npz_files["train"]
    if not npz_files["train"]:
        ranks.first(dataloader.download, dataset, datapath)
    load = partial(
        dataloader.load,
        dataset,
        datapath=datapath,
        raw_data=raw_data,
        mean=mean,
        std=std,
        count=count,
        threads=threads,
        show_progress=show_progress,
    )
    sets: dict[str, Samples] = {}
    sets["train"] = node_memory.load_images(
        ranks, load, "train", npz_file=npz_files["train"], labels_file=labels_file, **split
    )
    if test_set:
        sets["test"] = node_memory.load_images(ranks, load, "test", npz_file=npz_files["test"])
    return sets


def _require_unused(dataset: str, options: dict[str, object]) -> None:
    """Refuse options that apply only to image datasets."""
    for name, value in options.items():
        if value:
            kind, place = "a function of yours", ", or do this in the function"
            if text_files.is_text(dataset):
                kind, place = "text", ""
            fault = f"{name} applies only to image datasets, and dataset {dataset} is {kind}"
            raise InputError(fault, f"leave {{{name}}} out{place}")
