"""Functions that the kernels share: products of tiles, and the bias, sum and ReLU after a convolution."""

import torch
import triton
import triton.language as tl
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MOST_ELEMENTS = 2**31 - 1  # kernels count elements in int32


def is_image(x: Tensor) -> bool:
    """Whether x (N, C, H, W) is channels-last in memory, and of a size and dtype that the kernels take."""
    return (
        x.dim() == 4
        and x.dtype in DTYPES
        and 0 < x.numel() <= MOST_ELEMENTS
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def precision_of(x: Tensor) -> str:
    """Return how factors in float32 are rounded, by cuDNN's setting: "ieee" or "tf32"."""
    is_exact = x.dtype == torch.float32 and not torch.backends.cudnn.allow_tf32
    return "ieee" if is_exact else "tf32"


@triton.jit
def product(a, b, total, PRECISION: tl.constexpr):
    """Return total + a @ b. Tensor cores truncate float32 to TF32, so values are rounded to TF32 before."""
    return tl.dot(to_tf32(a, PRECISION), to_tf32(b, PRECISION), total, input_precision=PRECISION)


@triton.jit
def to_tf32(a, PRECISION: tl.constexpr):
    """Return float32 values rounded to the nearest TF32, which has 13 bits less; others as they are."""
    if a.dtype == tl.float32 and PRECISION == "tf32":
        bits = a.to(tl.int32, bitcast=True) + 0x1000  # half a unit of the last bit that stays
        a = (bits & -0x2000).to(tl.float32, bitcast=True)
    return a


@triton.jit
def moved(move, pixels):
    """Return the product of a matrix of zeros and ones with pixels, exactly: each line is another pixel.

    A TF32 number is the sum of two bfloat16 numbers. Their products with a matrix of bfloat16 need half the
    registers.
    """
    if pixels.dtype == tl.float32:
        high = pixels.to(tl.bfloat16)
        low = (pixels - high.to(tl.float32)).to(tl.bfloat16)
        result = tl.dot(move, low, tl.dot(move, high))
    else:
        result = tl.dot(move, pixels).to(pixels.dtype)
    return result


@triton.jit
def as_matrix(is_one, dtype: tl.constexpr):
    """Return a matrix of zeros and ones for `moved`, from a boolean one and the dtype of the pixels."""
    narrow: tl.constexpr = tl.bfloat16 if dtype == tl.float32 else dtype
    return is_one.to(tl.float32).to(narrow)  # by way of float32, as the interpreter needs it


@triton.jit
def finish(total, shift, residual, offsets, inside, HAS_RESIDUAL: tl.constexpr, RELU: tl.constexpr):
    """Return total plus shift plus the residual's values at the offsets, through a ReLU if wanted."""
    result = total + shift
    if HAS_RESIDUAL:
        result += tl.load(residual + offsets, mask=inside, other=0.0).to(tl.float32)
    if RELU:
        # NaN stays NaN, as in torch; a plain maximum would make it 0.
        result = tl.where(result < 0, 0.0, result)
    return result
