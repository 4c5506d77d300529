"""The paper's experiments: each measures a few surfaces, and draws them side by side on one scale.

    python script/experiments.py contours --list
    python script/experiments.py contours --ranks 4 --cuda
    python script/experiments.py interpolation_vgg9 --large_batch 2048 --resolution 41 --data_split 10
    python script/experiments.py contours --nets my_nets --range auto --dataset folder --datapath my_images
    python script/experiments.py front_page --nets nets --images images --ranks 2

`--list` prints the commands that it would run, and which nets are missing. The second command is the
experiment as published, on the nets in cifar10/trained_nets. Nets lie in folders named as cifar10/main.py
names them, and the checkpoint of the highest epoch is taken. Surfaces whose nets are missing are skipped.
Options that are not listed below, such as --cuda, --dataset, --datapath, --data_split and --test_set, are
passed on to plot_surface.py. The same command resumes an experiment that was stopped.

The studies are of given nets: the paper's two, and those of docs/reproduction.md. script/paper_studies.py
has their folders, grids and images. They take --nets, --images, --out, --ranks, --list and what is passed on.
"""

import argparse
import itertools
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

# The package of this checkout, wherever the script is started.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.option_types import positive
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from losslandscape.parallel.mpi4pytorch import launched
from script.commands import run
from script.paper_studies import ALONG_X, ALONG_Y, STUDIES, Study

CHECKPOINT = re.compile(r"model_(\d+)\.t7")
FAMILIES = {"resnet": "ResNet-", "wrn": "WRN-", "vgg": "VGG-", "densenet": "DenseNet-"}
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
UNKNOWN_RANGE = "LOW:HIGH"  # printed by --list while the first surface has not found the range


@dataclass(frozen=True)
class Net:
    """A trained net, as its folder's name describes it."""

    model: str
    optimizer: str
    decay: float
    batch: int

    def pattern(self, nets: Path) -> str:
        """Return where the checkpoints should be, for a message."""
        folder = f"{self.model}_{self.optimizer}_*bs={self.batch}_wd={self.decay}*"
        return str(nets / folder / "model_*.t7")

    def find(self, nets: Path) -> Path | None:
        """Return the checkpoint of the highest epoch, or None.

        If several folders fit, the one with the shortest name is taken: it has the fewest special options.
        """
        folders = [folder for folder in nets.glob(f"{self.model}_{self.optimizer}_*") if self._fits(folder)]
        for folder in sorted(folders, key=lambda folder: (len(folder.name), folder.name)):
            matches = [(CHECKPOINT.fullmatch(path.name), path) for path in folder.iterdir()]
            epochs = {int(match[1]): path for match, path in matches if match}
            if epochs:
                return epochs[max(epochs)]
        return None

    def _fits(self, folder: Path) -> bool:
        parts = folder.name.split("_")
        decays = (f"wd={self.decay}", f"wd={self.decay:g}")
        return f"bs={self.batch}" in parts and any(decay in parts for decay in decays)


@dataclass(frozen=True)
class Panel:
    """A surface and its panel in the figure: around one net, or from one net to another."""

    nets: tuple[Net, ...]
    title: str

    def surf_file(self, out: Path, resolution: int) -> Path:
        net = self.nets[0]
        batches = "_".join(f"bs={net.batch}" for net in self.nets)
        return out / f"{net.model}_{net.optimizer}_{batches}_wd={net.decay}_{resolution}.h5"


