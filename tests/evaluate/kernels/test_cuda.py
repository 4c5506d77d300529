"""The kernels on a GPU compute what torch computes, at the sizes of ResNet-56, also inside a CUDA graph."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from losslandscape.evaluate import kernels
from losslandscape.evaluate.cuda_graph import CapturedCall

has_kernels = torch.cuda.is_available() and kernels.available()
pytestmark = pytest.mark.skipif(not has_kernels, reason="this machine has no CUDA device with Triton")
SHAPES = [(16, 32), (32, 16), (64, 8)]
# The largest difference from float64, relative to the largest value.
PRECISIONS = {"fp32": 3e-6, "tf32": 1e-3, "bf16": 1e-2}
IMAGES = 1023  # no tile divides it


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", request.param == "tf32")
    return request.param


def random(*shape: int, precision: str) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(sum(shape))
    values = torch.randn(shape, generator=generator, device="cuda")
    values = values.to(torch.bfloat16 if precision == "bf16" else torch.float32)
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


def weights(c_out: int, c_in: int, width: int, precision: str) -> Tensor:
    return random(c_out, c_in, width, width, precision=precision) / (c_in * width**2) ** 0.5


def check(result: Tensor, truth: Tensor, precision: str) -> None:
    assert result.is_contiguous(memory_format=torch.channels_last)
    difference = (result.double() - truth).abs().max() / truth.abs().max()
    assert difference < PRECISIONS[precision]


@pytest.mark.parametrize(("channels", "side"), SHAPES)
@pytest.mark.parametrize(("residual", "rows"), [(True, True), (False, True), (True, False)])
def test_a_convolution(channels, side, residual, rows, precision):
    from losslandscape.evaluate.kernels import conv

    x = random(IMAGES, channels, side, side, precision=precision)
    weight, bias = weights(channels, channels, 3, precision), random(channels, precision=precision)
    assert conv.fits(x, weight, stride=1, padding=1, dilation=1, groups=1)
    added = x if residual else None
    convolve = partial(conv.conv, by_taps=not rows)
    result = convolve(x, weight, bias, added, relu=True, stride=1, padding=1)
    truth = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    check(result, (truth + x.double() if residual else truth).relu(), precision)


@pytest.mark.parametrize("width", [1, 3])
def test_a_convolution_with_a_stride(width, precision):
    from losslandscape.evaluate.kernels import conv

    x = random(IMAGES, 16, 32, 32, precision=precision)
    weight, bias = weights(32, 16, width, precision), random(32, precision=precision)
    result = conv.conv(x, weight, bias, relu=False, stride=2, padding=width // 2)
    truth = F.conv2d(x.double(), weight.double(), bias.double(), stride=2, padding=width // 2)
    check(result, truth, precision)


@pytest.mark.parametrize(("channels", "side"), SHAPES)
def test_a_residual_block(channels, side, precision):
    from losslandscape.evaluate.kernels import block

    x = random(IMAGES, channels, side, side, precision=precision)
    weight1, weight2 = weights(channels, channels, 3, precision), -weights(channels, channels, 3, precision)
    bias1, bias2 = random(channels, precision=precision), -random(channels, precision=precision)
    if not block.fits(x, weight1, weight2):
        pytest.skip("the kernel does not take this shape")
    middle = F.conv2d(x.double(), weight1.double(), bias1.double(), padding=1).relu()
    truth = (x.double() + F.conv2d(middle, weight2.double(), bias2.double(), padding=1)).relu()
    check(block.block(x, weight1, bias1, weight2, bias2), truth, precision)


def test_an_affine_map_of_two_parts(precision):
    from losslandscape.evaluate.kernels import affine

    parts = [random(IMAGES, channels, 16, 16, precision=precision) for channels in (12, 52)]
    scale, shift = random(64, precision="fp32"), random(64, precision="fp32").flip(0)
    truth = torch.cat(parts, 1).double() * scale[:, None, None] + shift[:, None, None]
    check(affine.affine_relu(parts, scale, shift), truth.relu(), precision)


def test_a_graph_reads_the_present_values():
    from losslandscape.evaluate.kernels import block, conv

    x = random(256, 16, 32, 32, precision="bf16")
    weight, bias = weights(16, 16, 3, "bf16"), random(16, precision="bf16")

    def both() -> Tensor:
        middle = conv.conv(x, weight, bias, x, relu=True, stride=1, padding=1)
        return block.block(middle, weight, bias, weight, bias)

    captured = CapturedCall(both)
    assert captured.captured
    x.mul_(-1)
    weight.mul_(0.5)
    assert torch.equal(captured().clone(), both())
