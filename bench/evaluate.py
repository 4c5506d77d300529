"""How many points of a surface are measured per second, compared with the published way.

    python bench/evaluate.py --out bench/results/evaluate.json
    python bench/evaluate.py --cuda --out bench/results/evaluate_cuda.json
    python bench/evaluate.py --models resnet20 --images 128 --repeats 2

The last command is a short trial. To measure a point is to move the net to theta* + a d + b e and compute its
mean loss and accuracy on all images. Every way moves the same net with `moving`, measures the same random
images of the size of CIFAR-10's, and must get the same loss. The ways take turns.

The published way reads each image anew for every point through a DataLoader with two worker processes (Pillow
image, to tensor, normalise). It runs the net as it is in batches of 128, and waits for loss and hits after
each. Its workers share the cores with the threads of the forward pass: one thread per core, unless
OMP_NUM_THREADS says otherwise. Here they are started once and kept. The published program starts them at
every point. This is a row of its own on a CPU, where the start weighs more, as there are fewer images.

What is reached is compared with the device's peaks, measured in turn with the points: a large product or
convolution, and a large copy. bench/hardware.py says how operations and bytes are counted.

Nets have random weights, and batch norm statistics of some of the images, so that the activations are as
large as in a trained net.
"""

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from bench.hardware import DTYPES, Cost, Peaks, cost_of, peak_works, peaks_of, timed
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.option_types import positive
from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line
from losslandscape.data.dataloader import CIFAR10_MEAN, CIFAR10_STD
from losslandscape.data.image_set import ImageSet
from losslandscape.evaluate.cuda_graph import CapturedCall
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.evaluate.fused_net import FusedNet
from losslandscape.evaluate.losses import sample_losses
from losslandscape.nets import model_loader, net_plotter
from losslandscape.nets.models import MODELS
from losslandscape.nets.moving import moving
from losslandscape.parallel.devices import set_precision

# With so many, a point takes some seconds on one core.
IMAGES = {"vgg9": 512, "resnet20": 2048, "resnet56": 1024, "densenet121": 128}
OTHER_IMAGES = 256
CUDA_IMAGES = 50_000
PUBLISHED_BATCH, PUBLISHED_WORKERS = 128, 2
POINT = (0.1, -0.2)
TOLERANCE = 1e-5  # relative difference of loss, in float32
PUBLISHED, OURS = "published way", "ours"
NEW_WORKERS = "published way, new workers each point"


@dataclass(frozen=True)
class Way:
    """A method that measures the loss of the net at its current weights."""

    measure: Callable[[], float]
    batch_size: int
    precision: str = ""


class PillowImages(Dataset):
    """A dataset that treats pixels (N, 32, 32, 3) as torchvision's CIFAR10 does, without a download."""

    def __init__(self, pixels: np.ndarray, labels: list[int]):
        self._pixels, self._labels = pixels, labels
        steps = [transforms.ToTensor(), transforms.Normalize(CIFAR10_MEAN, CIFAR10_STD)]
        self._transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), self._labels[index]


