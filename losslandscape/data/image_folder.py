"""Reads images in folders, `DIR/train/<class>/*` and `DIR/test/<class>/*`, with several threads."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line

Allocate = Callable[..., Tensor]  # has the signature of torch.empty: (shape, dtype=…) -> Tensor

LAYOUT = "put images into DIR/train/<class>/ and DIR/test/<class>/, and give DIR as {datapath}"


class ImageFolder:
    """The images of one part, `train` or `test`: the constructor lists the files, `take` decodes them.

    Each folder is a class, and classes are numbered by name. Hidden folders and files, such as
    `.ipynb_checkpoints`, are ignored. The test images may lack a class.

    Raises:
        InputError: the folder has another layout, a class of the training images has no image, or the test
            images have a class that the training images lack.
    """

    def __init__(self, datapath: str, part: str):
        # Imported here because it takes a second, and other datasets do not need it.
        from torchvision.datasets.folder import default_loader

        self._part, self._decode = part, default_loader
        root = Path(datapath) / part
        if not root.is_dir():
            raise InputError(f"{str(root)!r} is not a folder", LAYOUT)
        images = {name: _images(root / name) for name in _classes(root)}
        if not any(images.values()):
            raise InputError(f"{str(root)!r} holds no class folders with images", LAYOUT)
        empty = [name for name, paths in images.items() if not paths]
        if empty and part == "train":
            advice = "put images of this class there, or remove the folder"
            raise InputError(f"the class folder {str(root / empty[0])!r} holds no image", advice)
        train = root.with_name("train")
        numbering = _classes(train) if train.is_dir() else list(images)
        self._paths = [path for paths in images.values() for path in paths]
        number = {name: _number(name, numbering, root, train) for name, paths in images.items() if paths}
        self._labels = torch.tensor([number[name] for name, paths in images.items() for _ in paths])

    def __len__(self) -> int:
        return len(self._paths)

    def take(
        self, index: np.ndarray, *, threads: int, show_progress: bool, allocate: Allocate
    ) -> tuple[Tensor, Tensor]:
        """Decode the images at these indices: (n, C, H, W) uint8, and labels (n,).

        Raises:
            InputError: a file is not an image, or its shape differs from the first image's.
        """
        paths = [self._paths[i] for i in index]
        size = self._image(paths[0]).shape
        # Channels last in memory, which is the order in which Pillow decodes.
        images = allocate((len(paths), *size), dtype=torch.uint8)

        def fill(i: int) -> None:
            image = self._image(paths[i])
            if image.shape != size:
                raise InputError(
                    f"{paths[i]!r} is {_size(image.shape)} pixels and {paths[0]!r} is {_size(size)}",
                    "all images must have one size",
                )
            images[i] = image

        with ThreadPoolExecutor(max(1, threads)) as pool:
            for _ in self._progress(pool.map(fill, range(len(paths))), len(paths), show=show_progress):
                pass
        return images.permute(0, 3, 1, 2), self._labels[torch.from_numpy(index)]

    def _image(self, path: str) -> Tensor:
        """Decode one image as (H, W, C) uint8."""
        try:
            return torch.from_numpy(np.array(self._decode(path)))
        except (OSError, SyntaxError, ValueError) as error:  # Pillow raises these for damaged files
            fault = f"{path!r} cannot be read as an image ({one_line(error)})"
            raise InputError(fault, "repair or remove it") from error

    def _progress(self, images: Iterator[None], total: int, *, show: bool) -> tqdm:
        text = f"decoding {self._part} images"
        return tqdm(images, text, total, unit="image", leave=False, delay=1, disable=not show)


def _classes(root: Path) -> list[str]:
    """Return the names of the class folders, sorted."""
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not _is_hidden(path.name))


def _images(folder: Path) -> list[str]:
    """Return the paths of the image files in a class folder and in folders below it."""
    from torchvision.datasets.folder import is_image_file

    paths = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        paths += [(place, name) for name in files if is_image_file(name) and not _is_hidden(name)]
    return [os.path.join(place, name) for place, name in sorted(paths)]


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _number(name: str, numbering: list[str], root: Path, train: Path) -> int:
    """Return the number of a class among the classes of the training images."""
    if name not in numbering:
        raise InputError(
            f"{str(root)!r} has the class {name!r}, which {str(train)!r} has not",
            "both parts need the same classes",
        )
    return numbering.index(name)


def _size(shape: torch.Size) -> str:
    return f"{shape[1]}x{shape[0]}"
