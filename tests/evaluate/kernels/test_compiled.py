"""The kernels compile for an A100 and an H100, and fit into what these have; no GPU is needed."""

import pytest
import torch
from torch import Tensor

triton = pytest.importorskip("triton", reason="Triton is not installed")

from losslandscape.evaluate.kernels import affine, image_block, row_block, row_conv, tap_conv  # noqa: E402
from losslandscape.evaluate.kernels import block as block_kernel  # noqa: E402
from losslandscape.evaluate.kernels import conv as conv_kernel  # noqa: E402
from tests.evaluate.kernels.launches import recorded  # noqa: E402

pytestmark = pytest.mark.slow
SHARED = {80: 163 * 1024, 90: 227 * 1024}  # bytes that a program may have: A100, H100
RESNET_SHAPES = [(16, 32), (32, 16), (64, 8)]  # channels, side of the image
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def tf32_products(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)


def image(channels: int, side: int, dtype: torch.dtype) -> Tensor:
    """A batch as large as on a GPU, without memory."""
    shape = (1024, channels, side, side)
    return torch.empty(shape, dtype=dtype, device="meta").to(memory_format=torch.channels_last)


def check(launch, capability: int) -> None:
    used = launch.compiled(capability)
    assert used.shared <= SHARED[capability]
    assert used.stack == 0, f"registers are spilled: {used}"


@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("channels", "side"), RESNET_SHAPES)
def test_a_convolution_of_a_residual_block(channels, side, dtype, capability):
    x = image(channels, side, dtype)
    weight, bias = torch.empty(channels, channels, 3, 3, dtype=dtype), torch.empty(channels)
    module = row_conv if row_conv.fits(x, weight) else tap_conv
    with recorded(module) as launch:
        conv_kernel.conv(x, weight, bias, x, relu=True, stride=1, padding=1)
    check(launch, capability)


@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize(
    ("channels", "side", "dtype"),
    [
        (16, 32, torch.float32),
        (16, 32, torch.bfloat16),
        (32, 16, torch.bfloat16),
        (64, 8, torch.float32),
        (64, 8, torch.bfloat16),
    ],
)
def test_a_residual_block(channels, side, dtype, capability):
    module = row_block if channels < 64 else image_block
    x, bias = image(channels, side, dtype), torch.empty(channels)
    weight = torch.empty(channels, channels, 3, 3, dtype=dtype)
    assert block_kernel.fits(x, weight, weight)
    with recorded(module) as launch:
        block_kernel.block(x, weight, bias, weight, bias)
    check(launch, capability)


@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("width", "c_in", "c_out"), [(3, 16, 32), (1, 32, 64), (3, 128, 256)])
def test_a_convolution_with_a_stride(width, c_in, c_out, dtype, capability):
    x = image(c_in, 16, dtype)
    weight = torch.empty(c_out, c_in, width, width, dtype=dtype)
    with recorded(tap_conv) as launch:
        conv_kernel.conv(x, weight, torch.empty(c_out), relu=False, stride=2, padding=width // 2)
    check(launch, capability)


@pytest.mark.parametrize("capability", SHARED)
def test_an_exact_convolution(capability, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    x, weight = image(64, 8, torch.float32), torch.empty(64, 64, 3, 3)
    with recorded(tap_conv) as launch:
        conv_kernel.conv(x, weight, torch.empty(64), x, relu=True, stride=1, padding=1)
    check(launch, capability)


@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_affine_map_of_dense_net(dtype, capability):
    parts = [image(12, 32, dtype), image(52, 32, dtype)]
    with recorded(affine) as launch:
        affine.affine_relu(parts, torch.empty(64), torch.empty(64))
    check(launch, capability)
