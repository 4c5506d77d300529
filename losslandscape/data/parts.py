"""The parts of the data that a surface is measured on: a share of the training set, and the test set."""

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.data import dataloader, node_memory, user_data
from losslandscape.data.samples import Samples
from losslandscape.parallel.mpi4pytorch import Serial


def load_parts(
    ranks: Serial,
    dataset: str,
    *,
    datapath: str,
    test_set: bool,
    npz_files: dict[str, str],
    labels_file: str,
    data_split: int,
    split_idx: int,
    raw_data: bool,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    threads: int,
) -> dict[str, Samples]:
    """The training data, and the test data if it is asked for, one copy per node.

    Args:
        ranks: all ranks; each calls this.
        dataset: one of `dataloader.DATASETS`, or a function of the user.
        test_set: also the whole test set.
        npz_files: by part, the file that replaces the images, or "".
        labels_file: of the training set.
        data_split, split_idx: the share of the training set.
        datapath, raw_data, mean, std, threads: as for `dataloader.load`.

    Raises:
        InputError: on all ranks, as `dataloader.load` and `user_data.load` raise it on one, or for an option
            that is of no use for data of the user.
    """
    show_progress = ranks.rank == 0
    if user_code.is_own(dataset):
        of_images = {
            "trainloader": npz_files["train"],
            "testloader": npz_files["test"],
            "train_labels": labels_file,
            "raw_data": raw_data,
            "mean": mean,
            "std": std,
        }
        _require_unused(dataset, of_images)
        options = {"data_split": data_split, "split_idx": split_idx, "show_progress": show_progress}
        return node_memory.load_samples(ranks, user_data.load, dataset, test_set=test_set, **options)
    if not npz_files["train"]:
        ranks.first(dataloader.download, dataset, datapath)
    subset = {"labels_file": labels_file, "data_split": data_split, "split_idx": split_idx}
    return {
        part: node_memory.load_images(
            ranks,
            dataloader.load,
            dataset,
            part,
            datapath=datapath,
            npz_file=npz_files[part],
            raw_data=raw_data,
            mean=mean,
            std=std,
            threads=threads,
            show_progress=show_progress,
            **(subset if part == "train" else {}),
        )
        for part in (("train", "test") if test_set else ("train",))
    }


def _require_unused(dataset: str, options: dict[str, object]) -> None:
    for name, value in options.items():
        if value:
            fault = f"{name} is for images, and dataset {dataset} makes its own data"
            raise InputError(fault, f"leave {{{name}}} out, or let the function do it")
