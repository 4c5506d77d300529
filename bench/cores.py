"""How many more points two ranks measure than one, each with one thread on a core of its own.

    python bench/cores.py --out bench/results/cores.json

Each run measures ResNet-56 (random weights, random images) through the program's own scheduler and evaluator. Beside the ranks stand
as many programs of one rank each, which know nothing of each other but begin at one time: what they lack of the ideal is the machine's part.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from tests.helpers import mpirun

POINTS_A_RANK = 40
IMAGES = 64
START_SECONDS = 8  # for Python, torch and the net
ONE = "1 rank"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, nargs="+", default=[2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", default="", metavar="FILE.json")
    parser.add_argument("--begin", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.begin:
        rank_main(args.begin)
        return
    ways = {ONE: lambda: points_a_second(1)}
    for count in args.ranks:
        ways[f"{count} ranks"] = partial(points_a_second, count)
        ways[f"{count} separate programs"] = partial(points_a_second, 1, programs=count)
    rates = report.interleaved(ways, args.repeats)
    middle = report.medians(rates)
    rows = [
        {"run": name, "points/s": rate, "x one rank": rate / middle[ONE]} for name, rate in middle.items()
    ]
    print(report.table(rows))
    if args.out:
        report.write(args.out, {"rows": rows, "repeats": rates})


def points_a_second(ranks: int, *, programs: int = 1) -> float:
    """Of so many programs, of so many ranks each, together."""
    line = [*mpirun(ranks), sys.executable, __file__, "--begin", str(time.time() + START_SECONDS)]
    started = [
        subprocess.Popen(
            line,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(programs)
    ]
    answers = [program.communicate()[0] for program in started]
    if any(program.returncode for program in started):
        raise SystemExit(f"a run of {ranks} ranks failed; see what {' '.join(line)} says")
    return sum(json.loads(answer.splitlines()[-1]) for answer in answers)


def rank_main(begin_at: float) -> None:
    """One rank of a run, which begins at this time; rank 0 prints how many points a second all ranks measured together."""
    import torch

    from losslandscape.data.image_set import ImageSet
    from losslandscape.evaluate.evaluation import Evaluator
    from losslandscape.nets import model_loader
    from losslandscape.parallel import mpi4pytorch, scheduler

    ranks = mpi4pytorch.connect(mpi=True)
    torch.manual_seed(0)
    images = ImageSet(
        torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8), torch.randint(0, 10, (IMAGES,))
    )
    evaluator = Evaluator(model_loader.load("resnet56").eval(), {"train": images}, batch_size=32)
    evaluator.measure()
    time.sleep(max(0.0, begin_at - time.time()))
    ranks.gather_all(None)
    points = POINTS_A_RANK * ranks.size
    begin = time.perf_counter()
    scheduler.run(
        range(points),
        lambda point: evaluator.measure(),
        record=lambda *_: None,
        save=lambda: None,
        ranks=ranks,
        total=points,
    )
    if ranks.rank == 0:
        print(json.dumps(points / (time.perf_counter() - begin)))


if __name__ == "__main__":
    main()
