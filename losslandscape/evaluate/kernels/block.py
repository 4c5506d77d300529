"""A residual block in one kernel: two 3x3 convolutions whose intermediate result never leaves the chip.

Layer by layer, a block reads the input, writes and reads the intermediate, reads the input again for the sum,
and writes: five passes through memory. Here it is two.
"""

import torch
from torch import Tensor

from losslandscape.evaluate.kernels import image_block, row_block, tile


def fits(x: Tensor, weight1: Tensor, weight2: Tensor) -> bool:
    """Whether `block` computes this block, whose convolutions have stride 1 and padding 1."""
    if not tile.is_image(x) or tile.precision_of(x) != "tf32":
        return False
    shape = (x.shape[1], x.shape[1], 3, 3)
    is_square = all(weight.shape == shape and weight.dtype == x.dtype for weight in (weight1, weight2))
    return is_square and (row_block.fits(x) or image_block.fits(x))


def block(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor) -> Tensor:
    """Return relu(x + conv2d(relu(conv2d(x, weight1) + bias1), weight2) + bias2), channels-last.

    The intermediate is rounded to the dtype of x, as if it were stored. Zero times infinity is NaN, so a
    value that is not finite may make pixels of the next images in the batch NaN, too.

    Args:
        x: (N, C, H, W), as `fits` wants it.
        weight1, weight2: (C, C, 3, 3); channels-last in memory, or they are copied at each call.
        bias1, bias2: (C,), of any floating dtype.
    """
    weight1 = weight1.contiguous(memory_format=torch.channels_last)
    weight2 = weight2.contiguous(memory_format=torch.channels_last)
    out = torch.empty_like(x, memory_format=torch.channels_last)
    kernel = row_block if row_block.fits(x) else image_block
    with torch.cuda.device_of(x):
        kernel.launch(x, weight1, bias1, weight2, bias2, out)
    return out
