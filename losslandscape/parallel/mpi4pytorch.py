"""Connects the ranks of a run: the index of each process, the number of processes, and their messages.

`connect` chooses once between MPI and a single process; both have the same interface. No other module imports
mpi4py. This module imports it only if needed, because a start of MPI outside its launcher ends the program on
some clusters.
"""

import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line

T = TypeVar("T")

# The environment variables by which launchers tell each process its rank and the number of processes.
LAUNCHERS = {
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MPICH or Intel MPI": ("PMI_RANK", "PMI_SIZE"),
    "MVAPICH": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    "Slurm": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
}
WAIT_SECONDS = 0.002  # between two tests of whether MPI has finished


def launcher() -> str:
    """Return the name of the launcher that started this process; empty without a launcher."""
    for name, variables in LAUNCHERS.items():
        if all(os.environ.get(variable, "").isdigit() for variable in variables):
            return name
    return ""


def launched() -> tuple[int, int]:
    """Return rank and number of processes according to the launcher; (0, 1) without a launcher."""
    name = launcher()
    if not name:
        return 0, 1
    rank, size = LAUNCHERS[name]
    return int(os.environ[rank]), int(os.environ[size])


class Serial:
    """A single process, which runs without MPI."""

    rank, size, local_rank, local_size = 0, 1, 0, 1

    def gather_all(self, value: T) -> list[T]:
        """Return on every rank the values of all ranks, in the order of the ranks."""
        return [value]

    def gather_node(self, value: T) -> list[T]:
        """Return the values of all ranks of this node, in the order of their local ranks."""
        return [value]

    def share(self, value: T) -> T:
        """Return rank 0's value on every rank."""
        return self.gather_all(cast(T, value if self.rank == 0 else None))[0]

    def all(self, act: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Call `act(*args, **kwargs)` on every rank.

        If the call raises `InputError` or `OSError` on some ranks, all ranks raise the error of the lowest of
        these ranks, so that no rank waits for another.
        """
        result, error = None, None
        try:
            result = act(*args, **kwargs)
        except (InputError, OSError) as caught:
            error = caught
        _raise_first(self.gather_all(error))
        return cast(T, result)

    def first(self, act: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Call `act(*args, **kwargs)` on rank 0 alone; every rank returns the result or raises the error."""
        result = self.all(act if self.rank == 0 else _do_nothing, *args, **kwargs)
        return cast(T, self.share(result))

    def send(self, message: Any, rank: int) -> None:
        """Send a message to another rank. The message is any object that can be pickled."""
        raise AssertionError("a single process has nobody to send to")

    def poll(self) -> tuple[int, Any] | None:
        """Return the next message that has arrived, as (sender's rank, message), or None, without waiting."""
        return None

    def abort(self, status: int) -> None:
        """End all ranks at once with this exit status."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class Mpi(Serial):
    """The ranks of MPI's world, which sleep while they wait: an MPI library's own wait takes a whole core."""

    def __init__(self, mpi: Any):
        self._mpi = mpi
        self._world = mpi.COMM_WORLD.Dup()
        self._node = self._world.Split_type(mpi.COMM_TYPE_SHARED)
        self.rank, self.size = self._world.rank, self._world.size
        self.local_rank, self.local_size = self._node.rank, self._node.size

    def gather_all(self, value: T) -> list[T]:
        self._wait(self._world.Ibarrier())
        return self._world.allgather(value)

    def gather_node(self, value: T) -> list[T]:
        self._wait(self._node.Ibarrier())
        return self._node.allgather(value)

    def send(self, message: Any, rank: int) -> None:
        self._world.send(message, dest=rank)

    def poll(self) -> tuple[int, Any] | None:
        status = self._mpi.Status()
        message = self._world.improbe(status=status)
        if message is None:
            message = self._world.improbe(status=status)  # MPICH's first probe only receives the message
        return None if message is None else (status.Get_source(), message.recv())

    def abort(self, status: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._world.Abort(status)

    @staticmethod
    def _wait(request: Any) -> None:
        while not request.Test():
            time.sleep(WAIT_SECONDS)


def connect(mpi: bool = False) -> Serial:
    """Return MPI's ranks if `mpi` is true or a launcher started several processes, else a single rank.

    Raises:
        InputError: if mpi4py or its MPI library is missing, does not fit the launcher, or does not allow
            calls from a second thread. With the wrong library every process would be rank 0 of 1, do all the
            work, and overwrite the others' results.
    """
    _, launcher_size = launched()
    if not mpi and launcher_size == 1:
        return Serial()
    module = _import_mpi()
    _start_mpi(module, launcher_size)
    ranks = Mpi(module)
    _end_all_on_a_fault(ranks)
    return ranks


def _start_mpi(module: Any, launcher_size: int) -> None:
    """Start MPI, unless it is started, and check that the library fits the launcher and allows threads."""
    name = library()
    advice = (
        "launcher and library do not belong together; start with that library's own mpirun, "
        "or install mpi4py for the launcher's library"
    )
    if launcher() == "Open MPI" and "Open MPI" not in name:  # MPICH would end the program at its start
        fault = f"Open MPI's launcher started this, and mpi4py's MPI library is {name}"
        raise InputError(f"{fault}: {advice}")
    if not module.Is_initialized():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mpi4py warns of a wrong launcher; the check below is stricter
            module.Init_thread(module.THREAD_MULTIPLE)
    if module.COMM_WORLD.size == 1 and launcher_size > 1:
        fault = f"the launcher started {launcher_size} processes, but mpi4py's MPI library ({name}) knows one"
        raise InputError(f"{fault}: {advice}")
    if module.Query_thread() < module.THREAD_SERIALIZED:
        fault = f"the MPI library ({name}) does not allow calls from a second thread"
        raise InputError(fault, "use one built with thread support")


def library() -> str:
    """Return name and version of mpi4py's MPI library."""
    version = _import_mpi().Get_library_version().split("\n")[0].split(",")[0]
    return " ".join(version.strip("\0").split())


def _import_mpi() -> Any:
    """Import mpi4py's module MPI without starting MPI, so that launcher and library can be compared first."""
    try:
        import mpi4py

        mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        fault = f"MPI cannot be used ({one_line(error)})"
        advice = "install mpi4py and an MPI library, or run one process without mpirun and {mpi:True}"
        raise InputError(fault, advice) from error
    return MPI


def _end_all_on_a_fault(ranks: Serial) -> None:
    """End all ranks after an unexpected exception on one rank, for which the others would wait forever."""

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace)
        print(f"rank {ranks.rank} failed; ending all ranks", file=sys.stderr)
        ranks.abort(1)

    sys.excepthook = report


def _do_nothing(*args: object, **kwargs: object) -> None:
    """Do nothing. In `Serial.first`, all ranks above 0 call this."""


def _raise_first(errors: list[Exception | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


def own_cores() -> set[int]:
    """Return the indices of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def divide_cores(ranks: Serial) -> int:
    """Return the number of threads for this rank: an even share of the node's cores.

    If the launcher binds ranks to cores, a rank gets at most the cores that it may use.
    """
    rank_cores = own_cores()
    node_cores = set().union(*ranks.gather_node(rank_cores))
    return max(1, min(len(rank_cores), len(node_cores) // ranks.local_size))
