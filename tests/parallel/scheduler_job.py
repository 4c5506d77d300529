"""A run of the scheduler without nets, for the tests of it under mpirun: prints what rank 0 recorded as JSON.

mpirun -n 4 python tests/parallel/scheduler_job.py '{"points": 20, "seconds": [0.01, 0.02, 0.01, 0.03], "raise_at": {"1": 0}}'
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from losslandscape.parallel import mpi4pytorch, scheduler


def main() -> None:
    job = json.loads(sys.argv[1])
    ranks = mpi4pytorch.connect(mpi=True)
    done = 0

    def measure(point: int) -> dict[str, float]:
        nonlocal done
        if job.get("raise_at", {}).get(str(ranks.rank)) == done:
            raise MemoryError(f"rank {ranks.rank} has no memory")
        if job.get("bad") == point:
            raise ValueError(f"point {point} cannot be measured")
        done += 1
        time.sleep(job["seconds"][ranks.rank])
        return {"value": point**2, "rank": ranks.rank}

    recorded, saves = [], []
    begin = time.perf_counter()
    try:
        scheduler.run(
            range(job["points"]),
            measure,
            record=lambda point, values: recorded.append((point, values)),
            save=lambda: saves.append(len(recorded)),
            ranks=ranks,
            total=job["points"],
            schedule=job.get("schedule", "dynamic"),
        )
    finally:
        if ranks.rank == 0:
            print(
                json.dumps({"recorded": recorded, "saves": saves, "seconds": time.perf_counter() - begin}),
                flush=True,
            )


if __name__ == "__main__":
    main()
