"""Loss and accuracy of a net on images held in memory: what is measured at a point of a surface."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataloader import ImageSet
from errors import InputError

LOSSES = ("crossentropy", "mse")


def sample_losses(name: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Loss of each sample, differentiable: logits (N, classes), labels (N,) -> (N,).

    `crossentropy` is that of the logits; `mse` is the mean over classes of (softmax(logits) - one-hot label)^2, the two
    losses of the published program.
    """
    if name == "crossentropy":
        return F.cross_entropy(logits, labels, reduction="none")
    if name == "mse":
        one_hot = F.one_hot(labels, logits.shape[1])
        return (logits.softmax(1) - one_hot).square().mean(1)
    raise ValueError(f"unknown loss {name!r}; choose from {', '.join(LOSSES)}")


@torch.inference_mode()
def evaluate(net: nn.Module, data: ImageSet, *, loss_name: str = "crossentropy", batch_size: int = 128) -> tuple[float, float]:
    """Mean loss and accuracy in percent of `net` on all of `data`, in evaluation mode, both on the same device.

    Sums are kept in float64 on the device and fetched once at the end, so that nothing waits for the device in between.
    The net's mode is left as it was.
    """
    device = data.images.device
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    training = net.training
    net.eval()
    try:
        for start in range(0, len(data), batch_size):
            batch = slice(start, start + batch_size)
            logits, labels = net(data.batch(batch)), data.labels[batch]
            loss_sum += sample_losses(loss_name, logits, labels).sum(dtype=torch.float64)
            correct += (logits.argmax(1) == labels).sum()
    finally:
        net.train(training)
    return loss_sum.item() / len(data), 100.0 * correct.item() / len(data)


class Evaluator:
    """The measure of `plot_surface.py`: named loss and accuracy of one net on one or two sets of images.

    `measure()` returns e.g. {"train_loss": 0.29, "train_acc": 91.0}, with test_loss and test_acc where a test set is held.
    """

    def __init__(self, net: nn.Module, sets: dict[str, ImageSet], *, loss_name: str, batch_size: int):
        self.net, self.sets, self.loss_name, self.batch_size = net, sets, loss_name, batch_size

    @property
    def quantities(self) -> list[str]:
        return [f"{part}_{value}" for part in self.sets for value in ("loss", "acc")]

    def measure(self) -> dict[str, float]:
        values = {}
        for part, data in self.sets.items():
            values[f"{part}_loss"], values[f"{part}_acc"] = evaluate(
                self.net, data, loss_name=self.loss_name, batch_size=self.batch_size)
        return values


def check_images(net: nn.Module, data: ImageSet, model: str) -> None:
    """Raise `InputError` if `net` (named `model`) does not take these images, or has fewer outputs than they have classes."""
    try:
        with torch.inference_mode():
            classes = net.eval()(data.batch(slice(0, 1))).shape[1]
    except RuntimeError as error:
        shape = "x".join(map(str, data.images.shape[1:]))
        raise InputError(f"{model} does not take images of shape {shape} ({str(error).splitlines()[0]}); the built-in nets take 3x32x32") from error
    if data.num_classes > classes:
        raise InputError(f"the data has {data.num_classes} classes and {model} tells {classes} apart; give data with at most {classes}")
