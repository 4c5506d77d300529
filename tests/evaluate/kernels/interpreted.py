"""Cases of the kernels in Triton's interpreter, on the CPU. `test_interpreted.py` runs them in a process.

The truth is torch's convolution in float64.
"""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from losslandscape.evaluate import kernels
from losslandscape.evaluate.kernels import affine
from losslandscape.evaluate.kernels import block as block_kernel
from losslandscape.evaluate.kernels import conv as conv_kernel
from tests.evaluate.kernels.interpreter import bfloat16_products, loops  # noqa: F401 - fixtures

ROUNDING = {torch.float32: 2**-11, torch.bfloat16: 2**-8, torch.float16: 2**-11}  # float32 as TF32
DTYPES = list(ROUNDING)


def image(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last)


def check(result: Tensor, truth: Tensor, dtype: torch.dtype) -> None:
    """The result is the truth to the rounding of its dtype, and is channels-last."""
    assert result.dtype == dtype and result.shape == truth.shape
    assert result.is_contiguous(memory_format=torch.channels_last)
    largest = truth.abs().max().item()
    torch.testing.assert_close(result.double(), truth, rtol=0, atol=2 * ROUNDING[dtype] * largest)


def check_conv(shape, c_out, width, *, dtype, stride=1, padding=None, residual=False, relu=True, rows=True):
    torch.manual_seed(0)
    padding = width // 2 if padding is None else padding
    x = image(*shape, dtype=dtype)
    weight = (torch.randn(c_out, shape[1], width, width) / (shape[1] * width**2) ** 0.5).to(dtype)
    bias = torch.randn(c_out)
    assert conv_kernel.fits(x, weight, stride=stride, padding=padding, dilation=1, groups=1)
    truth = F.conv2d(x.double(), weight.double(), bias.double(), stride=stride, padding=padding)
    added = image(*truth.shape, dtype=dtype) if residual else None
    convolve = partial(conv_kernel.conv, by_taps=not rows)
    result = convolve(x, weight, bias, added, relu=relu, stride=stride, padding=padding)
    truth = truth if added is None else truth + added.double()
    check(result, truth.relu() if relu else truth, dtype)


def test_kernels_are_available():
    assert kernels.available()


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [16, 32, 64])
def test_three_by_three_with_what_follows(channels, dtype, residual, relu):
    check_conv((3, channels, 8, 8), channels, 3, dtype=dtype, residual=residual, relu=relu)


@pytest.mark.parametrize("side", [(7, 7), (5, 9), (1, 1), (2, 3), (32, 32)])
@pytest.mark.parametrize("channels", [16, 64])
def test_sides_of_images(channels, side):
    check_conv((3, channels, *side), channels, 3, dtype=torch.float32, residual=True)


@pytest.mark.parametrize("channels", [16, 32])
def test_the_other_kernel(channels):
    check_conv((3, channels, 7, 9), channels, 3, dtype=torch.bfloat16, residual=True, rows=False)


@pytest.mark.parametrize("images", [1, 2, 5, 33])
def test_numbers_of_images_that_no_tile_divides(images):
    check_conv((images, 16, 6, 6), 16, 3, dtype=torch.float16)
    check_conv((images, 48, 6, 6), 24, 3, dtype=torch.float16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 3])
def test_stride_two(width, dtype):
    check_conv((3, 16, 9, 7), 32, width, dtype=dtype, stride=2)


@pytest.mark.parametrize(
    ("c_in", "c_out", "width", "padding"),
    [(16, 32, 3, 1), (32, 16, 3, 1), (16, 16, 3, 0), (24, 40, 1, 0), (17, 150, 5, 2), (80, 16, 2, 0)],
)
def test_channels_windows_and_margins(c_in, c_out, width, padding):
    check_conv((2, c_in, 6, 5), c_out, width, dtype=torch.float32, padding=padding)


