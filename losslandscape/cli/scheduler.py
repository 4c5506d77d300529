"""Check whether this machine is ready: the ranks, their devices, and the time to hand out a point.

    mpirun -n 2 python scheduler.py
    mpirun -n 4 python scheduler.py --mpi --cuda
    srun -N 2 -n 8 --ntasks-per-node=4 --gpus-per-node=4 python scheduler.py --cuda

Start it exactly like the run that will follow. If something is wrong, it prints a sentence for each
fault and ends with an exit status other than 0.
"""

import os
import platform
import tempfile
import time
from collections import Counter
from dataclasses import dataclass

import torch

from losslandscape import __version__
from losslandscape.cli import options
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.request import HardwareOptions, Machine
from losslandscape.parallel import devices, mpi4pytorch, scheduler
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.parallel.scheduler import Values

POINTS_PER_RANK = 100  # points that are handed out for the timing
MAX_SECONDS = 0.01  # per point; measuring a point of a small net takes about this time


@dataclass(frozen=True)
class RankFacts:
    """The facts that one rank reports about itself."""

    rank: int
    node: str
    device: str
    gpu: str  # UUID; empty on a CPU
    cores: int  # number of cores that the rank may use
    sees_folder: bool
    versions: str


def build_parser() -> Parser:
    parser = Parser(__doc__)
    options.add_launch(parser.add_argument_group("hardware"))
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    with sentence(parser):
        machine = HardwareOptions.of(args).connect()
        ranks = machine.ranks
        facts = ranks.gather_all(rank_facts(machine))
        seconds = ranks.share(seconds_per_point(ranks))
        problems = find_problems(facts, seconds)
        if ranks.rank == 0:
            print("\n".join(describe(facts, seconds)))
            print("\n".join(problems or ["ready"]))
    if problems:
        raise SystemExit(1)


def rank_facts(machine: Machine) -> RankFacts:
    """Return the facts about this rank."""
    ranks, device = machine.ranks, machine.device
    is_gpu = device.type == "cuda"
    return RankFacts(
        rank=ranks.rank,
        node=platform.node(),
        device=devices.name(device),
        gpu=str(torch.cuda.get_device_properties(device).uuid) if is_gpu else "",
        cores=len(mpi4pytorch.own_cores()),
        sees_folder=sees_folder(ranks),
        versions=f"losslandscape {__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}",
    )


def sees_folder(ranks: Serial) -> bool:
    """Return whether this rank sees a file that rank 0 makes in its working folder."""
    name = ranks.first(_make_file)
    is_seen = os.path.exists(name)
    ranks.gather_all(None)  # the file stays until every rank has looked
    ranks.first(os.unlink, name)
    return is_seen


def _make_file() -> str:
    """Make an empty file with a new name in the working folder, and return the name."""
    handle, path = tempfile.mkstemp(dir=".", prefix=".ranks_")
    os.close(handle)
    return os.path.basename(path)


class _NoResults:
    """A store of results that discards them."""

    def __init__(self, size: int):
        self.size = size

    def set(self, point: int, values: Values) -> None:
        pass

    def save(self) -> None:
        pass


def _no_values(point: int) -> Values:
    return {}


def seconds_per_point(ranks: Serial) -> float:
    """Return the seconds from one point to the next on a rank, without measuring anything."""
    points = range(POINTS_PER_RANK * ranks.size)
    start = time.perf_counter()
    scheduler.run(points, _no_values, _NoResults(len(points)), ranks, quiet=True)
    return (time.perf_counter() - start) / POINTS_PER_RANK


def describe(facts: list[RankFacts], seconds: float) -> list[str]:
    """Return the facts as lines of text."""
    nodes = Counter(fact.node for fact in facts)
    ranks = f"{len(facts)} rank{'s' if len(facts) > 1 else ''}"
    places = ", ".join(f"{node}: {number}" for node, number in nodes.items())
    launcher = mpi4pytorch.launcher() or "none"
    library = mpi4pytorch.library() if len(facts) > 1 else "not needed for one rank"
    return [
        f"{ranks} on {len(nodes)} node{'s' if len(nodes) > 1 else ''} ({places})",
        f"launcher: {launcher}; MPI library: {library}",
        *(f"rank {fact.rank} on {fact.node}: {fact.device}, may use {fact.cores} cores" for fact in facts),
        f"{facts[0].versions}; working folder: {os.getcwd()}",
        f"handing out a point takes {1000 * seconds:.2g} ms",
    ]


def find_problems(facts: list[RankFacts], seconds: float) -> list[str]:
    """Return a sentence for each fault that the facts or the seconds per point show."""
    problems = []
    blind = [fact for fact in facts if not fact.sees_folder]
    if blind:
        problems.append(
            f"rank {blind[0].rank} on {blind[0].node} does not see the working folder of rank 0; "
            "start in a folder that all nodes share"
        )
    versions = Counter(fact.versions for fact in facts)
    if len(versions) > 1:
        problems.append(
            f"ranks have different versions ({'; '.join(versions)}); use one environment on all nodes"
        )
    gpus = Counter((fact.node, fact.gpu) for fact in facts if fact.gpu)
    shared = [node for (node, _), number in gpus.items() if number > 1]
    if shared:
        problems.append(
            f"several ranks share a GPU on {shared[0]}; start as many ranks per node as it has GPUs"
        )
    for node, number in Counter(fact.node for fact in facts if not fact.gpu).items():
        cores = max(fact.cores for fact in facts if fact.node == node)
        if number > cores:
            problems.append(f"{node} has {number} ranks for {cores} cores; start at most {cores} there")
    if seconds > MAX_SECONDS:
        problems.append(
            f"handing out a point takes {seconds:.2g} s, which is slow; "
            "the network or the MPI library is at fault"
        )
    return problems