@dataclass(frozen=True)
class Experiment:
    """Surfaces to compare: one per model, optimizer, weight decay and batch size.

    Args:
        about: a line for the help.
        models, optimizers, decays, batches: models, optimizers, weight decays and batch sizes of the nets.
        interpolates: whether a surface lies between the nets of two batch sizes.
        two_d: whether surfaces are planes.
        flags: flags of plot_surface.py for the directions.
        range: MIN:MAX of each axis, or auto.
        resolution: number of points along each axis.
    """

    about: str
    models: tuple[str, ...]
    optimizers: tuple[str, ...] = ("sgd",)
    decays: tuple[float, ...] = (0.0, 0.0005)
    batches: tuple[int, ...] = (128,)
    interpolates: bool = False
    two_d: bool = False
    flags: tuple[str, ...] = tuple(ALONG_X.split())
    range: str = "-1:1"
    resolution: int = 51

    def panels(self) -> list[Panel]:
        """Return the panels in the order of the figure."""
        groups = [self.batches] if self.interpolates else [(batch,) for batch in self.batches]
        panels = []
        for model, optimizer, decay, group in itertools.product(
            self.models, self.optimizers, self.decays, groups
        ):
            nets = tuple(Net(model, optimizer, decay, batch) for batch in group)
            panels.append(Panel(nets, self._title(nets)))
        return panels

    def _title(self, nets: tuple[Net, ...]) -> str:
        """Return what differs between the surface and the others."""
        net = nets[0]
        batches = " to ".join(str(net.batch) for net in nets)
        parts = [
            (self.models, published_name(net.model)),
            (self.optimizers, OPTIMIZERS[net.optimizer]),
            (self.decays, f"weight decay {net.decay:g}"),
            (self.batches, f"batch {batches}"),
        ]
        differing = [text for choices, text in parts if len(choices) > 1]
        return ", ".join(differing) or published_name(net.model)


def published_name(model: str) -> str:
    """Return the model's name as the paper writes it.

    >>> published_name("resnet56_noshort")
    'ResNet-56-noshort'
    """
    for family, name in FAMILIES.items():
        if model.startswith(family):
            return name + model.removeprefix(family).replace("_", "-")
    return model.replace("_", "-")


def interpolation(model: str, large_batch: int) -> Experiment:
    """Return the experiment from the small-batch to the large-batch minimiser."""
    return Experiment(
        f"{published_name(model)}, from the small-batch to the large-batch minimiser",
        (model,),
        optimizers=("sgd", "adam"),
        batches=(128, large_batch),
        interpolates=True,
        flags=("--dir_type", "states"),
        range="-0.5:1.5",
        resolution=401,
    )


def curves(model: str, optimizer: str, large_batch: int) -> Experiment:
    """Return the experiment that shows small batches beside large batches."""
    name = f"{published_name(model)}, {OPTIMIZERS[optimizer]}"
    about = f"{name}: along a filter-normalised direction"
    return Experiment(about, (model,), optimizers=(optimizer,), batches=(128, large_batch))


EXPERIMENTS = {
    "interpolation_vgg9": interpolation("vgg9", 8192),
    "interpolation_resnet56": interpolation("resnet56", 4096),
    "curves_vgg9_sgd": curves("vgg9", "sgd", 8192),
    "curves_vgg9_adam": curves("vgg9", "adam", 8192),
    "curves_resnet56_sgd": curves("resnet56", "sgd", 4096),
    "curves_resnet56_adam": curves("resnet56", "adam", 4096),
    "contours": Experiment(
        "planes of nets with and without shortcuts",
        ("resnet56", "resnet56_noshort", "resnet110_noshort", "vgg9"),
        decays=(0.0005,),
        two_d=True,
        flags=(*ALONG_X.split(), *ALONG_Y.split()),
    ),
}


