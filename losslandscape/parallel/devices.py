"""Where a rank computes, one GPU by its number on the node or its share of the cores, and how exactly."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from losslandscape.core.errors import InputError
from losslandscape.parallel import mpi4pytorch
from losslandscape.parallel.mpi4pytorch import Serial

PRECISIONS = ("fp32", "tf32", "bf16")


def choose(cuda: bool, ranks: Serial) -> torch.device:
    """This rank's device; on a CPU it also sets the number of threads.

    Raises `InputError` where there is no GPU.
    """
    if not cuda:
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(mpi4pytorch.divide_cores(ranks))
        return torch.device("cpu")
    require_cuda("--cuda")
    device = torch.device("cuda", ranks.local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def find(given: torch.device | str) -> torch.device:
    """The device that is given from Python.

    Raises `InputError` if it is not here, or none that we compute on.
    """
    what = f"device {str(given)!r}"
    try:
        device = torch.device(given)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"{what} is none that the program computes on; give cpu, cuda or cuda:N")
    if device.type == "cuda":
        require_cuda(what)
        if (device.index or 0) >= (count := torch.cuda.device_count()):
            raise InputError(
                f"{what}: PyTorch finds {count} CUDA device{'s' if count > 1 else ''} here; give a number below {count}"
            )
    return device


def require_cuda(asked: str) -> None:
    """Raise `InputError`, naming what asked for it, where there is no GPU."""
    if not torch.cuda.is_available():
        raise InputError(
            f"{asked}: PyTorch finds no CUDA device here; compute on the CPU without it, or install a PyTorch with CUDA and a driver for it"
        )


def sharers(ranks: Serial, device: torch.device) -> int:
    """How many ranks of this node compute on this rank's GPU; warns if it is not the only one. 1 on a CPU.

    GPUs are told apart by their UUID: where a launcher shows each rank one GPU only, that is number 0 for
    every rank.
    """
    if device.type == "cpu":
        return 1
    gpus = ranks.gather_node(str(torch.cuda.get_device_properties(device).uuid))
    if ranks.local_rank == 0 and len(set(gpus)) < len(gpus):
        print(
            f"warning: {len(gpus)} ranks share {len(set(gpus))} GPU{'s' if len(set(gpus)) > 1 else ''} on node {platform.node()}; one rank a GPU is fastest"
        )
    return gpus.count(gpus[ranks.local_rank])


def name(device: torch.device) -> str:
    """What a run's record says of it."""
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu, {torch.get_num_threads()} threads a rank"
    )


def set_precision(precision: str, device: torch.device) -> None:
    """Let CUDA's float32 products be exact (fp32) or rounded to TF32; "" and bf16 leave PyTorch's defaults.

    Process-wide.
    """
    if precision == "tf32" and device.type != "cuda":
        raise InputError("precision tf32 is for CUDA devices; compute on one, or choose fp32 or bf16")
    if precision in ("fp32", "tf32"):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"


@contextmanager
def exact_products() -> Iterator[None]:
    """Inside this block CUDA's float32 products are not rounded to TF32, which is too coarse for second
    derivatives.
    """
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed
