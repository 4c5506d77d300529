"""A convolution with bias, residual sum and ReLU in one kernel."""

import torch
from torch import Tensor

from losslandscape.evaluate.kernels import row_conv, tap_conv, tile

LARGEST_SIDE = 7  # of the window; no usual net has a larger one


def fits(
    x: Tensor,
    weight: Tensor,
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple[int, ...] | str,
    dilation: int | tuple[int, ...],
    groups: int,
) -> bool:
    """Whether `conv` computes this convolution; the arguments are those of `conv2d`.

    The window, the stride and the padding are square. At least 16 channels go in and out: with fewer, the
    tensor cores would multiply zeros.
    """
    if not tile.is_image(x) or weight.dim() != 4 or weight.dtype != x.dtype:
        return False
    c_out, c_in, height, width = weight.shape
    if groups != 1 or c_in != x.shape[1] or min(c_in, c_out) < tap_conv.SMALLEST:
        return False
    if height != width or height > LARGEST_SIDE or _side(dilation) != 1:
        return False
    step, margin = _side(stride), _side(padding)
    if step is None or margin is None:
        return False
    shape = _out_shape(x, weight, step, margin)
    return min(shape) > 0 and torch.Size(shape).numel() <= tile.MOST_ELEMENTS


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    *,
    relu: bool,
    stride: int | tuple[int, ...],
    padding: int | tuple[int, ...],
    by_taps: bool = False,
) -> Tensor:
    """Return relu(conv2d(x, weight) + bias + residual), a new channels-last tensor.

    Products of float32 are rounded to TF32 if `torch.backends.cudnn.allow_tf32` says so. Sums are float32.

    Args:
        x: (N, C_in, H, W), as `fits` wants it.
        weight: (C_out, C_in, K, K); channels-last in memory, or it is copied at each call.
        bias: (C_out,), of any floating dtype.
        residual: of the shape and dtype of the output.
        relu: whether to apply the ReLU.
        stride, padding: as in `conv2d`.
        by_taps: whether to take the kernel of `tap_conv` also where `by_rows`, to compare their speed.
    """
    step, margin = _side(stride), _side(padding)
    if step is None or margin is None:
        raise ValueError(f"no kernel for stride {stride!r} and padding {padding!r}")
    weight, residual = _channels_last(weight), residual if residual is None else _channels_last(residual)
    shape = _out_shape(x, weight, step, margin)
    out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    with torch.cuda.device_of(x):
        if not by_taps and by_rows(x, weight, stride=stride, padding=padding):
            row_conv.launch(x, weight, bias, residual, out, relu=relu)
        else:
            tap_conv.launch(x, weight, bias, residual, out, relu=relu, stride=step, padding=margin)
    return out


def by_rows(
    x: Tensor, weight: Tensor, *, stride: int | tuple[int, ...], padding: int | tuple[int, ...]
) -> bool:
    """Whether `conv` takes the kernel of `row_conv`, else that of `tap_conv`."""
    is_usual = (weight.shape[2], _side(stride), _side(padding)) == (3, 1, 1)
    return is_usual and row_conv.fits(x, weight)


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def _side(value: int | tuple[int, ...] | str) -> int | None:
    """Return the number that a stride, padding or dilation has along both axes; None if they differ."""
    if isinstance(value, int):
        return value
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else None


def _out_shape(x: Tensor, weight: Tensor, stride: int, padding: int) -> tuple[int, int, int, int]:
    height, width = ((side + 2 * padding - weight.shape[2]) // stride + 1 for side in x.shape[2:])
    return x.shape[0], weight.shape[0], height, width
