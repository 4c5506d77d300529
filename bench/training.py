"""Seconds of an epoch of training, compared with a plain loop as in published programs.

    python bench/training.py --out bench/results/training.json
    python bench/training.py --cuda --out bench/results/training_cuda.json
    python bench/training.py --nets resnet20:64 --images 128 --repeats 1

The last command is a short trial. All ways train on the same random images of the size of CIFAR-10's, cropped
and mirrored, with SGD and Nesterov momentum. A timed epoch has no test at its end, and one epoch before it
starts workers, chooses algorithms and captures graphs. The ways take turns.

The plain loop reads its images through a DataLoader with two workers, which stay from epoch to epoch (Pillow
image, random crop, random mirror, to tensor, normalise), in the default precision, and waits for the loss and
the hits of each batch. With --cuda two nets of the same kind also train at once, on a stream each.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from bench.evaluate import (
    CUDA_IMAGES,
    PUBLISHED_WORKERS,
    PillowImages,
    choose_device,
    has_bf16,
    random_images,
    timed,
)
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.option_types import positive
from losslandscape.data.image_set import ImageSet
from losslandscape.nets import model_loader
from losslandscape.parallel.devices import set_precision
from losslandscape.trajectory import training
from losslandscape.trajectory.training_run import take_turns
from losslandscape.trajectory.training_step import TrainingStep

CPU_NETS, CUDA_NETS = ["resnet56:128", "vgg9:128"], ["resnet56:128", "vgg9:128", "vgg9:8192"]
CPU_IMAGES = 256  # an epoch of ResNet-56 takes seconds on one core
RATE = 0.01
PLAIN = "plain loop"

Way = Callable[[], float]


def main(argv: list[str] | None = None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    with sentence(parser):
        device = choose_device(args.cuda)
        images = args.images or (CUDA_IMAGES if args.cuda else CPU_IMAGES)
        rows = []
        for name in args.nets or (CUDA_NETS if args.cuda else CPU_NETS):
            model, _, size = name.partition(":")
            seconds: dict[str, list[float]] = {}
            for precisions in precisions_at_once(device):
                ways = build_ways(model, int(size), images, device, precisions, plain=not seconds)
                seconds |= report.interleaved(ways, args.repeats)
                ways.clear()  # and with them the memory of their graphs
            rows += rows_of(name, images, seconds)
            print(report.table(rows), flush=True)
        facts = {"device": device.type, "threads": torch.get_num_threads(), "images": images}
        report.write(args.out, {**facts, "repeats": args.repeats, "rows": rows})


def make_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    nets = f"(default: {' '.join(CPU_NETS)}; with --cuda {' '.join(CUDA_NETS)})"
    add("--nets", nargs="+", metavar="MODEL:BATCH", help=f"nets with their batch sizes {nets}")
    images = f"images of an epoch (default: {CPU_IMAGES}; with --cuda {CUDA_IMAGES})"
    add("--images", type=positive, help=images)
    add("--repeats", type=positive, default=5, help="timed epochs of each way (default: 5)")
    add("--cuda", action="store_true", help="on the GPU")
    add("--out", default="", metavar="FILE.json", help="write the seconds there")
    return parser


def rows_of(name: str, images: int, seconds: dict[str, list[float]]) -> list[dict[str, object]]:
    """Return a row for each way; its seconds and its images per second are those of all its nets together."""
    medians = report.medians(seconds)
    rows: list[dict[str, object]] = []
    for way, median in medians.items():
        rate = images * (2 if way.startswith("two nets") else 1) / median
        rows.append(
            {
                "net:batch": name,
                "way": way,
                "s an epoch": median,
                "images/s": rate,
                "x plain loop": rate / (images / medians[PLAIN]),
            }
        )
    return rows


def precisions_at_once(device: torch.device) -> list[list[str]]:
    """Return the precisions in groups whose nets take turns; a GPU may have too little memory for all."""
    bf16 = ["bf16"] * has_bf16(device)
    return [["fp32"], ["tf32"], bf16] if device.type == "cuda" else [["fp32", *bf16]]


def build_ways(
    model: str, batch_size: int, images: int, device: torch.device, precisions: list[str], *, plain: bool
) -> dict[str, Way]:
    """Return the ways by name; each trains for an epoch and returns its seconds, and has done so once."""
    data, pillow = random_images(images)
    data = data.to(device)
    ways: dict[str, Way] = {}
    if plain:
        ways[PLAIN] = partial(in_precision, "", device, plain_epochs(model, pillow, batch_size, device))
    for precision in precisions:
        nets = [Trained(model, data, batch_size, precision, seed) for seed in range(2)]
        for count, title in {1: "one net", 2: "two nets at once"}.items():
            if count == 1 or device.type == "cuda":
                epoch = timed(partial(train_together, nets[:count], device), device)
                ways[f"{title}, {precision}"] = partial(in_precision, precision, device, epoch)
    for way in ways.values():
        way()
    return ways


def in_precision(precision: str, device: torch.device, epoch: Way) -> float:
    """Run an epoch with PyTorch's products in a precision, or with its default ones."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        set_precision(precision, device)
        return epoch()
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


