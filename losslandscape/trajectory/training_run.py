"""Runs a training from its start, or from a checkpoint, and writes its log, curves and checkpoints."""

import copy
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.data.image_set import ImageSet
from losslandscape.evaluate import evaluation
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.trajectory import training
from losslandscape.trajectory.training_folder import LEARNING_RATE, LOG, LOG_LINE, is_kept, save_checkpoint
from losslandscape.trajectory.training_step import TrainingStep

TEST_BATCH_SIZE = 1000  # on a GPU, where no batch size is probed


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
        precision: one of `devices.PRECISIONS`, or "" for PyTorch's default.
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
    precision: str = ""


@dataclass(frozen=True)
class EpochResult:
    """The result of one epoch; errors are in percent, and `seconds` have passed since it began."""

    epoch: int
    lr: float
    train_loss: float
    train_error: float
    test_loss: float
    test_error: float
    seconds: float

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
    title: str = "",
) -> Generator[EpochResult | None]:
    """Train from the epoch after `last_epoch`, and yield each epoch's result when it is written.

    Within an epoch it yields None after each step, so that several trainings can take turns.

    Args:
        net: the net, on the device of the data.
        train_set, test_set: images and labels.
        plan: the settings of the training.
        optimizer: optimizer of the net's parameters. Its learning rate is set for each epoch.
        folder: an existing folder for the log, the curves and the checkpoints.
        last_epoch: the last epoch that the net has seen.
        title: words before the epoch in the progress bar.
    """
    from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

    step = _step(net, train_set, plan, optimizer)
    if test_set.device.type == "cuda":
        test = prepared_test(net, test_set, loss_name=plan.loss_name)
    else:
        test = partial(_evaluate, net, test_set, plan)  # whose values never change
    with (
        SummaryWriter(str(folder), purge_step=last_epoch + 1) as curves,
        open(folder / LOG, "a", buffering=1) as log,
    ):
        for epoch in range(last_epoch + 1, plan.epochs + 1):
            begin = time.monotonic()
            lr = training.learning_rate(epoch, lr=plan.lr, lr_decay=plan.lr_decay)
            yield from _train_epoch(step, plan, epoch, count=len(train_set), lr=lr, title=title)
            test_loss, accuracy = test()
            seconds = time.monotonic() - begin
            result = EpochResult(epoch, lr, step.loss, step.error, test_loss, 100 - accuracy, seconds)
            log.write(result.line)
            for name, value in result.curves.items():
                curves.add_scalar(name, value, epoch)
            if is_kept(epoch, plan.save_epoch, last=plan.epochs):
                save_checkpoint(folder, net, optimizer, epoch=epoch, accuracy=accuracy)
            yield result


def take_turns(
    trainings: Sequence[Generator[EpochResult | None]], device: torch.device
) -> Iterator[tuple[int, EpochResult]]:
    """Run several trainings, and yield each result with the number of its training.

    On a CPU one follows the other. On a GPU they take turns step by step, each on a stream of its own: one
    fills the GPU where another leaves it idle.
    """
    together = device.type == "cuda"
    streams = [torch.cuda.Stream(device) if together else None for _ in trainings]
    if together:
        torch.cuda.synchronize(device)  # nets and data are ready for all streams
    waiting = list(range(len(trainings)))
    try:
        while waiting:
            for number in list(waiting) if together else waiting[:1]:
                with torch.cuda.stream(streams[number]):
                    try:
                        result = next(trainings[number])
                    except StopIteration:
                        waiting.remove(number)
                        continue
                if result:
                    yield number, result
    finally:
        for training_of_net in trainings:
            training_of_net.close()


def _step(
    net: nn.Module, data: ImageSet, plan: TrainingPlan, optimizer: torch.optim.Optimizer
) -> TrainingStep:
    several = plan.gpus > 1
    return TrainingStep(
        nn.DataParallel(net, list(range(plan.gpus))) if several else net,
        data,
        optimizer,
        loss_name=plan.loss_name,
        augmented=plan.augmented,
        precision=plan.precision,
        graph=not several,
    )


def _train_epoch(
    step: TrainingStep, plan: TrainingPlan, epoch: int, *, count: int, lr: float, title: str
) -> Iterator[None]:
    """Train for one epoch, and yield after each step."""
    generator = training.epoch_generator(plan.seed, epoch)
    table, sizes = training.draw_epoch(count, plan.batch_size, generator, augmented=plan.augmented)
    torch.manual_seed(generator.initial_seed())  # for nets that draw by themselves, as with dropout
    step.start_epoch(table, lr)
    name = f"{title} epoch {epoch}".strip()
    with tqdm(sizes, desc=name, unit="batch", leave=False, disable=None) as bar:
        for number, size in enumerate(bar):
            step(size)
            if not bar.disable and number % 10 == 0:
                bar.set_postfix(loss=f"{step.loss:.4f}", refresh=False)
            yield None


def prepared_test(net: nn.Module, data: ImageSet, *, loss_name: str) -> Callable[[], tuple[float, float]]:
    """Return a function that measures the net at each call; on a GPU it replays one CUDA graph.

    It returns the mean loss and the accuracy in percent. It computes in PyTorch's default precision.
    """
    evaluator = Evaluator(net.eval(), {"test": data}, loss=loss_name, batch_size=TEST_BATCH_SIZE)
    evaluator.prepare()

    def measure() -> tuple[float, float]:
        net.eval()
        values = evaluator.measure()
        return values["test_loss"], values["test_acc"]

    return measure


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
