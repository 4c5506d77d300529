"""Runs a training from its start, or from a checkpoint, and writes its log, curves and checkpoints."""

import copy
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.data.image_set import ImageSet
from losslandscape.evaluate import evaluation
from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.nets.state_loading import load_state
from losslandscape.trajectory import training
from losslandscape.trajectory.training_folder import LEARNING_RATE, LOG, LOG_LINE, is_kept, save_checkpoint

# The errors that torch.load raises for files of another kind.
UNREADABLE = (pickle.UnpicklingError, EOFError, RuntimeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class TrainingPlan:
    """The settings that decide how a net is trained and which checkpoints are kept.

    Attributes:
        loss_name: one of `losses.PUBLISHED`.
        batch_size: images per step.
        lr: learning rate of the first epochs.
        lr_decay: factor of the learning rate after each epoch in `training.DECAY_AFTER`.
        augmented: whether images are cropped and mirrored.
        epochs: the last epoch, counted from 1.
        save_epoch: number of epochs from one kept checkpoint to the next; see `is_kept`.
        seed: seed of the order of images and of augmentation.
        gpus: number of GPUs that share a batch.
    """

    loss_name: str
    batch_size: int
    lr: float
    lr_decay: float
    augmented: bool
    epochs: int
    save_epoch: int
    seed: int
    gpus: int = 1


@dataclass(frozen=True)
class EpochResult:
    """The result of one epoch; errors are in percent."""

    epoch: int
    lr: float
    train_loss: float
    train_error: float
    test_loss: float
    test_error: float

    @property
    def line(self) -> str:
        """The line of the log."""
        values = (self.epoch, self.train_loss, self.train_error, self.test_error, self.test_loss)
        return LOG_LINE % values

    @property
    def curves(self) -> dict[str, float]:
        """The values of the TensorBoard curves, by name."""
        return {
            "train/loss": self.train_loss,
            "train/error": self.train_error,
            "test/loss": self.test_loss,
            "test/error": self.test_error,
            LEARNING_RATE: self.lr,
        }


def keep_start(
    net: nn.Module, test_set: ImageSet, plan: TrainingPlan, *, optimizer: torch.optim.Optimizer, folder: Path
) -> None:
    """Write the checkpoint of epoch 0, before training."""
    _, accuracy = _evaluate(net, test_set, plan)
    save_checkpoint(folder, net, optimizer, epoch=0, accuracy=accuracy)


def train(
    net: nn.Module,
    train_set: ImageSet,
    test_set: ImageSet,
    plan: TrainingPlan,
    *,
    optimizer: torch.optim.Optimizer,
    folder: Path,
    last_epoch: int = 0,
) -> Iterator[EpochResult]:
    """Train from the epoch after `last_epoch`, and yield each epoch's result when it is written.

    Args:
        net: the net, on the device of the data.
        train_set, test_set: images and labels.
        plan: the settings of the training.
        optimizer: optimizer of the net's parameters. Its learning rate is set for each epoch.
        folder: an existing folder for the log, the curves and the checkpoints.
        last_epoch: the last epoch that the net has seen.
    """
    from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

    parallel = nn.DataParallel(net, list(range(plan.gpus))) if plan.gpus > 1 else net
    with (
        SummaryWriter(str(folder), purge_step=last_epoch + 1) as curves,
        open(folder / LOG, "a", buffering=1) as log,
    ):
        for epoch in range(last_epoch + 1, plan.epochs + 1):
            lr = training.learning_rate(epoch, lr=plan.lr, lr_decay=plan.lr_decay)
            for group in optimizer.param_groups:
                group["lr"] = lr
            train_loss, train_error = _train_epoch(parallel, train_set, plan, optimizer, epoch)
            test_loss, accuracy = _evaluate(net, test_set, plan)
            result = EpochResult(epoch, lr, train_loss, train_error, test_loss, 100 - accuracy)
            log.write(result.line)
            for name, value in result.curves.items():
                curves.add_scalar(name, value, epoch)
            if is_kept(epoch, plan.save_epoch, last=plan.epochs):
                save_checkpoint(folder, net, optimizer, epoch=epoch, accuracy=accuracy)
            yield result


def _train_epoch(
    net: nn.Module, data: ImageSet, plan: TrainingPlan, optimizer: torch.optim.Optimizer, epoch: int
) -> tuple[float, float]:
    """Train for one epoch; return the mean loss, and the error in percent, of the training images."""
    return training.train_epoch(
        net,
        data,
        optimizer=optimizer,
        loss_name=plan.loss_name,
        batch_size=plan.batch_size,
        augmented=plan.augmented,
        seed=plan.seed,
        epoch=epoch,
    )


def _evaluate(net: nn.Module, data: ImageSet, plan: TrainingPlan) -> tuple[float, float]:
    """Return the mean loss, and the accuracy in percent, of the test images."""
    loss, accuracy = evaluation.evaluate(net, data, loss=plan.loss_name, batch_size=plan.batch_size)
    return loss, accuracy


def require_trainable(name: str, net: nn.Module, *sets: ImageSet, batch_size: int) -> None:
    """Raise `InputError` if a net cannot take these images, or has no output for some of their classes."""
    tried = copy.deepcopy(net).train()  # a copy, because batch norms would remember the images
    for data in sets:
        images = data.batch(slice(0, min(batch_size, 2)))
        try:
            with torch.no_grad():
                classes = tried(images).shape[1]
        except (RuntimeError, ValueError) as error:
            size = "x".join(str(length) for length in images.shape)
            raise InputError(f"{name} cannot be trained on a batch of {size}: {error}") from error
        lowest, highest = int(data.labels.min()), data.num_classes - 1
        if lowest < 0 or highest >= classes:
            fault = f"{name} has outputs for classes 0 to {classes - 1}"
            raise InputError(f"{fault}, and the labels of the images go from {lowest} to {highest}")


def resume_weights(net: nn.Module, path: str, *, epochs: int) -> int:
    """Load the checkpoint to be resumed into a net, and return its epoch."""
    checkpoint = read_checkpoint(path)
    if checkpoint.epoch is None:
        raise InputError(f"{path} does not record its epoch", "give another {resume_model}")
    if checkpoint.epoch >= epochs:
        fault = f"{path} was kept after epoch {checkpoint.epoch}, and the last epoch is {epochs}"
        raise InputError(fault, "give more {epochs}")
    load_state(net, checkpoint.state, what=path)
    return checkpoint.epoch


def resume_optimizer(optimizer: torch.optim.Optimizer, path: str) -> None:
    """Load the momenta of an optimizer; keep its learning rate, which the folder's name records."""
    own = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    momentum = "exp_avg" if isinstance(optimizer, torch.optim.Adam) else "momentum_buffer"
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)["optimizer"]
        # A parameter's key is its index. In the old PyTorch of the published files, the key was an address.
        keys = [key for group in saved["param_groups"] for key in group["params"]]
        buffers = {keys.index(key): state for key, state in saved["state"].items()}
        fits = len(keys) == len(parameters) and all(
            momentum in state and _fits(state[momentum], parameters[index])
            for index, state in buffers.items()
        )
    except (*UNREADABLE, AttributeError) as error:
        fault = f"{path} is no opt_state_N.t7 of this program or the published one"
        raise InputError(fault, "give another {resume_opt}") from error
    if not fits:
        raise InputError(f"{path} belongs to another net or optimizer", "give another {resume_opt}")
    optimizer.load_state_dict({"state": buffers, "param_groups": own["param_groups"]})


def _fits(buffer: torch.Tensor | None, parameter: torch.Tensor) -> bool:
    return buffer is None or buffer.shape == parameter.shape
