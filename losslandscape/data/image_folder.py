"""Images in folders, `DIR/train/<class>/*` and `DIR/test/<class>/*`, decoded by several threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line

Allocate = Callable[..., Tensor]  # as torch.empty: (shape, dtype=…) -> Tensor

LAYOUT = "put images into DIR/train/<class>/ and DIR/test/<class>/, and give DIR as {datapath}"


class ImageFolder:
    """One part, `train` or `test`, of a folder of images. Files are listed at once, and decoded by `take`.

    Raises:
        InputError: the folder has another layout, or the test images have a class that the training images
            have not.
    """

    def __init__(self, datapath: str, part: str):
        # Imported here, as a second is too long for runs without it.
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
            numbers = folder.find_classes(str(train))[1]
            self._labels = _class_numbers(folder.classes, numbers, root, train)[self._labels]

    def __len__(self) -> int:
        return len(self._paths)

    def take(
        self, index: np.ndarray, *, threads: int, show_progress: bool, allocate: Allocate
    ) -> tuple[Tensor, Tensor]:
        """Images (n, C, H, W) uint8 and labels (n,) of these numbers.

        Raises:
            InputError: a file is no image, or its size is another than the first one's.
        """
        paths = [self._paths[i] for i in index]
        size = self._image(paths[0]).shape
        # A pixel's colours lie side by side, as they are decoded.
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
        """(H, W, C) uint8."""
        try:
            return torch.from_numpy(np.array(self._decode(path)))
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
            fault = f"{path!r} cannot be read as an image ({one_line(error)})"
            raise InputError(fault, "repair or remove it") from error

    def _progress(self, images: Iterator[None], total: int, *, show: bool) -> tqdm:
        text = f"decoding {self._part} images"
        return tqdm(images, text, total, unit="image", leave=False, delay=1, disable=not show)


def _class_numbers(classes: list[str], numbers: dict[str, int], root: Path, train: Path) -> Tensor:
    """Per class of a part, its number among the classes of the training images."""
    for name in classes:
        if name not in numbers:
            raise InputError(
                f"{str(root)!r} has the class {name!r}, which {str(train)!r} has not",
                "both parts need the same classes",
            )
    return torch.tensor([numbers[name] for name in classes])


def _size(shape: torch.Size) -> str:
    return f"{shape[1]}x{shape[0]}"
