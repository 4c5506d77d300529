"""Square convolutions of any size and stride, as products of matrices that are never stored.

The output is a matrix (pixels, C_out). It is the sum over the taps of the window of (pixels, C_in) times
(C_in, C_out), where the lines of the first matrix are the input pixels under that tap.
"""

from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor

from losslandscape.evaluate.kernels.tile import finish, precision_of, product

SMALLEST = 16  # the smallest side of a tile that tl.dot takes


@dataclass(frozen=True)
class Tiles:
    """The tile of a program: pixels, output channels, input channels; and its warps and pipeline stages."""

    pixels: int
    c_out: int
    c_in: int
    warps: int
    stages: int


def tiles_of(x: Tensor, weight: Tensor) -> Tiles:
    """Return tiles that cover the channels up to a limit, which registers and shared memory set."""
    c_out, c_in = weight.shape[:2]
    if precision_of(x) == "ieee":  # without tensor cores, all factors are in registers
        return Tiles(64, _tile_side(c_out, 32), SMALLEST, warps=4, stages=2)
    side = _tile_side(c_out, 128)
    line = 128 // x.element_size()  # 128 bytes of a pixel, the length of a line of the caches
    return Tiles(128, side, _tile_side(c_in, line), warps=8 if side == 128 else 4, stages=3)


def _tile_side(channels: int, most: int) -> int:
    """Return the smallest power of two that covers the channels, from `SMALLEST` to `most`."""
    return min(max(triton.next_power_of_2(channels), SMALLEST), most)


def launch(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, out: Tensor,
    *, relu: bool, stride: int, padding: int,
) -> None:  # fmt: skip
    """Write relu(conv2d(x, weight) + bias + residual) to out; all 4-d tensors are channels-last."""
    images, c_out, out_height, out_width = out.shape
    tiles = tiles_of(x, weight)
    pixels = images * out_height * out_width
    programs = triton.cdiv(pixels, tiles.pixels) * triton.cdiv(c_out, tiles.c_out)
    _kernel[(programs,)](
        x, weight, bias, residual, out, pixels,
        HEIGHT=x.shape[2], WIDTH=x.shape[3], OUT_HEIGHT=out_height, OUT_WIDTH=out_width,
        C_IN=x.shape[1], C_OUT=c_out, SIDE=weight.shape[2], STRIDE=stride, PADDING=padding,
        HAS_RESIDUAL=residual is not None, RELU=relu, PRECISION=precision_of(x),
        M=tiles.pixels, N=tiles.c_out, K=tiles.c_in, STAGES=tiles.stages, num_warps=tiles.warps,
    )  # fmt: skip


@triton.jit(do_not_specialize=["pixels"])
def _kernel(
    x, weight, bias, residual, out, pixels,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, OUT_HEIGHT: tl.constexpr, OUT_WIDTH: tl.constexpr,
    C_IN: tl.constexpr, C_OUT: tl.constexpr,
    SIDE: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr, RELU: tl.constexpr, PRECISION: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    # Programs of the same pixels are neighbours, so that all but one find them in the cache.
    COLUMNS: tl.constexpr = (C_OUT + N - 1) // N
    pixel = tl.program_id(0) // COLUMNS * M + tl.arange(0, M)
    n = tl.program_id(0) % COLUMNS * N + tl.arange(0, N)
    image, within = pixel // (OUT_HEIGHT * OUT_WIDTH), pixel % (OUT_HEIGHT * OUT_WIDTH)
    top = within // OUT_WIDTH * STRIDE - PADDING
    left = within % OUT_WIDTH * STRIDE - PADDING

    STEPS_PER_TAP: tl.constexpr = (C_IN + K - 1) // K
    total = tl.zeros((M, N), tl.float32)
    for step in tl.range(0, SIDE * SIDE * STEPS_PER_TAP, num_stages=STAGES):
        tap = step // STEPS_PER_TAP
        k = step % STEPS_PER_TAP * K + tl.arange(0, K)
        row, column = top + tap // SIDE, left + tap % SIDE
        inside = (pixel < pixels) & (row >= 0) & (row < HEIGHT) & (column >= 0) & (column < WIDTH)
        start = ((image * HEIGHT + row) * WIDTH + column) * C_IN
        values = tl.load(
            x + start[:, None] + k[None, :], mask=inside[:, None] & (k < C_IN)[None, :], other=0.0
        )
        factors = tl.load(
            weight + (n[:, None] * (SIDE * SIDE) + tap) * C_IN + k[None, :],
            mask=(n < C_OUT)[:, None] & (k < C_IN)[None, :],
            other=0.0,
        )
        total = product(values, tl.trans(factors), total, PRECISION)

    shift = tl.load(bias + n, mask=n < C_OUT, other=0.0).to(tl.float32)[None, :]
    offsets = pixel[:, None] * C_OUT + n[None, :]
    written = (pixel < pixels)[:, None] & (n < C_OUT)[None, :]
    result = finish(total, shift, residual, offsets, written, HAS_RESIDUAL, RELU)
    tl.store(out + offsets, result.to(out.dtype.element_ty), mask=written)