def main(argv: list[str] | None = None) -> None:
    parser = make_parser()
    args, passed_on = parser.parse_known_args(argv)
    if launched()[1] > 1:
        parser.error("start this without mpirun, and give --ranks N: it starts mpirun itself")
    if args.experiment in STUDIES:
        for option in ("range", "resolution", "models", "large_batch"):
            if getattr(args, option):
                parser.error(f"--{option} is not for a study, which has its own; leave it out")
        with sentence(parser):
            run_study(STUDIES[args.experiment], args, passed_on)
        return
    experiment = adapted_experiment(args)
    with sentence(parser):
        panels = measurable_panels(experiment, args.nets)
        if not panels:
            raise InputError(
                f"there is no net for {args.experiment} in {str(args.nets)!r}",
                "train some with cifar10/main.py, or give another {nets}",
            )
        if not args.list:
            args.out.mkdir(parents=True, exist_ok=True)
        surf_files = measure_panels(experiment, panels, args, passed_on)
        print("# the figure", flush=True)
        figure = figure_command(experiment, panels, surf_files, args.out / args.experiment, args.format)
        run(figure, only_print=args.list)


def make_parser() -> Parser:
    lines = [f"    {name:24} {experiment.about}" for name, experiment in EXPERIMENTS.items()]
    studies = [f"    {name:24} {study.about}" for name, study in STUDIES.items()]
    parser = Parser("\n".join([__doc__, "Experiments:", *lines, "\nStudies:", *studies]))
    add = parser.add_argument
    name_help = "one of those above; before all options"
    add("experiment", choices=[*EXPERIMENTS, *STUDIES], metavar="EXPERIMENT", help=name_help)
    add("--list", action="store_true", help="print the commands, run none")
    add(
        "--nets",
        type=Path,
        default=Path("cifar10/trained_nets"),
        metavar="DIR",
        help="folder with the folders of the nets (default: %(default)s)",
    )
    images_help = "studies: folder with cifar10-lossless and cifar10-images (default: the working folder)"
    add("--images", type=Path, default=Path(), metavar="DIR", help=images_help)
    add(
        "--out",
        type=Path,
        default=Path("figures"),
        metavar="DIR",
        help="folder for surfaces and figures (default: %(default)s)",
    )
    ranks_help = "processes that share the points of a surface, under mpirun (default: 1)"
    add("--ranks", type=positive, default=1, help=ranks_help)
    resolution_help = "points along each axis (default: as published, 401 between nets, else 51)"
    add("--resolution", type=positive, metavar="N", help=resolution_help)
    add(
        "--range",
        metavar="MIN:MAX",
        help="range of each axis; write --range=-1:1 (default: as published). With auto, all surfaces get "
        "the range that plot_surface.py --x auto finds for the first net",
    )
    add("--models", nargs="+", metavar="NAME", help="these models instead of the experiment's")
    small_help = "the batch size that counts as small (default: 128)"
    add("--small_batch", type=positive, default=128, metavar="N", help=small_help)
    large_help = "the batch size that counts as large (default: as published, 8192 or 4096)"
    add("--large_batch", type=positive, metavar="N", help=large_help)
    add("--format", nargs="+", default=["pdf"], help="formats of the figure (default: pdf)")
    return parser


def run_study(study: Study, args: argparse.Namespace, passed_on: list[str]) -> None:
    """Train the nets that are absent, measure the surfaces, and draw the figures whose surfaces are there."""
    nets, images, out = str(args.nets), str(args.images), str(args.out)
    if not args.list:
        args.out.mkdir(parents=True, exist_ok=True)
    for training in study.trainings:
        if not (args.nets / training.makes).exists():
            print(f"# train {training.makes}", flush=True)
            run(training.command(nets, images), only_print=args.list)
    made = {training.makes for training in study.trainings}
    there = set()
    for number, surface in enumerate(study.measured, start=1):
        command = surface.command(nets, images, out)
        missing = [file for file in checkpoints(command) if not is_there(file, args.nets, made)]
        if missing:
            print(f"# skipped {surface.name}: there is no {' and no '.join(missing)}", flush=True)
            continue
        print(f"# {number}/{len(study.measured)} {surface.name}", flush=True)
        if surface.path:
            run(surface.path_command(nets, images, out), only_print=args.list)
        run([*command, *passed_on], ranks=args.ranks, only_print=args.list)
        there.add(surface.name)
    if not there:
        raise InputError(f"there is no net for {args.experiment} in {nets!r}", "give another {nets}")
    for figure in study.figures:
        if all(name in there or (args.out / f"{name}.h5").exists() for name in figure.titles):
            print(f"# the figure {figure.name}", flush=True)
            run(figure.command(out, out), only_print=args.list)


