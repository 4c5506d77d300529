"""GPU kernels in Triton that do several layers of a net in one pass through memory.

Import the modules of this package only where `available()` is true: they need Triton, which torch brings
along on Linux with CUDA. All tensors are on one device. Images are channels-last in memory. Each function
returns a new tensor; the `fits` of its module says for which tensors the function may be called.
"""

import importlib
import os

import torch

CUDA = torch.device("cuda")
LEAST_CAPABILITY = (8, 0)  # the first with bfloat16 and TF32 in the tensor cores (A100)


def available(device: torch.device = CUDA) -> bool:
    """Whether Triton can be imported, and runs on this device or in its interpreter."""
    return (_interpreted() or _can_compute(device)) and _imports()


def _interpreted() -> bool:
    """Whether Triton's interpreter is on. It runs kernels on the CPU, slowly, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _can_compute(device: torch.device) -> bool:
    """Whether a device is a GPU with these tensor cores. For a CPU, no GPU is touched."""
    if device.type != "cuda" or not torch.cuda.is_available() or torch.version.cuda is None:
        return False
    return torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY


def _imports() -> bool:
    try:
        importlib.import_module("triton.language")
    except Exception:  # an installation that does not match the machine may raise anything
        return False
    return True
