"""Layers that are joined with the sum and the ReLU after them; each runs the fastest of several kernels.

A joined layer keeps the original layers in a tuple, where torch does not look for submodules. So their
tensors stay in the net under their old names. The plain kernel calls the original layers. It then adds and
applies the ReLU in place, because nothing else reads their result.
"""

from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from losslandscape.evaluate import kernels
from losslandscape.evaluate.batch_norm_fold import scale_of
from losslandscape.evaluate.kernel_choice import Kernel, KernelChoice


class JoinedConv(nn.Module):
    """A convolution, the sum of its result and of a residual, and a ReLU.

    Args:
        layer: the convolution, whose padding is a number of zeros.
        relu: whether a ReLU is the last step.
        choice: chooses the kernel.
    """

    def __init__(self, layer: nn.Conv2d, *, relu: bool, choice: KernelChoice):
        super().__init__()
        self._layers, self.relu, self._choice = (layer,), relu, choice
        self._kernels: dict[str, Kernel] = {"plain": self._plain}
        if relu:
            self._kernels["cudnn"] = self._cudnn
        if kernels.available(layer.weight.device):
            self._kernels["triton taps"] = partial(self._triton, by_taps=True)
            self._kernels["triton rows"] = self._triton
        shape = tuple(layer.weight.shape), layer.bias is None
        self._form = "conv", shape, self._geometry, layer.dilation, layer.groups, relu

    @property
    def layer(self) -> nn.Conv2d:
        """The convolution."""
        return self._layers[0]

    @property
    def _geometry(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Stride and padding."""
        assert not isinstance(self.layer.padding, str)
        return self.layer.stride, self.layer.padding

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return self._choice.run(self._form, self._kernels, x, residual)

    def _plain(self, x: Tensor, residual: Tensor | None) -> Tensor:
        out = self.layer(x)
        if residual is not None:
            out = out.add_(residual) if _are_alike(out, residual) else out + residual
        return out.relu_() if self.relu else out

    def _require_same_form(self, x: Tensor, residual: Tensor | None) -> None:
        """Raise ValueError if the sum would broadcast or change the dtype: only the plain kernel can."""
        if residual is None:
            return
        layer = self.layer
        axes = zip(x.shape[2:], layer.kernel_size, *self._geometry, layer.dilation, strict=True)
        sides = [(side + 2 * p - d * (k - 1) - 1) // s + 1 for side, k, s, p, d in axes]
        if residual.shape != (x.shape[0], layer.out_channels, *sides) or residual.dtype != x.dtype:
            raise ValueError("the sum has another form than its first term")

    def _cudnn(self, x: Tensor, residual: Tensor | None) -> Tensor:
        self._require_same_form(x, residual)
        layer = self.layer
        form = *self._geometry, layer.dilation, layer.groups
        if residual is None:
            return torch.cudnn_convolution_relu(x, layer.weight, layer.bias, *form)
        return torch.cudnn_convolution_add_relu(x, layer.weight, residual, 1.0, layer.bias, *form)

    def _triton(self, x: Tensor, residual: Tensor | None, *, by_taps: bool = False) -> Tensor:
        from losslandscape.evaluate.kernels import conv

        self._require_same_form(x, residual)
        layer, (stride, padding) = self.layer, self._geometry
        fits = conv.fits(
            x,
            layer.weight,
            stride=stride,
            padding=padding,
            dilation=layer.dilation,
            groups=layer.groups,
        )
        by_rows = conv.by_rows(x, layer.weight, stride=stride, padding=padding)
        if layer.bias is None or not fits or not (by_taps or by_rows):
            raise ValueError("the kernel does not take this convolution")
        return conv.conv(
            x,
            layer.weight,
            layer.bias,
            residual,
            relu=self.relu,
            stride=stride,
            padding=padding,
            by_taps=by_taps,
        )


class JoinedBlock(nn.Module):
    """A residual block: relu(x + conv2(relu(conv1(x)))), with two 3x3 convolutions that keep the shape.

    Args:
        first, second: the convolutions, each with its ReLU; the second adds the residual before it.
        choice: chooses the kernel.
    """

    def __init__(self, first: JoinedConv, second: JoinedConv, *, choice: KernelChoice):
        super().__init__()
        self._layers, self._choice = (first, second), choice
        self._kernels: dict[str, Kernel] = {"apart": self._apart}
        if kernels.available(first.layer.weight.device):
            self._kernels["triton block"] = self._triton
        self._form = "block", tuple(first.layer.weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        return self._choice.run(self._form, self._kernels, x)

    def _apart(self, x: Tensor) -> Tensor:
        first, second = self._layers
        return second(first(x), x)

    def _triton(self, x: Tensor) -> Tensor:
        from losslandscape.evaluate.kernels import block

        first, second = (joined.layer for joined in self._layers)
        fits = block.fits(x, first.weight, second.weight)
        if first.bias is None or second.bias is None or not fits:
            raise ValueError("the kernel does not take this block")
        return block.block(x, first.weight, first.bias, second.weight, second.bias)


class JoinedNorm(nn.Module):
    """A batch norm that does not fold into a layer, with the ReLU after it.

    Its input may be several maps (N, C_i, H, W), which stand for their concatenation along the channels. The
    Triton kernel reads them without copying them together. Call `refresh` after the batch norm's tensors
    have changed.

    Args:
        norm: the batch norm, which tracks running statistics.
        choice: chooses the kernel.

    Attributes:
        affine: the scale and the shift of each channel, (C,) each.
    """

    def __init__(self, norm: nn.BatchNorm2d, *, choice: KernelChoice):
        super().__init__()
        self._layers, self._choice = (norm,), choice
        self._kernels: dict[str, Kernel] = {"plain": self._plain}
        scale = scale_of(norm)
        if kernels.available(scale.device):
            self._kernels["triton"] = self._triton
        self._form = "norm", norm.num_features
        self.affine = torch.empty_like(scale), torch.empty_like(scale)  # in a tuple, so no buffers

    def refresh(self) -> None:
        """Compute scale and shift: gamma / sqrt(var + eps), and beta - mean * scale."""
        (norm,), (scale, shift) = self._layers, self.affine
        assert norm.running_mean is not None
        scale.copy_(scale_of(norm))
        shift.copy_(-norm.running_mean * scale)
        if norm.affine:
            shift.add_(norm.bias)

    def forward(self, *maps: Tensor) -> Tensor:
        return self._choice.run(self._form, self._kernels, *maps)

    def _plain(self, *maps: Tensor) -> Tensor:
        return self._layers[0](torch.cat(maps, 1) if len(maps) > 1 else maps[0]).relu_()

    def _triton(self, *maps: Tensor) -> Tensor:
        from losslandscape.evaluate.kernels import affine

        if not affine.fits(*maps):
            raise ValueError("the kernel does not take these maps")
        return affine.affine_relu(maps, *self.affine)


Joined: TypeAlias = JoinedConv | JoinedNorm


def _are_alike(out: Tensor, residual: Tensor) -> bool:
    """Return whether the sum can be written into its first term: the residual has its shape and dtype."""
    return isinstance(residual, Tensor) and out.shape == residual.shape and out.dtype == residual.dtype