def random_images(count: int) -> tuple[ImageSet, PillowImages]:
    """Return the same images twice: as our program holds them, and as the published way reads them."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = random.integers(0, 10, count)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    ours = ImageSet(images, torch.from_numpy(labels), CIFAR10_MEAN, CIFAR10_STD)
    return ours, PillowImages(pixels, labels.tolist())


def random_net(model: str, images: Tensor) -> nn.Module:
    """Return a net with random weights and the batch norm statistics of these images, for evaluation."""
    torch.manual_seed(0)
    net = model_loader.load(model).train()
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = None  # statistics of all batches, of which there is one
    with torch.no_grad():
        net(images)
    return net.eval()


def loader_of(
    dataset: PillowImages, batch_size: int, device: torch.device, *, keep_workers: bool = True
) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=False,
        num_workers=PUBLISHED_WORKERS,
        persistent_workers=keep_workers,
        pin_memory=device.type == "cuda",
    )


@torch.no_grad()
def published_loss(net: nn.Module, loader: DataLoader, device: torch.device) -> float:
    """Measure in the published way: loop over all images, and wait for the result of each batch."""
    criterion = nn.CrossEntropyLoss()
    net.eval()
    loss_sum, correct, count = 0.0, 0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        outputs = net(images)
        loss_sum += criterion(outputs, labels).item() * len(labels)
        _, predicted = outputs.max(1)
        correct += predicted.eq(labels).sum().item()
        count += len(labels)
    return loss_sum / count


def published_way(net: nn.Module, dataset: PillowImages, device: torch.device, *, keep_workers: bool) -> Way:
    loader = loader_of(dataset, PUBLISHED_BATCH, device, keep_workers=keep_workers)
    return Way(lambda: published_loss(net, loader, device), PUBLISHED_BATCH)


@torch.inference_mode()
def fused_loss(
    fused: FusedNet,
    forward: Callable[[Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    device: torch.device,
) -> float:
    """Evaluate in our way, with other batches or another forward pass; wait for the result once."""
    fused.refresh()
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    count = 0
    for images, labels in batches:
        images = images.to(device, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        logits = forward(images)
        loss_sum += sample_losses("crossentropy", logits, labels).sum(dtype=torch.float64)
        correct += (logits.argmax(1) == labels).sum()
        count += len(labels)
    correct.item()
    return loss_sum.item() / count


def slices(count: int, batch_size: int) -> list[slice]:
    return [slice(start, start + batch_size) for start in range(0, count, batch_size)]


def evaluator_way(net: nn.Module, data: ImageSet, **choices: object) -> Way:
    evaluator = Evaluator(net, {"train": data}, **choices)
    evaluator.batch_size = evaluator.batch_size or evaluator.fastest_batch_size()
    precision = str(choices.get("precision", ""))
    return Way(lambda: evaluator.measure()["train_loss"], evaluator.batch_size, precision)


def fused_net(
    net: nn.Module, data: ImageSet, dtype: torch.dtype | None = None, *, join: bool = True
) -> FusedNet:
    """Return our copy of the net with folded batch norms; two images show that it computes the same."""
    images = data.batch(slice(0, 2))
    return FusedNet(net, lambda net: net(images), dtype=dtype, channels_last=True, join=join)


def compiled_way(net: nn.Module, data: ImageSet, batch_size: int) -> Way | None:
    """Return ours with torch.compile, or None after a message if the net does not compile."""
    fused = fused_net(net, data, join=False)  # the compiler joins the layers
    forward = torch.compile(fused.__call__)

    def measure() -> float:
        batches = ((data.batch(index), data.labels[index]) for index in slices(len(data), batch_size))
        return fused_loss(fused, forward, batches, data.images.device)

    try:
        measure()
    # No compiler, an old one, no permission for its cache: each is another exception.
    except Exception as error:
        print(f"left out: torch.compile fails here ({one_line(error)}); it needs a C++ compiler")
        return None
    return Way(measure, batch_size)


def build_ways(
    net: nn.Module, data: ImageSet, dataset: PillowImages, *, precisions: list[str], compiled: bool
) -> dict[str, Way]:
    """Return the published way, ours, and ours with one technique off at a time."""
    device = data.images.device
    ways = {PUBLISHED: published_way(net, dataset, device, keep_workers=True)}
    if device.type == "cpu":
        ways[NEW_WORKERS] = published_way(net, dataset, device, keep_workers=False)
    for precision in precisions:
        ways[ours_in(precision)] = evaluator_way(net, data, precision=precision)
    ways["ours, not folded"] = evaluator_way(net, data, fuse=False)
    ways["ours, not joined"] = evaluator_way(net, data, join=False)
    ways["ours, not channels last"] = evaluator_way(net, data, channels_last=False)
    if device.type == "cuda":
        ways["ours, no CUDA graph"] = evaluator_way(net, data, graph=False)
    ways[f"ours, batches of {PUBLISHED_BATCH}"] = evaluator_way(net, data, batch_size=PUBLISHED_BATCH)

    fused, batch_size = fused_net(net, data), ways[OURS].batch_size
    same_size = loader_of(dataset, batch_size, device)
    ways["ours, images read anew"] = Way(lambda: fused_loss(fused, fused, same_size, device), batch_size)
    if compiled and (way := compiled_way(net, data, batch_size)):
        ways["ours, compiled"] = way
    return ways


def ours_in(precision: str) -> str:
    return f"{OURS}, {precision}" if precision else OURS


def passes_in(precision: str) -> str:
    return f"forward passes, {precision or 'default'}"


def forward_passes(
    net: nn.Module, data: ImageSet, batch_size: int, dtype: torch.dtype
) -> Callable[[], object]:
    """Return our forward passes on all images, and nothing else.

    Batches are prepared beforehand. On CUDA the passes are captured in a graph, as ours are.
    """
    fused = fused_net(net, data, dtype)
    batches = [
        data.batch(index).to(dtype, memory_format=torch.channels_last)
        for index in slices(len(data), batch_size)
    ]

    @torch.inference_mode()
    def forward() -> tuple[Tensor, ...]:
        return tuple(fused(batch) for batch in batches)

    if data.images.is_cuda:
        with fused.kernels.choosing():
            forward()
    return CapturedCall(forward) if data.images.is_cuda else forward


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Keep CUDA from rounding convolutions to TF32 in the block: TF32 would change losses too much."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    set_precision("fp32", device)
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def compare_losses(ways: dict[str, Way]) -> dict[str, float]:
    """Return the relative difference of each way's loss from that of the published way."""
    losses = {name: way.measure() for name, way in ways.items()}
    expected = losses[PUBLISHED]
    return {name: abs(loss - expected) / abs(expected) for name, loss in losses.items()}


