"""The ranks of a run: the number of this process, the number of all, and messages between them.

`connect` decides once between MPI and one process without it; both have the same interface. No other module
imports mpi4py. It is imported only if it is needed, because starting MPI outside its launcher ends the
program on some clusters.
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

# The environment variables in which launchers give each process its rank and the number of processes.
LAUNCHERS = {
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MPICH or Intel MPI": ("PMI_RANK", "PMI_SIZE"),
    "MVAPICH": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    "Slurm": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
}
WAIT_SECONDS = 0.002


def launcher() -> str:
    """The launcher that started this process; empty without one."""
    for name, variables in LAUNCHERS.items():
        if all(os.environ.get(variable, "").isdigit() for variable in variables):
            return name
    return ""


def launched() -> tuple[int, int]:
    """Rank and number of processes according to the launcher; (0, 1) without one."""
    name = launcher()
    if not name:
        return 0, 1
    rank, size = LAUNCHERS[name]
    return int(os.environ[rank]), int(os.environ[size])


class Serial:
    """One process without MPI."""

    rank, size, local_rank, local_size = 0, 1, 0, 1

    def gather_all(self, value: T) -> list[T]:
        """Every rank's value, by rank, on every rank."""
        return [value]

    def gather_node(self, value: T) -> list[T]:
        """The values of the ranks of this node."""
        return [value]

    def share(self, value: T) -> T:
        """Rank 0's value, on every rank."""
        return self.gather_all(cast(T, value if self.rank == 0 else None))[0]

    def all(self, act: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Call `act(*args, **kwargs)` on every rank.

        If it raises `InputError` or `OSError` on some ranks, every rank raises the first of these errors, so
        no rank waits for another.
        """
        result, error = None, None
        try:
            result = act(*args, **kwargs)
        except (InputError, OSError) as caught:
            error = caught
        _raise_first(self.gather_all(error))
        return cast(T, result)

    def first(self, act: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Call `act(*args, **kwargs)` on rank 0 alone; every rank gets its result or error."""
        result = self.all(act if self.rank == 0 else _do_nothing, *args, **kwargs)
        return cast(T, self.share(result))

    def send(self, message: Any, rank: int) -> None:
        """Send a message, any object that can be pickled, to another rank."""
        raise AssertionError("a single process has nobody to send to")

    def poll(self) -> tuple[int, Any] | None:
        """The next message that has arrived, as (sender's rank, message), or None. Returns at once."""
        return None

    def abort(self, status: int) -> None:
        """End all ranks at once with this exit status."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class Mpi(Serial):
    """The ranks of MPI's world. A rank that waits sleeps: an MPI library's own wait takes a whole core."""

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
            message = self._world.improbe(status=status)  # MPICH's first probe only fetches the message
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
    """The ranks of this program: MPI's if `mpi` is true or a launcher started several processes, else one.

    Raises:
        InputError: if mpi4py has no MPI library, or one that differs from the launcher's. With the wrong
            library every process would be rank 0 of 1, do all the work, and overwrite the others' results.
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
    """Start MPI, unless it is started, and check that library and launcher fit together."""
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
    """Name and version of mpi4py's MPI library."""
    version = _import_mpi().Get_library_version().split("\n")[0].split(",")[0]
    return " ".join(version.strip("\0").split())


def _import_mpi() -> Any:
    """mpi4py's module MPI. Importing it does not start MPI: `connect` first compares launcher and library."""
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
    """Let an unexpected exception on one rank end all ranks: the others would wait for it forever."""

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace)
        print(f"rank {ranks.rank} failed; ending all ranks", file=sys.stderr)
        ranks.abort(1)

    sys.excepthook = report


def _do_nothing(*args: object, **kwargs: object) -> None:
    """Stands for the action on the other ranks in `Serial.first`."""


def _raise_first(errors: list[Exception | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


def own_cores() -> set[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def divide_cores(ranks: Serial) -> int:
    """The number of threads for this rank: its share of the node's cores. The launcher may bind ranks."""
    rank_cores = own_cores()
    node_cores = set().union(*ranks.gather_node(rank_cores))
    return max(1, min(len(rank_cores), len(node_cores) // ranks.local_size))
