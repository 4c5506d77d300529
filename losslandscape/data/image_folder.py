"""Reads images in folders, `DIR/train/<class>/*` and `DIR/test/<class>/*`, with several threads."""

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

    Raises:
        InputError: the folder has another layout, or the test images have a class that the training images
            lack.
    """

    def __init__(self, datapath: str, part: str):
        # Imported here because it takes a second, and other datasets do not need it.
        from torchvision.datasets import ImageFolder as TorchvisionFolder

        self._part = part
        root = Path(datapath) / part
        if not root.is_dir():
            raise InputError(f"{str(root)!r} is not a folder", LAYOUT)
        try:
            folder = TorchvisionFolder(str(root))
        except FileNotFoundError as error:
            raise InputError(f"{str(root)!r} holds no class folders with images", LAYOUT) from error
        self._decode = folder.loader
        self._paths = [path for path, _ in folder.samples]
        self._labels = torch.tensor([label for _, label in folder.samples])
        train = root.with_name("train")
        if part != "train" and train.is_dir():
            train_index = folder.find_classes(str(train))[1]
            self._labels = _class_indices(folder.classes, train_index, root, train)[self._labels]

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


def _class_indices(classes: list[str], train_index: dict[str, int], root: Path, train: Path) -> Tensor:
    """Return, for each class of a part, its index among the classes of the training images."""
    for name in classes:
        if name not in train_index:
            raise InputError(
                f"{str(root)!r} has the class {name!r}, which {str(train)!r} has not",
                "both parts need the same classes",
            )
    return torch.tensor([train_index[name] for name in classes])


def _size(shape: torch.Size) -> str:
    return f"{shape[1]}x{shape[0]}"
