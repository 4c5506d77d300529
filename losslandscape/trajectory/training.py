"""How a net is trained: the pieces of the paper's recipe, on images that are already in memory.

Nothing here knows a file or a command line. Images are augmented a batch at a time on the device that
holds them, because decoding and cropping them one by one in worker processes takes longer than the small
nets of the paper do. Whatever is random in an epoch is drawn on the CPU before it, from a generator that
depends on the seed and the epoch alone, so that a resumed training is the uninterrupted one, on any device.
"""

import numpy as np
import torch
from torch import nn

OPTIMIZERS = ("sgd", "adam")
# Epochs after which the learning rate falls: 50 %, 75 % and 92 % of the paper's 300.
DECAY_AFTER = (150, 225, 275)
# Zeros on each side of an image before it is cropped, as in the paper and in most work on CIFAR-10.
PADDING = 4


def initialise(net: nn.Module) -> None:
    """Set the paper's initial weights, in place; draws from torch's global generator in module order."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in")
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1e-3)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def learning_rate(epoch: int, *, lr: float, lr_decay: float) -> float:
    """Return the learning rate of an epoch, counted from 1.

    It is computed from the epoch, not carried along, so that a resumed training has the right rate.
    """
    return lr * lr_decay ** sum(epoch > last for last in DECAY_AFTER)


def make_optimizer(
    net: nn.Module, name: str, *, lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum, or Adam with torch's default moments, which ignores `momentum`.

    On a GPU one kernel updates all weights, and a CUDA graph may contain it.
    """
    cuda = next(net.parameters()).is_cuda
    fused = True if cuda else None
    if name == "adam":
        return torch.optim.Adam(
            net.parameters(), lr=lr, weight_decay=weight_decay, fused=fused, capturable=cuda
        )
    if name == "sgd":
        return torch.optim.SGD(
            net.parameters(),
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=momentum > 0,
            fused=fused,
        )
    raise ValueError(f"optimizer {name!r} is none of {', '.join(OPTIMIZERS)}")


def corrupt_labels(labels: torch.Tensor, fraction: float, *, num_classes: int, seed: int) -> torch.Tensor:
    """Return labels (N,) with round(fraction * N) drawn anew, uniformly; some stay as they were."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(labels), generator=generator)[: round(fraction * len(labels))]
    drawn = torch.randint(num_classes, chosen.shape, generator=generator)
    corrupted = labels.clone()
    corrupted[chosen.to(labels.device)] = drawn.to(labels)
    return corrupted


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """Return the generator of all that is random in one epoch.

    Its seed is hashed, so that (seed 0, epoch 2) and (seed 1, epoch 1) are not related.
    """
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
    )


def batches(count: int, batch_size: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Return index tensors that visit each of `count` images once, in random order, `batch_size` at a time.

    A last batch of a single image joins the batch before it: a BatchNorm1d, as in VGG, cannot train on
    one image.
    """
    parts = list(torch.randperm(count, generator=generator).split(batch_size))
    if batch_size > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def draw_crops(count: int, generator: torch.Generator, *, padding: int = PADDING) -> torch.Tensor:
    """Draw for each of `count` images where it is cropped and whether it is mirrored.

    Returns:
        int64 (3, count): the first row and the first column of the crop in the padded image, and 0 or 1.
    """
    corners = torch.randint(2 * padding + 1, (2, count), generator=generator)
    mirrored = torch.randint(2, (1, count), generator=generator)
    return torch.cat([corners, mirrored])


def draw_epoch(
    count: int, batch_size: int, generator: torch.Generator, *, augmented: bool
) -> tuple[torch.Tensor, list[int]]:
    """Draw all that is random in an epoch, in the order of its batches.

    Returns:
        int64 (4, count), or (1, count) if images are not augmented: the indices of the images in the order in
        which they are seen, and in the rows below the crops of `draw_crops`. And the number of images in each
        batch.
    """
    parts = []
    for chosen in batches(count, batch_size, generator):
        rows = [chosen[None]]
        if augmented:
            rows.append(draw_crops(len(chosen), generator))
        parts.append(torch.cat(rows))
    return torch.cat(parts, 1), [part.shape[1] for part in parts]


def crop(
    images: torch.Tensor,
    top: torch.Tensor,
    left: torch.Tensor,
    mirrored: torch.Tensor,
    *,
    padding: int = PADDING,
) -> torch.Tensor:
    """Pad images with zeros, crop them to their old size and mirror some of them.

    The images are not normalised yet, so the border is black, not the mean colour. torchvision does the same
    if RandomCrop precedes ToTensor.

    Args:
        images: (N, C, H, W).
        top, left, mirrored: (N,) each, the rows of `draw_crops`.
        padding: zeros on each side.
    """
    count, _, height, width = images.shape
    device = images.device
    # (N, H): which row of the padded image each row of the result is. Columns (N, W) likewise.
    rows = top[:, None] + torch.arange(height, device=device)
    columns = left[:, None] + torch.arange(width, device=device)
    columns = torch.where(mirrored[:, None].bool(), columns.flip(1), columns)

    padded = nn.functional.pad(images, [padding] * 4)
    picture = torch.arange(count, device=device)[:, None, None]
    # Indices around a slice come out first: (N, H, W, C).
    return padded[picture, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