def test_exact_products(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setitem(ROUNDING, torch.float32, 2**-22)
    check_conv((3, 16, 7, 7), 16, 3, dtype=torch.float32, residual=True)


def test_a_not_a_number_is_kept():
    x = image(1, 16, 4, 4, dtype=torch.float32)
    x[0, 3, 1, 1] = torch.nan
    result = conv_kernel.conv(x, torch.ones(16, 16, 3, 3), torch.zeros(16), relu=True, stride=1, padding=1)
    assert result[0, :, :3, :3].isnan().all() and not result[0, :, 3].isnan().any()


def test_tf32_is_rounded_to_nearest():
    """Tensor cores cut off the last bits, which would make all products smaller."""
    x = torch.full((1, 16, 1, 1), 1 + 2**-11 + 2**-20).contiguous(memory_format=torch.channels_last)
    weight = torch.eye(16).reshape(16, 16, 1, 1)
    result = conv_kernel.conv(x, weight, torch.zeros(16), relu=False, stride=1, padding=0)
    assert (result == 1 + 2**-10).all()


def test_memory_of_another_layout_is_refused():
    x = image(2, 16, 4, 4, dtype=torch.float32)
    weight = torch.ones(16, 16, 3, 3)

    def fits(x, weight, **other):
        return conv_kernel.fits(x, weight, **dict(stride=1, padding=1, dilation=1, groups=1) | other)

    assert fits(x, weight) and fits(x, weight, stride=(2, 2), padding=(0, 0))
    assert not fits(x.contiguous(), weight)
    assert not fits(x[:, :, ::2], weight)
    assert not fits(x.double(), weight.double())
    assert not fits(x.half(), weight)
    assert not fits(x, weight[:3]) and not fits(x[:0], weight)
    assert not fits(x, weight, stride=(1, 2)) and not fits(x, weight, padding="same")
    assert not fits(x, weight, dilation=2) and not fits(x, torch.ones(16, 1, 3, 3), groups=16)
    assert not fits(x, torch.ones(16, 16, 5, 5), padding=0)
    too_large = torch.empty(2**12, 16, 2**8, 2**7, device="meta", memory_format=torch.channels_last)
    assert not fits(too_large, weight)


def check_block(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, channels = image(*shape, dtype=dtype), shape[1]
    weights = [(torch.randn(channels, channels, 3, 3) / (9 * channels) ** 0.5).to(dtype) for _ in range(2)]
    biases = [torch.randn(channels) for _ in range(2)]
    assert block_kernel.fits(x, *weights)
    result = block_kernel.block(x, weights[0], biases[0], weights[1], biases[1])
    middle = F.conv2d(x.double(), weights[0].double(), biases[0].double(), padding=1).relu()
    truth = x.double() + F.conv2d(middle, weights[1].double(), biases[1].double(), padding=1)
    check(result, truth.relu(), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sides", [(32, 32), (8, 8), (7, 7), (5, 9), (1, 1), (9, 64), (17, 2)])
def test_a_residual_block(sides, dtype):
    check_block((3, 16, *sides), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sides", [(8, 8), (7, 5), (1, 1)])
def test_a_residual_block_of_small_images(sides, dtype):
    check_block((3, 64, *sides), dtype)
    check_block((2, 32, *sides), dtype)


@pytest.mark.parametrize("images", [1, 2, 5, 67])
def test_blocks_of_numbers_of_images_that_no_tile_divides(images):
    check_block((images, 16, 9, 8), torch.float32)
    check_block((images, 32, 4, 4), torch.bfloat16)


def test_blocks_that_do_not_fit_into_a_program(monkeypatch):
    x, weight = image(2, 16, 8, 8, dtype=torch.float32), torch.zeros(16, 16, 3, 3)
    assert block_kernel.fits(x, weight, weight)
    assert not block_kernel.fits(x.contiguous(), weight, weight)
    assert not block_kernel.fits(x, weight, weight[:, :, 1:2, 1:2])
    assert not block_kernel.fits(x, weight.half(), weight)
    assert not block_kernel.fits(image(1, 16, 4, 65, dtype=torch.float32), weight, weight)
    wide = torch.zeros(32, 32, 3, 3)
    assert not block_kernel.fits(image(1, 32, 4, 9, dtype=torch.float32), wide, wide)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert not block_kernel.fits(x, weight, weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [(3,), (16,), (12, 24), (5, 64, 200)])
def test_an_affine_map_of_parts(channels, dtype):
    torch.manual_seed(0)
    parts = [image(3, count, 5, 7, dtype=dtype) for count in channels]
    scale, shift = torch.randn(sum(channels)), torch.randn(sum(channels))
    assert affine.fits(*parts)
    result = affine.affine_relu(parts, scale, shift)
    truth = torch.cat(parts, 1).double() * scale[:, None, None] + shift[:, None, None]
    check(result, truth.relu(), dtype)


def test_parts_that_differ_are_refused():
    x = image(2, 16, 4, 4, dtype=torch.float32)
    assert affine.fits(x, image(2, 3, 4, 4, dtype=torch.float32))
    assert not affine.fits(x, image(2, 16, 4, 5, dtype=torch.float32))
    assert not affine.fits(x, x.half()) and not affine.fits(x.contiguous())
