"""Chooses a rank's device, one GPU or a share of the CPU cores, and the precision of its products."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from losslandscape.core.errors import InputError
from losslandscape.parallel import mpi4pytorch
from losslandscape.parallel.mpi4pytorch import Serial

PRECISIONS = ("fp32", "tf32", "bf16")


def choose(cuda: bool, ranks: Serial, gpus: int = 1) -> torch.device:
    """Choose this rank's device. On a CPU, also set the number of threads, unless OMP_NUM_THREADS is set.

    Args:
        cuda: whether to compute on a GPU.
        ranks: all ranks.
        gpus: the number of GPUs of a rank; the first of them is returned, and the others follow it.

    Raises:
        InputError: if `cuda` is true and PyTorch finds no GPU, or fewer than `gpus`; or if several GPUs are
            asked for without `cuda`.
    """
    if not cuda and gpus > 1:
        raise InputError(f"ngpu {gpus} is for CUDA devices", "give {cuda:True} too")
    if not cuda:
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(mpi4pytorch.divide_cores(ranks))
        return torch.device("cpu")
    require_cuda("cuda")
    device = torch.device("cuda", first_gpu(ranks.local_rank, gpus, torch.cuda.device_count()))
    torch.cuda.set_device(device)
    return device


def first_gpu(local_rank: int, gpus: int, count: int) -> int:
    """Return the index of the first GPU of a rank that takes several; ranks share GPUs if there are too few.

    >>> [first_gpu(rank, 2, 5) for rank in range(4)]
    [0, 2, 0, 2]

    Raises:
        InputError: if the node has fewer GPUs than a rank takes.
    """
    if gpus > count:
        fault = f"ngpu {gpus}: PyTorch finds {count} CUDA device{'s' if count > 1 else ''} here"
        raise InputError(fault, "give a smaller {ngpu}, or let the launcher show each rank more of them")
    return local_rank % (count // gpus) * gpus


def free_memory(first: torch.device, gpus: int) -> dict[int, int]:
    """Return the free bytes of a rank's GPUs by their indices, from the first on."""
    return {index: torch.cuda.mem_get_info(index)[0] for index in range(first.index, first.index + gpus)}


def find(name: torch.device | str) -> torch.device:
    """Return the device of this name, such as `cuda:1`.

    Raises:
        InputError: if the device does not exist here, or is neither a CPU nor a CUDA device.
    """
    fault = f"the program cannot compute on device {str(name)!r}"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InputError(fault, "give cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(fault, "give cpu, cuda or cuda:N")
    if device.type == "cuda":
        require_cuda(f"device {str(name)!r}")
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            fault = f"device {str(name)!r}: PyTorch finds {count} CUDA device{'s' if count > 1 else ''} here"
            raise InputError(fault, f"give a number below {count}")
    return device


def require_cuda(option: str) -> None:
    """Raise `InputError`, with the option that needs a GPU, if PyTorch finds no GPU."""
    if not torch.cuda.is_available():
        fault = f"{option}: PyTorch finds no CUDA device here"
        raise InputError(fault, "compute on the CPU, or install a PyTorch with CUDA and a driver for it")


def sharers(ranks: Serial, device: torch.device) -> int:
    """Return the number of ranks of this node that share this rank's GPU; 1 on a CPU.

    Print a warning if any ranks of the node share a GPU. GPUs are compared by UUID, not by index: if a
    launcher shows each rank a single GPU, each rank's GPU has index 0.
    """
    if device.type == "cpu":
        return 1
    gpus = ranks.gather_node(str(torch.cuda.get_device_properties(device).uuid))
    distinct = len(set(gpus))
    if ranks.local_rank == 0 and distinct < len(gpus):
        text = f"{len(gpus)} ranks share {distinct} GPU{'s' if distinct > 1 else ''}"
        print(f"warning: {text} on node {platform.node()}; one rank per GPU is fastest")
    return gpus.count(gpus[ranks.local_rank])


def name(device: torch.device) -> str:
    """Return the device's name for the record of a run."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads a rank"


def set_precision(precision: str, device: torch.device) -> None:
    """Make CUDA's float32 products exact (fp32) or round them to TF32 (tf32), in the whole process.

    With "" and bf16, PyTorch's settings stay.

    Raises:
        InputError: if the precision is tf32 and the device is not a CUDA device.
    """
    if precision == "tf32" and device.type != "cuda":
        fault = "precision tf32 is for CUDA devices"
        raise InputError(fault, "compute on one, or choose fp32 or bf16")
    if precision in ("fp32", "tf32"):
        is_rounded = precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = is_rounded
        torch.backends.cudnn.allow_tf32 = is_rounded


@contextmanager
def exact_products() -> Iterator[None]:
    """Switch TF32 off in the block: second derivatives need exact float32 products on CUDA."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
