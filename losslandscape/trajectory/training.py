"""How a net is trained: the pieces of the paper's recipe, on images that are already in memory.

Nothing here knows a file or a command line. Images are augmented a batch at a time on the device that
holds them, because decoding and cropping them one by one in worker processes takes longer than the small
nets of the paper do. Whatever is random in an epoch is drawn on the CPU from a generator that depends on
the seed and the epoch alone, so that a resumed training is the uninterrupted one, on any device.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from losslandscape.data.image_set import ImageSet
from losslandscape.evaluate.losses import sample_losses

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
    """Return SGD with Nesterov momentum, or Adam with torch's default moments, which ignores `momentum`."""
    if name == "adam":
        return torch.optim.Adam(net.parameters(), lr=lr, weight_decay=weight_decay)
    if name == "sgd":
        return torch.optim.SGD(
            net.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0
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


def augment(images: torch.Tensor, generator: torch.Generator, *, padding: int = PADDING) -> torch.Tensor:
    """Crop each image (N, C, H, W) at a random place of its zero-padded self, and mirror half of them.

    The images are not normalised yet: the border is black, not the mean colour, as when torchvision's
    RandomCrop precedes ToTensor.
    """
    count, _, height, width = images.shape
    top, left = torch.randint(2 * padding + 1, (2, count, 1), generator=generator)
    mirrored = torch.randint(2, (count, 1), generator=generator).bool()
    rows = top + torch.arange(height)  # (N, H): which row of the padded image each row of the result is
    columns = left + torch.arange(width)
    columns = torch.where(mirrored, columns.flip(1), columns)

    padded = nn.functional.pad(images, [padding] * 4)
    rows, columns = rows.to(images.device), columns.to(images.device)
    picture = torch.arange(count, device=images.device)[:, None, None]
    # Indices around a slice come out first: (N, H, W, C).
    return padded[picture, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def training_batches(
    data: ImageSet, *, batch_size: int, augmented: bool, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the epoch's batches: normalised images (n, C, H, W), perhaps augmented, and labels (n,)."""
    for chosen in batches(len(data), batch_size, generator):
        index = chosen.to(data.labels.device)
        labels = data.labels[index]
        if augmented:
            cropped = replace(data, images=augment(data.images[index], generator), labels=labels)
            yield cropped.batch(slice(None)), labels
        else:
            yield data.batch(index), labels


def train_epoch(
    net: nn.Module,
    data: ImageSet,
    *,
    optimizer: torch.optim.Optimizer,
    loss_name: str,
    batch_size: int,
    augmented: bool,
    seed: int,
    epoch: int,
) -> tuple[float, float]:
    """Train for one epoch; return the mean loss and the error in percent, of each image when it was seen.

    These are means over a net that changes meanwhile and is in training mode: not what `evaluation`
    measures afterwards.
    """
    generator = epoch_generator(seed, epoch)
    torch.manual_seed(generator.initial_seed())  # for nets that draw by themselves, as with dropout
    net.train()
    # Summed on the device: reading a value after each batch would make the GPU wait.
    loss_sum = torch.zeros((), device=data.labels.device)
    wrong = torch.zeros((), device=data.labels.device, dtype=torch.long)
    seen = 0
    source = training_batches(data, batch_size=batch_size, augmented=augmented, generator=generator)
    total = -(-len(data) // batch_size)
    title = f"epoch {epoch}"
    with tqdm(source, desc=title, total=total, unit="batch", leave=False, disable=None) as bar:
        for step, (images, labels) in enumerate(bar):
            optimizer.zero_grad()
            logits = net(images)
            losses = sample_losses(loss_name, logits, labels)
            losses.mean().backward()
            optimizer.step()

            loss_sum += losses.detach().sum()
            wrong += (logits.argmax(1) != labels).sum()
            seen += len(labels)
            if not bar.disable and step % 10 == 0:
                bar.set_postfix(loss=f"{loss_sum.item() / seen:.4f}", refresh=False)
    return loss_sum.item() / seen, 100 * wrong.item() / seen
