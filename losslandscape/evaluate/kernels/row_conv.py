"""3x3 convolutions with stride 1 that read each row of an image once.

A convolution with 16 channels is limited by reading: a plain kernel loads each pixel nine times, once for
each tap, and copies into shared memory pass by the L1 cache, so all nine come from L2. Here a program walks
down the rows of some images. A row takes part in three output rows (above, same, below), so the program keeps
three running sums in registers, and writes one row whenever its sum is whole.

Two neighbouring output pixels need four input pixels of a row. These lie side by side in memory, so one load
gives a line of a matrix (pairs, 4 C_in), and one product with a matrix (4 C_in, 2 C_out) gives both pixels.
A quarter of this matrix is zero, which costs 4/3 of the operations; tensor cores have them to spare at few
channels. So each pixel is loaded twice instead of nine times.

Zero times infinity is NaN. So a value that is not finite may make one more pixel NaN than it should.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from losslandscape.evaluate.kernels.tile import finish, precision_of, product

PAIRS = 64  # per program: the lines of one product of an H100's tensor cores (wgmma)
ENOUGH_PROGRAMS = 512  # about four for each of an H100's 132 processors
FEWEST_ROWS = 4  # per program; each program reads two rows more than it writes
# With more channels, the weights and sums would not fit into shared memory and registers.
CHANNELS = {torch.float32: (16,), torch.bfloat16: (16, 32), torch.float16: (16, 32)}


def fits(x: Tensor, weight: Tensor) -> bool:
    """Whether these channels can be computed, for a 3x3 convolution with stride 1 and padding 1."""
    return set(weight.shape[:2]) <= set(CHANNELS[x.dtype]) and precision_of(x) == "tf32"


def launch(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, out: Tensor, *, relu: bool
) -> None:
    """Write relu(conv2d(x, weight) + bias + residual) to out; all 4-d tensors are channels-last."""
    images, c_in, height, width = x.shape
    groups = triton.cdiv(images * triton.cdiv(width, 2), PAIRS)
    rows = rows_per_program(height, groups)
    strips = triton.cdiv(height, rows)
    is_small = c_in * weight.shape[0] <= 16 * 16  # then several programs share a processor
    _kernel[(groups * strips,)](
        x, weight, bias, residual, out, images, rows, strips,
        HEIGHT=height, WIDTH=width, C_IN=c_in, C_OUT=weight.shape[0], PAIRS=PAIRS,
        HAS_RESIDUAL=residual is not None, RELU=relu, PRECISION=precision_of(x),
        STAGES=3 if is_small else 2, num_warps=4 if is_small else 8,
    )  # fmt: skip


def rows_per_program(height: int, groups: int) -> int:
    """Return how many rows each program computes: all, or fewer if that gives too few programs."""
    rows = height
    while groups * triton.cdiv(height, rows) < ENOUGH_PROGRAMS and rows >= 2 * FEWEST_ROWS:
        rows = triton.cdiv(rows, 2)
    return rows


@triton.jit(do_not_specialize=["images", "rows", "strips"])
def _kernel(
    x, weight, bias, residual, out, images, rows, strips,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, C_IN: tl.constexpr, C_OUT: tl.constexpr, PAIRS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr, RELU: tl.constexpr, PRECISION: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    PAIRS_PER_ROW: tl.constexpr = (WIDTH + 1) // 2
    first_row = tl.program_id(0) % strips * rows
    end_row = tl.minimum(first_row + rows, HEIGHT)
    pair = tl.program_id(0) // strips * PAIRS + tl.arange(0, PAIRS)
    image, column = pair // PAIRS_PER_ROW, pair % PAIRS_PER_ROW * 2
    start = image * (HEIGHT * WIDTH) + column  # of the pair in row 0, in pixels

    # Lines of the input matrix: the pixels column-1 … column+2, all channels of each.
    k = tl.arange(0, 4 * C_IN)
    in_column = column[:, None] - 1 + (k // C_IN)[None, :]
    in_image = (image < images)[:, None] & (in_column >= 0) & (in_column < WIDTH)
    in_offsets = (start[:, None] - 1) * C_IN + k[None, :]
    # Lines of the output matrix: the pixels column and column+1.
    n = tl.arange(0, 2 * C_OUT)
    out_image = (image < images)[:, None] & (column[:, None] + (n // C_OUT)[None, :] < WIDTH)
    out_offsets = start[:, None] * C_OUT + n[None, :]

    upper = pair_weights(weight, 0, C_IN, C_OUT)
    middle = pair_weights(weight, 1, C_IN, C_OUT)
    lower = pair_weights(weight, 2, C_IN, C_OUT)
    shift = tl.load(bias + n % C_OUT).to(tl.float32)[None, :]
    above = tl.zeros((PAIRS, 2 * C_OUT), tl.float32)  # the sum of output row `row - 1`, without `row`
    here = tl.zeros((PAIRS, 2 * C_OUT), tl.float32)  # the sum of output row `row`
    for row in tl.range(first_row - 1, end_row + 1, num_stages=STAGES):
        inside = in_image & (row >= 0) & (row < HEIGHT)
        pixels = tl.load(x + in_offsets + row * (WIDTH * C_IN), mask=inside, other=0.0)
        # The sum that is read at once comes last: the three run without a pause.
        below = product(pixels, upper, tl.zeros((PAIRS, 2 * C_OUT), tl.float32), PRECISION)
        same = product(pixels, middle, here, PRECISION)
        whole = product(pixels, lower, above, PRECISION)
        above, here = same, below
        offsets = out_offsets + (row - 1) * (WIDTH * C_OUT)
        written = out_image & (row > first_row)
        result = finish(whole, shift, residual, offsets, written, HAS_RESIDUAL, RELU)
        tl.store(out + offsets, result.to(out.dtype.element_ty), mask=written)


@triton.jit
def pair_weights(weight, KY: tl.constexpr, C_IN: tl.constexpr, C_OUT: tl.constexpr):
    """Return the matrix (4 C_IN, 2 C_OUT) from four pixels of a row to two of the output.

    weight is (C_OUT, 3, 3, C_IN) in memory. KY is the line of the 3x3 window.
    """
    k = tl.arange(0, 4 * C_IN)[None, :]
    n = tl.arange(0, 2 * C_OUT)[:, None]
    kx = k // C_IN - n // C_OUT
    offsets = ((n % C_OUT) * 9 + KY * 3 + kx) * C_IN + k % C_IN
    return tl.trans(tl.load(weight + offsets, mask=(kx >= 0) & (kx < 3), other=0.0))