class Trained:
    """A net that is trained as `cifar10/main.py` does, epoch by epoch."""

    def __init__(self, model: str, data: ImageSet, batch_size: int, precision: str, seed: int):
        self._count, self._batch_size, self._seed, self._epoch = len(data), batch_size, seed, 0
        net = random_net(model, data.device, seed)
        if data.device.type == "cuda":
            net.to(memory_format=torch.channels_last)
        self._step = TrainingStep(
            net, data, optimizer_of(net), loss_name="crossentropy", augmented=True, precision=precision
        )

    def steps(self) -> Iterator[None]:
        """Train for an epoch, and yield after each step."""
        self._epoch += 1
        generator = training.epoch_generator(self._seed, self._epoch)
        table, sizes = training.draw_epoch(self._count, self._batch_size, generator, augmented=True)
        self._step.start_epoch(table, RATE)
        for size in sizes:
            self._step(size)
            yield None


def train_together(nets: list[Trained], device: torch.device) -> None:
    for _ in take_turns([net.steps() for net in nets], device):
        pass


def random_net(model: str, device: torch.device, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = model_loader.build(model)
    training.initialise(net)
    torch.backends.cudnn.benchmark = True
    return net.to(device)


def optimizer_of(net: nn.Module) -> torch.optim.Optimizer:
    return training.make_optimizer(net, "sgd", lr=RATE, momentum=0.9, weight_decay=5e-4)


class AugmentedImages(PillowImages):
    """The images as the published program's training reads them."""

    def __init__(self, images: PillowImages):
        super().__init__(images._pixels, images._labels)
        crop = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
        self._transform = transforms.Compose([*crop, self._transform])


def plain_epochs(model: str, images: PillowImages, batch_size: int, device: torch.device) -> Way:
    loader: torch.utils.data.DataLoader[tuple[Tensor, int]] = torch.utils.data.DataLoader(
        AugmentedImages(images),
        batch_size=batch_size,
        shuffle=True,
        num_workers=PUBLISHED_WORKERS,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )
    net = random_net(model, device).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    return timed(partial(plain_epoch, net, loader, optimizer, device), device)


def plain_epoch(
    net: nn.Module,
    loader: "torch.utils.data.DataLoader[tuple[Tensor, int]]",
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> tuple[float, int]:
    """Train for an epoch, and wait for the loss and the hits of each batch."""
    criterion = nn.CrossEntropyLoss()
    loss_sum, hits = 0.0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = net(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        hits += outputs.max(1)[1].eq(labels).sum().item()
    return loss_sum, hits


if __name__ == "__main__":
    main()