def refuse_wrong_losses(model: str, ways: dict[str, Way], differences: dict[str, float]) -> None:
    """End the program if a way in float32 is wrong: its speed would mean nothing."""
    for name, difference in differences.items():
        is_right = difference < TOLERANCE  # NaN is wrong
        if not ways[name].precision and not is_right:
            what = f"the loss of {name!r} differs from the {PUBLISHED}'s by {difference:.2g} of it"
            raise SystemExit(f"{model}: {what}, more than {TOLERANCE:g}; nothing is measured")


def benchmark(
    model: str, *, images: int, repeats: int, device: torch.device, precisions: list[str], compiled: bool
) -> dict[str, object]:
    """Time every way on one net, in turns."""
    data, dataset = random_images(images)
    net = random_net(model, data.batch(slice(0, 128)))
    directions = [
        net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn") for _ in range(2)
    ]
    cost = cost_of(net, fused_net(net, data, join=False).module, data.batch(slice(0, 1)))
    net, data = net.to(device), data.to(device)
    build = partial(build_ways, net, data, dataset, precisions=precisions, compiled=compiled)

    with moving(net, directions, "weights") as move:
        with exact_products(device):
            ways = build()
            move(POINT)
            differences = compare_losses(ways)
        refuse_wrong_losses(model, ways, differences)
        if device.type == "cuda":
            # Graphs keep the precision with which they were captured, so new ones are needed.
            ways.clear()
            gc.collect()  # evaluators and their graphs refer to each other
            torch.cuda.empty_cache()
            ways = build()
        calls = {name: partial(measure_point, move, way) for name, way in ways.items()}
        for precision in precisions:
            batch_size = ways[ours_in(precision)].batch_size
            calls[passes_in(precision)] = forward_passes(net, data, batch_size, DTYPES[precision])
        works = peak_works(device, precisions)
        calls |= {name: work.call for name, work in works.items()}
        calls = {name: timed(call, device) for name, call in calls.items()}
        report.interleaved(calls, 1)  # warm up
        seconds = report.interleaved(calls, repeats)

    medians = report.medians(seconds)
    return {
        "images": images,
        "cost_per_image": asdict(cost),
        "seconds": seconds,
        "medians": medians,
        "peaks": asdict(peaks_of(works, medians)),
        "batch_sizes": {name: way.batch_size for name, way in ways.items()},
        "precisions": {name: way.precision for name, way in ways.items()},
        "loss_differences": differences,
    }


def measure_point(move: Callable[[tuple[float, float]], None], way: Way) -> None:
    move(POINT)
    way.measure()


