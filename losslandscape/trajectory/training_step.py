"""Trains a net batch by batch, without waiting for the device and without copies to it."""

from functools import partial

import torch
from torch import Tensor, nn

from losslandscape.data.image_set import ImageSet
from losslandscape.evaluate.cuda_graph import CapturedCall
from losslandscape.evaluate.losses import sample_losses
from losslandscape.trajectory import training


class TrainingStep:
    """A step of a training: the next batch, its loss, the gradient, and the new weights.

    All random numbers of an epoch are copied to the device at its start. A counter on the device says where
    the next batch begins. So all batches of one size run the same kernels on the same memory, and a GPU
    replays them as one CUDA graph.

    Args:
        net: the net, on the device of the data.
        data: the training images.
        optimizer: the optimizer of the net's parameters.
        loss_name: one of `losses.PUBLISHED`.
        augmented: whether images are cropped and mirrored.
        precision: with "bf16" the net runs in bfloat16 where autocast allows it. Loss, weights and optimizer
            stay in float32.
        graph: whether a GPU may replay steps as CUDA graphs.
    """

    def __init__(
        self,
        net: nn.Module,
        data: ImageSet,
        optimizer: torch.optim.Optimizer,
        *,
        loss_name: str,
        augmented: bool,
        precision: str = "",
        graph: bool = True,
    ):
        self._net, self._data, self._optimizer = net, data, optimizer
        self._loss_name, self._bf16 = loss_name, precision == "bf16"
        self._layout = torch.channels_last if data.device.type == "cuda" else torch.contiguous_format
        self._table = torch.zeros(4 if augmented else 1, len(data), dtype=torch.long, device=data.device)
        self._place = torch.zeros((), dtype=torch.long, device=data.device)
        self._wrong = torch.zeros((), dtype=torch.long, device=data.device)
        self._loss_sum = torch.zeros((), device=data.device)
        self._seen = 0
        self._graph = graph
        self._graphs: dict[int, CapturedCall[None]] = {}  # by number of images

    def start_epoch(self, table: Tensor, lr: float) -> None:
        """Take the table of `training.draw_epoch` and the learning rate of an epoch, and forget the sums."""
        self._net.train()
        for tensor in (self._place, self._wrong, self._loss_sum):
            tensor.zero_()
        self._table.copy_(table)
        self._seen = 0
        groups = self._optimizer.param_groups
        if any(group["lr"] != lr for group in groups):
            self._graphs.clear()  # a graph holds the rate with which it was captured
        for group in groups:
            group["lr"] = lr

    def __call__(self, count: int) -> None:
        """Train on the next `count` images; a GPU may still compute afterwards."""
        self._seen += count
        if count in self._graphs:
            self._graphs[count]()
            return
        self._train(count)  # libraries choose algorithms here, which a graph cannot capture
        if self._can_capture():
            self._graphs[count] = CapturedCall(partial(self._train, count), warm_up=False)

    def _can_capture(self) -> bool:
        return self._graph and self._data.device.type == "cuda"

    @property
    def loss(self) -> float:
        """The mean loss of the images seen so far in this epoch. Waits for the device."""
        return self._loss_sum.item() / self._seen

    @property
    def error(self) -> float:
        """The error of the net on the images seen so far in this epoch, in percent. Waits for the device."""
        return 100 * self._wrong.item() / self._seen

    def _train(self, count: int) -> None:
        images, labels = self._next_batch(count)
        self._optimizer.zero_grad()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._bf16):
            logits = self._net(images).float()
        losses = sample_losses(self._loss_name, logits, labels)
        losses.mean().backward()
        self._optimizer.step()
        self._loss_sum += losses.detach().sum()
        self._wrong += (logits.argmax(1) != labels).sum()

    def _next_batch(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the next images as the net's input (count, C, H, W), perhaps augmented, and their labels."""
        places = self._place + torch.arange(count, device=self._place.device)
        self._place += count
        index, *crops = self._table[:, places]
        images = self._data.images[index]
        if crops:
            images = training.crop(images, *crops)
        inputs = self._data.normalised(images).contiguous(memory_format=self._layout)
        return inputs, self._data.labels[index]
