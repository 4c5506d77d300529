"""Microseconds of the kernels of a residual block on a GPU, and what memory allows.

    python bench/kernels.py --cuda --out bench/results/kernels_cuda.json
    python bench/kernels.py --cuda --images 256 --repeats 2

The second command is a short trial. Shapes are those of ResNet-56. A convolution is followed by bias,
residual sum and ReLU. A block is two convolutions. The ways take turns:

- apart: the convolution, the sum and the ReLU each by a kernel of its own;
- cuDNN: its fused calls;
- Triton taps: our kernel for any convolution;
- Triton rows: our kernel that reads each row once, for up to 32 channels (16 in tf32);
- Triton block: our kernel for a whole block.

Calls run in a CUDA graph, on so many tensors in turn that none is still in the cache. "Memory" is the time to
move the input, the residual and the output once, as fast as a large copy moves bytes. For a block, the input
is the residual. A way that is not right is left out with a message.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from bench.evaluate import choose_device
from bench.hardware import peak_bytes
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.option_types import positive
from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line
from losslandscape.evaluate import kernels

SHAPES = [(16, 32), (32, 16), (64, 8)]  # channels, side of the images
DTYPES = {"bf16": torch.bfloat16, "tf32": torch.float32}
IMAGES = 1024
CACHES = 4  # how many times the cache the tensors of all calls fill
LEAST_CALLS = 16  # in a graph, so that its launch does not show
TOLERANCE = 0.03  # relative to the largest value; bfloat16 rounds to 0.004, after each of the steps
PASSES = {"convolution": 3, "block": 2}  # through memory, at least
WAYS = ["apart", "cuDNN", "Triton taps", "Triton rows", "Triton block"]


@dataclass(frozen=True)
class Operands:
    """What a convolution or a block computes with."""

    x: Tensor
    residual: Tensor
    weights: tuple[Tensor, Tensor]
    biases: tuple[Tensor, Tensor]


Call = Callable[[Operands], Tensor]


def main(argv: list[str] | None = None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    with sentence(parser):
        if not args.cuda:
            raise InputError(
                "this benchmark times kernels of a GPU", "run it with {cuda:True} where there is one"
            )
        device = choose_device(True)
        bandwidth = peak_bytes(device)
        rows = []
        for what in PASSES:
            for channels, side in SHAPES:
                for precision in DTYPES:
                    shape = (args.images, channels, side, side)
                    times = measure(what, shape, precision, device, args.repeats)
                    rows.append(row_of(what, shape, precision, times, bandwidth))
        print(f"microseconds, {args.images} images; a copy moves {bandwidth / 1e12:.2f} TB/s")
        print(report.table(rows))
        report.write(args.out, {"images": args.images, "copy_bytes_per_second": bandwidth, "rows": rows})


def make_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--cuda", action="store_true", help="on the GPU, which is needed")
    add("--images", type=positive, default=IMAGES, help="per batch (default: %(default)s)")
    add("--repeats", type=positive, default=10, help="timed rounds (default: 10)")
    add("--out", default="", metavar="FILE.json", help="write the table there")
    return parser


def row_of(
    what: str, shape: Sequence[int], precision: str, times: dict[str, float], bandwidth: float
) -> dict[str, object]:
    """Return a line of the table from the seconds of each way."""
    row: dict[str, object] = {"what": what, "channels": shape[1], "side": shape[2], "precision": precision}
    for way in WAYS:
        row[way] = times[way] * 1e6 if way in times else ""
    row["memory"] = memory_seconds(what, shape, precision, bandwidth) * 1e6
    return row


def memory_seconds(what: str, shape: Sequence[int], precision: str, bandwidth: float) -> float:
    """Return the seconds to move each tensor once at this many bytes per second."""
    return PASSES[what] * torch.Size(shape).numel() * DTYPES[precision].itemsize / bandwidth


def measure(
    what: str, shape: tuple[int, ...], precision: str, device: torch.device, repeats: int
) -> dict[str, float]:
    """Return the median seconds of a call of each way that is right."""
    generator = torch.Generator(device).manual_seed(0)
    sets = [
        operands(shape, DTYPES[precision], generator) for _ in range(sets_needed(shape, precision, device))
    ]
    calls = -(-LEAST_CALLS // len(sets)) * len(sets)
    ways = {}
    for name, call in ways_of(what).items():
        if is_right(name, call, what, sets[0]):
            ways[name] = graph_of([partial(call, sets[i % len(sets)]) for i in range(calls)])
    timers = {name: partial(seconds_of, graph) for name, graph in ways.items()}
    report.interleaved(timers, 1)  # warm up
    return {name: time / calls for name, time in report.medians(report.interleaved(timers, repeats)).items()}


def sets_needed(shape: tuple[int, ...], precision: str, device: torch.device) -> int:
    """Return how many sets of operands fill the cache several times."""
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    bytes_per_set = 2 * torch.Size(shape).numel() * DTYPES[precision].itemsize
    return -(-CACHES * cache // bytes_per_set)


def operands(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> Operands:
    """Return random operands, channels-last, with which a convolution keeps the size of its input."""

    def random(*sides: int) -> Tensor:
        values = torch.randn(sides, generator=generator, device=generator.device).to(dtype)
        return values.contiguous(memory_format=torch.channels_last) if len(sides) == 4 else values

    channels = shape[1]
    weights = [random(channels, channels, 3, 3) / (9 * channels) ** 0.5 for _ in range(2)]
    return Operands(
        random(*shape), random(*shape), (weights[0], weights[1]), (random(channels), random(channels))
    )


def ways_of(what: str) -> dict[str, Call]:
    """Return the functions to compare, by name; without Triton there are fewer."""
    layers = one_convolution if what == "convolution" else two_convolutions
    ways: dict[str, Call] = {"apart": partial(layers, apart), "cuDNN": partial(layers, cudnn)}
    if kernels.available():
        ways["Triton taps"] = partial(layers, triton_taps)
        ways["Triton rows"] = partial(layers, triton_rows)
        if what == "block":
            ways["Triton block"] = triton_block
    return ways


Conv = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def one_convolution(conv: Conv, given: Operands) -> Tensor:
    return conv(given.x, given.weights[0], given.biases[0], given.residual)


def two_convolutions(conv: Conv, given: Operands) -> Tensor:
    middle = conv(given.x, given.weights[0], given.biases[0], None)
    return conv(middle, given.weights[1], given.biases[1], given.x)


def apart(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None) -> Tensor:
    out = F.conv2d(x, weight, bias, padding=1)
    return out.relu_() if residual is None else out.add_(residual).relu_()


def cudnn(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None) -> Tensor:
    form = [1, 1], [1, 1], [1, 1], 1  # stride, padding, dilation, groups
    if residual is None:
        return torch.cudnn_convolution_relu(x, weight, bias, *form)
    return torch.cudnn_convolution_add_relu(x, weight, residual, 1.0, bias, *form)


def triton_taps(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None) -> Tensor:
    from losslandscape.evaluate.kernels import conv

    return conv.conv(x, weight, bias, residual, relu=True, stride=1, padding=1, by_taps=True)


def triton_rows(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None) -> Tensor:
    from losslandscape.evaluate.kernels import conv, row_conv

    if not row_conv.fits(x, weight):
        raise ValueError("the kernel does not take this shape")
    return conv.conv(x, weight, bias, residual, relu=True, stride=1, padding=1)


def triton_block(given: Operands) -> Tensor:
    from losslandscape.evaluate.kernels import block

    if not block.fits(given.x, *given.weights):
        raise ValueError("the kernel does not take this shape")
    (weight1, weight2), (bias1, bias2) = given.weights, given.biases
    return block.block(given.x, weight1, bias1, weight2, bias2)


def is_right(name: str, call: Call, what: str, given: Operands) -> bool:
    """Return whether a way runs and agrees with separate layers; say so if not."""
    truth = ways_of(what)["apart"](given).float()
    try:
        difference = (call(given).float() - truth).abs().max() / truth.abs().max()
    # No kernel for this shape, no compiler, too little shared memory: each is another exception.
    except Exception as error:
        print(f"left out: {name}, {what}, {given.x.shape[1]} channels ({one_line(error)})")
        return False
    if not difference < TOLERANCE:  # NaN is wrong
        print(f"left out: {name}, {what}, {given.x.shape[1]} channels is wrong by {difference:.2g}")
        return False
    return True


def graph_of(calls: Sequence[Callable[[], object]]) -> torch.cuda.CUDAGraph:
    """Capture calls one after the other; all their results are kept, so that each has memory of its own."""
    graph = torch.cuda.CUDAGraph()
    calls[0]()  # compiles
    torch.cuda.synchronize()
    with torch.inference_mode(), torch.cuda.graph(graph):
        results = [call() for call in calls]
    del results
    return graph


def seconds_of(graph: torch.cuda.CUDAGraph) -> float:
    """Return the seconds of device time of one replay."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    graph.replay()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


if __name__ == "__main__":
    main()
