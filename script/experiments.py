"""The paper's experiments: each measures a few surfaces and draws them side by side, with one range for all.

    python script/experiments.py contours --list                              the commands that it would run, and what is missing
    python script/experiments.py contours --ranks 4 --cuda                    as published, on the nets in cifar10/trained_nets
    python script/experiments.py interpolation_vgg9 --large_batch 2048 --resolution 41 --data_split 10
    python script/experiments.py contours --nets my_nets --range auto --resolution 25 --dataset folder --datapath my_images

The nets lie in folders named as cifar10/main.py names them; of each, the checkpoint of the highest epoch is taken. Nets that are missing are
skipped. Options that are not listed below, such as --cuda, --dataset, --datapath, --data_split and --test_set, go to plot_surface.py as they are.
What was stopped goes on when it is started again.
"""

import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # the toolkit's modules, wherever this is started from

from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.options import positive
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from losslandscape.parallel.mpi4pytorch import launched

REPO = Path(__file__).resolve().parent.parent
ALONG_X = ("--dir_type", "weights", "--xnorm", "filter", "--xignore", "biasbn")
ALONG_Y = ("--ynorm", "filter", "--yignore", "biasbn")
CHECKPOINT = re.compile(r"model_(\d+)\.t7")
FAMILIES = {"resnet": "ResNet-", "wrn": "WRN-", "vgg": "VGG-", "densenet": "DenseNet-"}
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
RANGE_IN_LIST = "LOW:HIGH"  # of the nets after the first, where a range has yet to be found


@dataclass(frozen=True)
class Experiment:
    """Surfaces to compare: one for each model, optimizer, weight decay and batch size; or between the nets of two batch sizes."""

    about: str
    models: tuple[str, ...]
    optimizers: tuple[str, ...] = ("sgd",)
    decays: tuple[float, ...] = (0.0, 0.0005)
    batches: tuple[int, ...] = (128,)
    interpolates: bool = False
    two_d: bool = False
    flags: tuple[str, ...] = ALONG_X
    range: str = "-1:1"
    resolution: int = 51

    def panels(self) -> list["Panel"]:
        """In the order of the figure."""
        groups = [self.batches] if self.interpolates else [(batch,) for batch in self.batches]
        return [
            Panel(
                tuple(Net(model, optimizer, decay, batch) for batch in group),
                self._title(model, optimizer, decay, group),
            )
            for model, optimizer, decay, group in itertools.product(
                self.models, self.optimizers, self.decays, groups
            )
        ]

    def _title(self, model: str, optimizer: str, decay: float, batches: tuple[int, ...]) -> str:
        """What the surface differs in from the others."""
        parts = [
            (self.models, published_name(model)),
            (self.optimizers, OPTIMIZERS[optimizer]),
            (self.decays, f"weight decay {decay:g}"),
            (self.batches, f"batch {' to '.join(map(str, batches))}"),
        ]
        return ", ".join(part for choices, part in parts if len(choices) > 1) or published_name(model)


@dataclass(frozen=True)
class Net:
    """A training, as its folder's name tells it."""

    model: str
    optimizer: str
    decay: float
    batch: int

    def pattern(self, nets: Path) -> str:
        """Where it is looked for, for people."""
        return str(nets / f"{self.model}_{self.optimizer}_*bs={self.batch}_wd={self.decay}*" / "model_*.t7")

    def find(self, nets: Path) -> Path | None:
        """The checkpoint of the highest epoch; of several folders that fit, the one with the shortest name has the fewest peculiarities."""
        folders = [
            folder
            for folder in nets.glob(f"{self.model}_{self.optimizer}_*")
            if self._fits(folder.name.split("_"))
        ]
        for folder in sorted(folders, key=lambda folder: (len(folder.name), folder.name)):
            epochs = {
                int(match[1]): path for path in folder.iterdir() if (match := CHECKPOINT.fullmatch(path.name))
            }
            if epochs:
                return epochs[max(epochs)]
        return None

    def _fits(self, parts: list[str]) -> bool:
        return f"bs={self.batch}" in parts and any(
            part in parts for part in (f"wd={self.decay}", f"wd={self.decay:g}")
        )


