"""A residual block in one kernel that reads each row of an image once.

A program walks down the rows of some images, as in `row_conv`. At each step it loads one row of the input,
completes one row of the intermediate and one row of the output. Running sums in registers hold what the
next rows need.

The second convolution needs the neighbours of the intermediate's pixels, which other threads hold, and
Triton cannot address shared memory. But the tensor cores can move the lines of a tile by one, exactly: by a
product with a matrix of zeros and ones. Its lines of zeros are the padding at the edges of the images. The
first convolution gets its neighbours in the same way, so each pixel is loaded once. With 16 channels this
nearly doubles the operations, of which a block has few.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from losslandscape.evaluate.kernels import tile
from losslandscape.evaluate.kernels.row_conv import rows_per_program
from losslandscape.evaluate.kernels.tile import as_matrix, moved, to_tf32

PIXELS = 64  # of a program in a row: the lines of one product of an H100's tensor cores (wgmma)
# With more channels, the running sums do not fit into registers (`tests/evaluate/kernels/test_compiled.py`).
CHANNELS = {torch.float32: (16,), torch.bfloat16: (16, 32), torch.float16: (16, 32)}


def fits(x: Tensor) -> bool:
    """Whether images and channels have sizes that this kernel takes."""
    return x.shape[1] in CHANNELS[x.dtype] and x.shape[3] <= PIXELS


def launch(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor, out: Tensor) -> None:
    """Write relu(x + conv2d(relu(conv2d(x, weight1) + bias1), weight2) + bias2) to out."""
    images, channels, height, width = x.shape
    side = triton.next_power_of_2(width)
    programs = triton.cdiv(images * side, PIXELS)
    rows = rows_per_program(height, programs)
    strips = triton.cdiv(height, rows)
    _kernel[(programs * strips,)](
        x, weight1, bias1, weight2, bias2, out, images, rows, strips,
        HEIGHT=height, WIDTH=width, SIDE=side, CHANNELS=channels, PIXELS=PIXELS,
        STAGES=2, num_warps=4,
    )  # fmt: skip


@triton.jit(do_not_specialize=["images", "rows", "strips"])
def _kernel(
    x, weight1, bias1, weight2, bias2, out, images, rows, strips,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, SIDE: tl.constexpr, CHANNELS: tl.constexpr,
    PIXELS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    first_row = tl.program_id(0) % strips * rows
    end_row = tl.minimum(first_row + rows, HEIGHT)
    pixel = tl.program_id(0) // strips * PIXELS + tl.arange(0, PIXELS)
    image, column = pixel // SIDE, pixel % SIDE
    channel = tl.arange(0, CHANNELS)
    in_image = ((image < images) & (column < WIDTH))[:, None]
    offsets = (image * (HEIGHT * WIDTH) + column)[:, None] * CHANNELS + channel[None, :]

    dtype: tl.constexpr = x.dtype.element_ty
    to_right, to_left = moves(PIXELS, SIDE, dtype)
    taps1 = nine_weights(weight1, CHANNELS)
    taps2 = nine_weights(weight2, CHANNELS)
    shift1 = tl.load(bias1 + channel).to(tl.float32)[None, :]
    shift2 = tl.load(bias2 + channel).to(tl.float32)[None, :]
    zeros = tl.zeros((PIXELS, CHANNELS), tl.float32)
    above1, here1 = zeros, zeros  # running sums of the intermediate's rows `row - 1` and `row`
    above2, here2 = zeros, zeros  # and of the output's rows `row - 2` and `row - 1`
    for row in tl.range(first_row - 2, end_row + 2, num_stages=STAGES):
        inside = in_image & (row >= 0) & (row < HEIGHT)
        pixels = tl.load(x + offsets + row * (WIDTH * CHANNELS), mask=inside, other=0.0)
        pixels = to_tf32(pixels, "tf32")
        left, right = moved(to_right, pixels), moved(to_left, pixels)
        whole1 = line_of_taps(left, pixels, right, taps1, 2, above1)
        above1 = line_of_taps(left, pixels, right, taps1, 1, here1)
        here1 = line_of_taps(left, pixels, right, taps1, 0, zeros)

        # Outside of the image the second convolution sees zeros, not what the bias makes of zeros.
        inside = in_image & (row >= 1) & (row <= HEIGHT)
        middle = whole1 + shift1
        middle = tl.where(inside, tl.where(middle < 0, 0.0, middle), 0.0).to(dtype)
        middle = to_tf32(middle, "tf32")
        left, right = moved(to_right, middle), moved(to_left, middle)
        whole2 = line_of_taps(left, middle, right, taps2, 2, above2)
        above2 = line_of_taps(left, middle, right, taps2, 1, here2)
        here2 = line_of_taps(left, middle, right, taps2, 0, zeros)

        places = offsets + (row - 2) * (WIDTH * CHANNELS)
        written = in_image & (row >= first_row + 2)
        result = tile.finish(whole2, shift2, x, places, written, HAS_RESIDUAL=True, RELU=True)
        tl.store(out + places, result.to(dtype), mask=written)


@triton.jit
def moves(PIXELS: tl.constexpr, SIDE: tl.constexpr, dtype: tl.constexpr):
    """Return the matrices that move the lines of a tile to the right and to the left in their image.

    An image has SIDE pixels in a row. Pixels at its edges, which have no neighbour, get zeros.
    """
    to = tl.arange(0, PIXELS)[:, None]
    of = tl.arange(0, PIXELS)[None, :]
    to_right = (of == to - 1) & (to % SIDE != 0)
    to_left = (of == to + 1) & (of % SIDE != 0)
    return as_matrix(to_right, dtype), as_matrix(to_left, dtype)


@triton.jit
def nine_weights(weight, CHANNELS: tl.constexpr):
    """Return the nine matrices (C_in, C_out) of weight, which is (C_out, 3, 3, C_in) in memory."""
    return (
        tap_weights(weight, 0, CHANNELS),
        tap_weights(weight, 1, CHANNELS),
        tap_weights(weight, 2, CHANNELS),
        tap_weights(weight, 3, CHANNELS),
        tap_weights(weight, 4, CHANNELS),
        tap_weights(weight, 5, CHANNELS),
        tap_weights(weight, 6, CHANNELS),
        tap_weights(weight, 7, CHANNELS),
        tap_weights(weight, 8, CHANNELS),
    )


@triton.jit
def tap_weights(weight, TAP: tl.constexpr, CHANNELS: tl.constexpr):
    c_in = tl.arange(0, CHANNELS)[None, :]
    c_out = tl.arange(0, CHANNELS)[:, None]
    return tl.trans(to_tf32(tl.load(weight + (c_out * 9 + TAP) * CHANNELS + c_in), "tf32"))


@triton.jit
def line_of_taps(left, pixels, right, taps, LINE: tl.constexpr, total):
    """Return total plus the products of three neighbouring pixels with a line of the window."""
    total = tl.dot(left, taps[3 * LINE], total)
    total = tl.dot(pixels, taps[3 * LINE + 1], total)
    return tl.dot(right, taps[3 * LINE + 2], total)