def checkpoints(command: list[str]) -> list[str]:
    """Return the checkpoints of a call of plot_surface.py."""
    return [file for flag, file in itertools.pairwise(command) if flag in ("--model_file", "--model_file2")]


def is_there(checkpoint: str, nets: Path, made: set[str]) -> bool:
    """Return whether a checkpoint exists, or a training of the study makes it."""
    return Path(checkpoint).exists() or Path(checkpoint).relative_to(nets).as_posix() in made


def adapted_experiment(args: argparse.Namespace) -> Experiment:
    """Return the experiment with the values that the options replace."""
    experiment = EXPERIMENTS[args.experiment]
    batches = (args.small_batch,)
    if len(experiment.batches) > 1:
        batches = (args.small_batch, args.large_batch or experiment.batches[1])
    return replace(
        experiment,
        models=tuple(args.models or experiment.models),
        batches=batches,
        range=args.range or experiment.range,
        resolution=args.resolution or experiment.resolution,
    )


def measurable_panels(experiment: Experiment, nets: Path) -> list[Panel]:
    """Return the panels whose nets all exist; print which panels are skipped, and why."""
    panels = []
    for panel in experiment.panels():
        missing = [net.pattern(nets) for net in panel.nets if net.find(nets) is None]
        if missing:
            print(f"# skipped {panel.title}: there is no {' and no '.join(missing)}", flush=True)
        else:
            panels.append(panel)
    return panels


def measure_panels(
    experiment: Experiment, panels: list[Panel], args: argparse.Namespace, passed_on: list[str]
) -> list[Path]:
    """Measure the surface of each panel, or print the commands; return the surface files.

    Args:
        experiment, panels: the experiment, and its panels to measure.
        args: options of the command line.
        passed_on: more flags of plot_surface.py.
    """
    surf_files = []
    for number, panel in enumerate(panels, start=1):
        surf_file = panel.surf_file(args.out, experiment.resolution)
        print(f"# {number}/{len(panels)} {panel.title}", flush=True)
        command = surface_command(experiment, panel, args.nets, surf_file)
        run([*command, *passed_on], ranks=args.ranks, only_print=args.list)
        if experiment.range == "auto":
            experiment = replace(experiment, range=UNKNOWN_RANGE if args.list else range_of(surf_file))
        surf_files.append(surf_file)
    return surf_files


def surface_command(experiment: Experiment, panel: Panel, nets: Path, surf_file: Path) -> list[str]:
    """Return the call of plot_surface.py, without the launcher."""
    command = ["plot_surface.py", "--model", panel.nets[0].model]
    for flag, net in zip(("--model_file", "--model_file2"), panel.nets, strict=False):
        command += [flag, str(net.find(nets))]
    for axis in "xy" if experiment.two_d else "x":
        command.append(f"--{axis}={experiment.range}:{experiment.resolution}")
    return [*command, *experiment.flags, "--surf_file", str(surf_file)]


def range_of(surf_file: Path) -> str:
    x = h5_util.read_surface(str(surf_file)).x
    return f"{x[0]}:{x[-1]}"


def figure_command(
    experiment: Experiment, panels: list[Panel], surf_files: list[Path], stem: Path, formats: list[str]
) -> list[str]:
    """Return the call that draws all surfaces side by side."""
    script = "plot_2D.py" if experiment.two_d else "plot_1D.py"
    files = ["--surf_file", *map(str, surf_files)]
    titles = ["--title", *(panel.title for panel in panels)]
    return [script, *files, *titles, "--out", str(stem), "--format", *formats]


if __name__ == "__main__":
    main()