@dataclass(frozen=True)
class Panel:
    """One panel of the figure: around a net, or from one net to another."""

    nets: tuple[Net, ...]
    title: str

    def path(self, out: Path, resolution: int) -> Path:
        first = self.nets[0]
        batches = "_".join(f"bs={net.batch}" for net in self.nets)
        return out / f"{first.model}_{first.optimizer}_{batches}_wd={first.decay}_{resolution}.h5"


def of_batches(about: str, model: str, large: int, **fields) -> Experiment:
    """Small batches against large ones."""
    return Experiment(about.format(published_name(model)), (model,), batches=(128, large), **fields)


def published_name(model: str) -> str:
    """
    >>> published_name("resnet56_noshort")
    'ResNet-56-noshort'
    """
    family = next((family for family in FAMILIES if model.startswith(family)), "")
    return FAMILIES.get(family, "") + model.removeprefix(family).replace("_", "-")


LARGE = {"vgg9": 8192, "resnet56": 4096}
BETWEEN = {
    "interpolates": True,
    "optimizers": ("sgd", "adam"),
    "flags": ("--dir_type", "states"),
    "range": "-0.5:1.5",
    "resolution": 401,
}
EXPERIMENTS = {
    **{
        f"interpolation_{model}": of_batches(
            "{}, from the small-batch to the large-batch minimiser", model, large, **BETWEEN
        )
        for model, large in LARGE.items()
    },
    **{
        f"curves_{model}_{optimizer}": of_batches(
            f"{{}}, {OPTIMIZERS[optimizer]}: along a filter-normalised direction",
            model,
            large,
            optimizers=(optimizer,),
        )
        for model, large in LARGE.items()
        for optimizer in ("sgd", "adam")
    },
    "contours": Experiment(
        "planes of nets with and without shortcuts",
        ("resnet56", "resnet56_noshort", "resnet110_noshort", "vgg9"),
        decays=(0.0005,),
        two_d=True,
        flags=ALONG_X + ALONG_Y,
    ),
}


def main(argv: list[str] | None = None) -> None:
    parser = make_parser()
    args, passed_on = parser.parse_known_args(argv)
    if launched()[1] > 1:
        parser.error("start this without mpirun, and say --ranks N: it starts mpirun itself")
    experiment = EXPERIMENTS[args.experiment]
    changes = {
        "models": args.models and tuple(args.models),
        "range": args.range,
        "resolution": args.resolution,
        "batches": (args.small_batch, args.large_batch or experiment.batches[1])
        if len(experiment.batches) > 1
        else (args.small_batch,),
    }
    experiment = replace(experiment, **{name: value for name, value in changes.items() if value})
    with sentence(parser):
        panels = what_is_there(experiment, args.nets)
        if not panels:
            raise InputError(
                f"there is no net for {args.experiment} in {str(args.nets)!r}; train some with cifar10/main.py, or give another --nets"
            )
        if not args.list:
            args.out.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, panel in enumerate(panels, start=1):
            paths.append(panel.path(args.out, experiment.resolution))
            print(f"# {number}/{len(panels)} {panel.title}", flush=True)
            run(
                surface_command(experiment, panel, args.nets, paths[-1]) + passed_on,
                ranks=args.ranks,
                only_listed=args.list,
            )
            if experiment.range == "auto":
                experiment = replace(experiment, range=RANGE_IN_LIST if args.list else range_of(paths[-1]))
        print("# the figure", flush=True)
        run(
            [
                "plot_2D.py" if experiment.two_d else "plot_1D.py",
                "--surf_file",
                *map(str, paths),
                "--title",
                *(panel.title for panel in panels),
                "--out",
                str(args.out / args.experiment),
                "--format",
                *args.format,
            ],
            only_listed=args.list,
        )


