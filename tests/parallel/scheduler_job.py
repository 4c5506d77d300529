"""A run of the scheduler without nets, for its tests under mpirun. Prints what rank 0 recorded as JSON.

mpirun -n 2 python tests/parallel/scheduler_job.py '{"points": 20, "seconds": [0, 0.1], "fail_at": {"1": 0}}'
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from losslandscape.parallel import mpi4pytorch, scheduler


class Recorder:
    """Results in memory."""

    def __init__(self, size: int):
        self.size = size
        self.recorded, self.saves = [], []

    def set(self, point: int, values: dict[str, float]) -> None:
        self.recorded.append((point, values))

    def save(self) -> None:
        self.saves.append(len(self.recorded))


def main() -> None:
    job = json.loads(sys.argv[1])
    ranks = mpi4pytorch.connect(mpi=True)
    done = 0

    def measure(point: int) -> dict[str, float]:
        nonlocal done
        if job.get("fail_at", {}).get(str(ranks.rank)) == done:
            raise MemoryError(f"rank {ranks.rank} has no memory")
        if job.get("bad") == point:
            raise ValueError(f"point {point} cannot be measured")
        done += 1
        time.sleep(job["seconds"][ranks.rank])
        return {"value": point**2, "rank": ranks.rank}

    results = Recorder(job["points"])
    try:
        scheduler.run(range(job["points"]), measure, results, ranks, schedule=job.get("schedule", "dynamic"))
    finally:
        if ranks.rank == 0:
            print(json.dumps({"recorded": results.recorded, "saves": results.saves}), flush=True)


if __name__ == "__main__":
    main()