def speed_rows(result: dict) -> list[dict[str, object]]:
    """Return the speed of each way, its share of the device's peak, and the error of its loss."""
    images, seconds, flops = result["images"], result["medians"], result["cost_per_image"]["flops"]
    return [
        {
            "way": name,
            "batch": batch,
            "points/s": 1 / seconds[name],
            "images/s": images / seconds[name],
            "x published": seconds[PUBLISHED] / seconds[name],
            "% of peak FLOP/s": 100
            * flops
            * images
            / seconds[name]
            / result["peaks"]["flops"][result["precisions"][name]],
            "loss off by": f"{result['loss_differences'][name]:.1e}",
        }
        for name, batch in result["batch_sizes"].items()
    ]


def efficiency_rows(model: str, result: dict) -> list[dict[str, object]]:
    """Return what our points reach of the device's peaks, and their share outside forward passes."""
    cost, peaks, rows = Cost(**result["cost_per_image"]), Peaks(**result["peaks"]), []
    for precision, peak in peaks.flops.items():
        way = ours_in(precision)
        whole = result["medians"][way]
        forward = result["medians"][passes_in(precision)]
        moved = cost.bytes(precision, result["batch_sizes"][way])
        flops, bytes_ = (each * result["images"] / whole for each in (cost.flops, moved))
        rows.append(
            {
                "model": model,
                "way": way,
                "not forward %": 100 * (1 - forward / whole),
                "MFLOP/image": cost.flops / 1e6,
                "GFLOP/s": flops / 1e9,
                "peak GFLOP/s": peak / 1e9,
                "% of it": 100 * flops / peak,
                "MB/image": moved / 1e6,
                "GB/s": bytes_ / 1e9,
                "peak GB/s": peaks.bytes / 1e9,
                "% of that": 100 * bytes_ / peaks.bytes,
            }
        )
    return rows


def choose_device(cuda: bool) -> torch.device:
    if cuda and not torch.cuda.is_available():
        raise InputError("PyTorch finds no CUDA device here", "run without {cuda:True}")
    return torch.device("cuda" if cuda else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16, instead of computing it in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    features = set(Path("/proc/cpuinfo").read_text().split())
    return not features.isdisjoint(("avx512_bf16", "amx_bf16", "bf16"))


def main(argv: list[str] | None = None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.compile and args.cuda:
        parser.error("--compile is for the CPU; leave out --cuda or --compile")
    with sentence(parser):
        device = choose_device(args.cuda)
        precisions = ["", "bf16"] if has_bf16(device) else [""]
        if "bf16" not in precisions:
            print("left out: bf16, for which this processor has no instructions")
        results = {}
        for model in args.models:
            images = args.images or (CUDA_IMAGES if args.cuda else IMAGES.get(model, OTHER_IMAGES))
            result = benchmark(
                model,
                images=images,
                repeats=args.repeats,
                device=device,
                precisions=precisions,
                compiled=args.compile,
            )
            results[model] = result
            print(f"\n{model}, {images} images a point\n{report.table(speed_rows(result))}", flush=True)
        efficiency = [efficiency_rows(model, result) for model, result in results.items()]
        print(f"\n{report.table(sum(efficiency, []))}")
        facts = {
            "device": device.type,
            "threads": torch.get_num_threads(),
            "repeats": args.repeats,
            "models": results,
        }
        report.write(args.out, facts)


def make_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    default_models = list(IMAGES)
    models_help = f"nets (default: {' '.join(default_models)})"
    models = {"choices": sorted(MODELS), "default": default_models, "metavar": "MODEL"}
    add("--models", nargs="+", **models, help=models_help)
    some = f"such as {IMAGES['resnet20']} for resnet20; with --cuda {CUDA_IMAGES}"
    add("--images", type=positive, help=f"images per point (default: by net, {some})")
    add("--repeats", type=positive, default=5, help="timed rounds (default: 5)")
    add("--cuda", action="store_true", help="on the GPU")
    compile_help = "time torch.compile as well (CPU; needs a C++ compiler)"
    add("--compile", action="store_true", help=compile_help)
    add("--out", default="", metavar="FILE.json", help="write the seconds of every repeat there")
    return parser


if __name__ == "__main__":
    main()
