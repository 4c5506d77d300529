"""A residual block in one kernel, for images so small that a program holds one of them whole.

A program loads its image, computes both convolutions, and writes the result. For each tap of a window, a
product with a matrix of zeros and ones moves the image under that tap, as in `row_block`. The weights are
loaded tap by tap, because all of them would not fit into shared memory.
"""

import triton
import triton.language as tl
from torch import Tensor

from losslandscape.evaluate.kernels import tile
from losslandscape.evaluate.kernels.tile import as_matrix, moved, to_tf32

SIDE = 8  # of the largest image: its 64 pixels are the lines of one product of an H100's tensor cores
CHANNELS = (32, 64)  # with 128, float32 does not fit into the registers


def fits(x: Tensor) -> bool:
    """Whether images and channels have sizes that this kernel takes."""
    return x.shape[1] in CHANNELS and max(x.shape[2:]) <= SIDE


def launch(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor, out: Tensor) -> None:
    """Write relu(x + conv2d(relu(conv2d(x, weight1) + bias1), weight2) + bias2) to out."""
    images, channels, height, width = x.shape
    _kernel[(images,)](
        x, weight1, bias1, weight2, bias2, out,
        HEIGHT=height, WIDTH=width, SIDE=SIDE, CHANNELS=channels, STAGES=3, num_warps=4,
    )  # fmt: skip


@triton.jit
def _kernel(
    x, weight1, bias1, weight2, bias2, out,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, SIDE: tl.constexpr, CHANNELS: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    pixel = tl.arange(0, SIDE * SIDE)
    row, column = pixel // SIDE, pixel % SIDE
    channel = tl.arange(0, CHANNELS)
    inside = ((row < HEIGHT) & (column < WIDTH))[:, None]
    start = tl.program_id(0) * (HEIGHT * WIDTH)
    offsets = (start + row * WIDTH + column)[:, None] * CHANNELS + channel[None, :]
    pixels = to_tf32(tl.load(x + offsets, mask=inside, other=0.0), "tf32")
    middle = convolved(pixels, weight1, SIDE, CHANNELS, STAGES)
    middle += tl.load(bias1 + channel).to(tl.float32)[None, :]
    # Outside of the image the second convolution sees zeros, not what the bias makes of zeros.
    middle = tl.where(inside, tl.where(middle < 0, 0.0, middle), 0.0).to(pixels.dtype)
    middle = to_tf32(middle, "tf32")
    total = convolved(middle, weight2, SIDE, CHANNELS, STAGES)
    shift = tl.load(bias2 + channel).to(tl.float32)[None, :]
    result = tile.finish(total, shift, x, offsets, inside, HAS_RESIDUAL=True, RELU=True)
    tl.store(out + offsets, result.to(pixels.dtype), mask=inside)


@triton.jit
def convolved(pixels, weight, SIDE: tl.constexpr, CHANNELS: tl.constexpr, STAGES: tl.constexpr):
    """Return the 3x3 convolution of an image (SIDE * SIDE, CHANNELS).

    weight is (C_out, 3, 3, C_in) in memory.
    """
    to = tl.arange(0, SIDE * SIDE)[:, None]
    of = tl.arange(0, SIDE * SIDE)[None, :]
    c_in = tl.arange(0, CHANNELS)[None, :]
    c_out = tl.arange(0, CHANNELS)[:, None]
    total = tl.zeros((SIDE * SIDE, CHANNELS), tl.float32)
    for tap in tl.range(0, 9, num_stages=STAGES):
        down, right = tap // 3 - 1, tap % 3 - 1
        row, column = to // SIDE + down, to % SIDE + right
        is_there = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
        seen = moved(as_matrix(is_there & (of == row * SIDE + column), pixels.dtype), pixels)
        factors = to_tf32(tl.load(weight + (c_out * 9 + tap) * CHANNELS + c_in), "tf32")
        total = tl.dot(seen, tl.trans(factors), total)
    return total
