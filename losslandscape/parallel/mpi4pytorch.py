"""Ranks: who am I, who else is there, and messages between us. The only module that imports mpi4py.

`connect` decides once between MPI and a serial stand-in; both have one interface. mpi4py is imported only
when there is reason to, because starting MPI outside its launcher ends the program on some clusters.
"""

import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from losslandscape.core.errors import InputError

T = TypeVar("T")

# What launchers tell each process of its rank and of their number: Open MPI, MPICH and Intel MPI, MVAPICH,
# Slurm's srun.
LAUNCHER_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)


def launched() -> tuple[int, int]:
    """Rank and number of processes according to the launcher's environment variables; (0, 1) without a
    launcher.
    """
    for rank, size in LAUNCHER_VARIABLES:
        if os.environ.get(rank, "").isdigit() and os.environ.get(size, "").isdigit():
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


class Serial:
    """One process without MPI."""

    rank, size, local_rank, local_size = 0, 1, 0, 1

    def gather_all(self, value: T) -> list[T]:
        """Every rank's value, by rank, on every rank."""
        return [value]

    def all(self, act: Callable[..., T], *args: object, **kwargs: object) -> T:
        """`act(*args, **kwargs)` on every rank.

        What one rank raises (`InputError`, `OSError`) is raised on all: none waits.
        """
        result, error = None, None
        try:
            result = act(*args, **kwargs)
        except (InputError, OSError) as caught:
            error = caught
        _raise_first(self.gather_all(error))
        return result

    def first(self, act: Callable[..., T], *args: object, **kwargs: object) -> T:
        """The result of `act(*args, **kwargs)` on rank 0, on every rank. What it raises is raised on all."""
        result = self.all(act if self.rank == 0 else _nothing, *args, **kwargs)
        return self.share(result)

    def share(self, value: T) -> T:
        """Rank 0's value, on every rank."""
        return self.gather_all(value if self.rank == 0 else None)[0]

    def gather_node(self, value: T) -> list[T]:
        """The values of the ranks on this rank's node."""
        return [value]

    def send(self, message: Any, rank: int) -> None:
        """Send any picklable message to another rank."""
        raise AssertionError("a single process has nobody to send to")

    def poll(self) -> tuple[int, Any] | None:
        """The next message that has arrived, as (sender's rank, message), or None at once."""
        return None

    def abort(self, status: int) -> None:
        """End all ranks at once with this exit status."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class Mpi(Serial):
    """The ranks of MPI's world.

    Never spins while it waits: an MPI library's own waiting takes a whole core.
    """

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
        message = self._world.improbe(status=status) or self._world.improbe(
            status=status
        )  # MPICH's first look only fetches
        return None if message is None else (status.Get_source(), message.recv())

    def abort(self, status: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._world.Abort(status)

    @staticmethod
    def _wait(request: Any) -> None:
        while not request.Test():
            time.sleep(0.002)


def connect(mpi: bool = False) -> Serial:
    """The ranks of this program: MPI's if `mpi` is asked for or an MPI launcher started several processes,
    else one.

    Raises `InputError` where mpi4py has no MPI library, and where its library is not the launcher's: then
    every process would take itself for rank 0 of 1, do all the work, and overwrite the others' results.
    """
    _, launcher_size = launched()
    if not mpi and launcher_size == 1:
        return Serial()
    try:
        import mpi4py

        mpi4py.rc.initialize, mpi4py.rc.finalize = (
            False,
            True,
        )  # not before it is known that launcher and library belong together
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"MPI cannot be used ({' '.join(str(error).split())}); install mpi4py and an MPI library, or run without --mpi "
            "and without mpirun"
        ) from error
    library = " ".join(MPI.Get_library_version().split("\n")[0].split(",")[0].strip("\0").split())
    advice = "launcher and library do not belong together; start with that library's own mpirun, or install mpi4py for the launcher's library"
    if (
        "OMPI_COMM_WORLD_SIZE" in os.environ and "Open MPI" not in library
    ):  # MPICH would end the program at its start
        raise InputError(f"Open MPI's launcher started this, and mpi4py's MPI library is {library}: {advice}")
    if not MPI.Is_initialized():
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # what mpi4py suspects of the launcher is found out for certain just below
            MPI.Init_thread(MPI.THREAD_MULTIPLE)
    if MPI.COMM_WORLD.size == 1 and launcher_size > 1:
        raise InputError(
            f"the launcher started {launcher_size} processes, but in mpi4py's MPI library ({library}) each of them is rank 0 of 1: {advice}"
        )
    if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
        raise InputError(
            f"the MPI library ({library}) does not allow calls from a second thread; use one built with thread support"
        )
    ranks = Mpi(MPI)
    _end_all_on_a_fault(ranks)
    return ranks


def _end_all_on_a_fault(ranks: Serial) -> None:
    """A rank that ends with an unexpected exception ends the job; the others would wait for it forever."""

    def report(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        traceback.print_exception(kind, error, trace)
        print(f"rank {ranks.rank} failed; ending all ranks", file=sys.stderr)
        ranks.abort(1)

    sys.excepthook = report


def together(ranks: Serial, act: Callable[[], T], *, only: bool = False) -> T:
    return ranks.first(act) if only else ranks.all(act)


def _nothing(*args: object, **kwargs: object) -> None:
    """What ranks other than the first do in `Serial.first`."""


def _raise_first(errors: list[Exception | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


def divide_cores(ranks: Serial) -> int:
    """Threads for this rank so that the ranks of a node share its cores, whether or not the launcher binds
    them to some.
    """
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    node = set().union(*ranks.gather_node(mine))
    return max(1, min(len(mine), len(node) // ranks.local_size))