def make_parser() -> Parser:
    parser = Parser(
        __doc__
        + "\nExperiments:\n"
        + "\n".join(f"    {name:24} {experiment.about}" for name, experiment in EXPERIMENTS.items())
    )
    parser.add_argument(
        "experiment", choices=EXPERIMENTS, metavar="EXPERIMENT", help="one of those above; before all options"
    )
    parser.add_argument("--list", action="store_true", help="print the commands, run none")
    parser.add_argument(
        "--nets",
        type=Path,
        default=Path("cifar10/trained_nets"),
        metavar="DIR",
        help="folder with the nets' folders (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("figures"),
        metavar="DIR",
        help="folder for surfaces and figures (default: %(default)s)",
    )
    parser.add_argument(
        "--ranks",
        type=positive,
        default=1,
        help="processes that share the points of a surface, under mpirun (default: 1)",
    )
    parser.add_argument(
        "--resolution",
        type=positive,
        metavar="N",
        help="points on each axis (default: as published, 401 between nets, else 51)",
    )
    parser.add_argument(
        "--range",
        metavar="MIN:MAX",
        help="range of each axis; write --range=-1:1 (default: as published). auto: the one that "
        "plot_surface.py --x auto finds for the first net, for all",
    )
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help="these models instead of the experiment's"
    )
    parser.add_argument(
        "--small_batch",
        type=positive,
        default=128,
        metavar="N",
        help="the batch size that counts as small (default: 128)",
    )
    parser.add_argument(
        "--large_batch",
        type=positive,
        metavar="N",
        help="the batch size that counts as large (default: as published, 8192 or 4096)",
    )
    parser.add_argument("--format", nargs="+", default=["pdf"], help="formats of the figure (default: pdf)")
    return parser


def what_is_there(experiment: Experiment, nets: Path) -> list[Panel]:
    """The surfaces whose nets are all there; says which others are skipped, and what was looked for."""
    found = []
    for panel in experiment.panels():
        missing = [net.pattern(nets) for net in panel.nets if net.find(nets) is None]
        if missing:
            print(f"# skipped {panel.title}: there is no {' and no '.join(missing)}", flush=True)
        else:
            found.append(panel)
    return found


def surface_command(experiment: Experiment, panel: Panel, nets: Path, path: Path) -> list[str]:
    """The call of plot_surface.py, without the launcher."""
    files = [
        item
        for flag, net in zip(("--model_file", "--model_file2"), panel.nets, strict=False)
        for item in (flag, str(net.find(nets)))
    ]
    axes = [
        f"--{axis}={experiment.range}:{experiment.resolution}" for axis in ("xy" if experiment.two_d else "x")
    ]
    return [
        "plot_surface.py",
        "--model",
        panel.nets[0].model,
        *files,
        *axes,
        *experiment.flags,
        "--surf_file",
        str(path),
    ]


def range_of(path: Path) -> str:
    x = h5_util.read_surface(str(path)).x
    return f"{x[0]}:{x[-1]}"


def run(command: list[str], *, ranks: int = 1, only_listed: bool) -> None:
    """Run a script of the toolkit to its end, or only print its command. Ends the program with the script's status if that is not 0."""
    script, *flags = command
    launcher = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    script_file = REPO / script
    if only_listed:
        print(shlex.join([*launcher, "python", os.path.relpath(script_file), *flags]))
        return
    if launcher:
        beside = os.path.dirname(
            sys.executable
        )  # the launcher that was installed with this Python comes first
        launcher[0] = shutil.which("mpirun", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
        if not launcher[0]:
            raise InputError(
                f"--ranks {ranks} needs mpirun, which is not installed; pip install mpich, or leave --ranks out"
            )
    child = subprocess.Popen([*launcher, sys.executable, str(script_file), *flags])
    ours = {
        signal.SIGINT: lambda *_: (
            None
        ),  # Ctrl-C reaches the child too, which saves what it has measured before it ends
        signal.SIGTERM: lambda number, _: child.send_signal(number),
    }
    before = {number: signal.signal(number, handler) for number, handler in ours.items()}
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


if __name__ == "__main__":
    main()
