"""Scale, shift and ReLU of each channel in one pass, over one tensor or several that are concatenated."""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from losslandscape.evaluate.kernels import tile

BLOCK_ELEMENTS = 4096  # of a program: 64 bytes per thread in bfloat16
WARPS = 4
MOST_CHANNELS = BLOCK_ELEMENTS  # of a tensor: a program computes whole pixels


def fits(*parts: Tensor) -> bool:
    """Whether `affine_relu` takes these tensors (N, C, H, W), which may differ in C only."""
    first = parts[0]
    alike = all(
        part.dtype == first.dtype and part.shape[0] == first.shape[0] and part.shape[2:] == first.shape[2:]
        for part in parts
    )
    elements = sum(part.numel() for part in parts)
    return (
        alike
        and elements <= tile.MOST_ELEMENTS
        and all(tile.is_image(part) and part.shape[1] <= MOST_CHANNELS for part in parts)
    )


def affine_relu(parts: Sequence[Tensor], scale: Tensor, shift: Tensor) -> Tensor:
    """Return relu(x * scale + shift), with a scale and a shift for each channel.

    x is `torch.cat(parts, 1)`, which is never stored. This computes a batch norm in evaluation mode that
    cannot be folded, such as DenseNet's sequence of concatenation, norm and ReLU.

    Args:
        parts: one or more (N, C_i, H, W) with C channels in total; `fits` says which.
        scale, shift: (C,), of any floating dtype. Products and sums are in float32.
    """
    first = parts[0]
    images, _, height, width = first.shape
    channels = sum(part.shape[1] for part in parts)
    shape = (images, channels, height, width)
    out = torch.empty(shape, dtype=first.dtype, device=first.device, memory_format=torch.channels_last)
    scale, shift = scale.contiguous(), shift.contiguous()
    start = 0
    with torch.cuda.device_of(first):
        for part in parts:
            _launch(part, scale, shift, out, start)
            start += part.shape[1]
    return out


def _launch(part: Tensor, scale: Tensor, shift: Tensor, out: Tensor, start: int) -> None:
    """Write one part to the channels of out from `start` on."""
    channels = part.shape[1]
    pixels = part.numel() // channels
    side = triton.next_power_of_2(channels)
    lines = max(BLOCK_ELEMENTS // side, 1)
    _kernel[(triton.cdiv(pixels, lines),)](
        part, scale, shift, out, pixels, start, channels, out.shape[1],
        LINES=lines, SIDE=side, num_warps=WARPS,
    )  # fmt: skip


@triton.jit(do_not_specialize=["pixels"])
def _kernel(
    x, scale, shift, out, pixels, start, channels, out_channels,
    LINES: tl.constexpr, SIDE: tl.constexpr,
):  # fmt: skip
    pixel = (tl.program_id(0) * LINES + tl.arange(0, LINES))[:, None]
    channel = tl.arange(0, SIDE)
    inside = (pixel < pixels) & (channel < channels)[None, :]
    factor = tl.load(scale + start + channel, mask=channel < channels, other=0.0).to(tl.float32)
    offset = tl.load(shift + start + channel, mask=channel < channels, other=0.0).to(tl.float32)
    values = tl.load(x + pixel * channels + channel[None, :], mask=inside, other=0.0).to(tl.float32)
    result = values * factor[None, :] + offset[None, :]
    result = tl.where(result < 0, 0.0, result)
    tl.store(
        out + pixel * out_channels + start + channel[None, :], result.to(out.dtype.element_ty), mask=inside
    )
