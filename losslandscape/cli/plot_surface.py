"""Measure the loss surface of a net around a minimiser, on a line or in a plane, and plot it.

    make demo                                                            everything below on small nets, no download
    python plot_surface.py --dataset digits --model resnet20 --model_file FILE.t7 --x=-1:1:51 --xnorm filter --xignore biasbn --plot
    python plot_surface.py --dataset digits --model resnet20 --model_file FILE.t7 --x auto --xnorm filter --xignore biasbn --plot
    mpirun -n 4 python plot_surface.py --mpi --cuda --model resnet56 --x=-1:1:51 --y=-1:1:51 --model_file FILE.t7 \\
        --dir_type weights --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot

A run that was stopped goes on where it was when it is started again.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from losslandscape.cli import options, request
from losslandscape.cli.command_line import Parser, add_format_option, finite, sentence
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays, fingerprint_of_file, require_same
from losslandscape.files import h5_util
from losslandscape.files.file_names import Axis
from losslandscape.files.h5_util import Projection
from losslandscape.measure import grid
from losslandscape.measure.evaluation import Samples
from losslandscape.measure.grid import Run
from losslandscape.measure.loss_measure import LossMeasure, Measuring
from losslandscape.measure.study import Study
from losslandscape.nets import model_loader
from losslandscape.parallel.mpi4pytorch import together
from losslandscape.trajectory import checkpoint_series


def build_parser() -> Parser:
    parser = Parser(__doc__)
    options.add_hardware(parser)
    options.add_data(parser)
    options.add_subset(parser)
    options.add_model(parser)
    options.add_directions(parser)
    options.add_measuring(parser)
    group = parser.add_argument_group("plots")
    group.add_argument("--plot", action="store_true", help="plot the surface when it is measured")
    group.add_argument("--show", action="store_true", help="and show the plots on the screen")
    group.add_argument("--log", action="store_true", help="logarithmic loss in the 1-D plots")
    group.add_argument(
        "--loss_max", type=finite, default=5, help="highest loss in the 1-D plots (default: 5)"
    )
    group.add_argument(
        "--proj_file", default="", metavar="FILE", help="draw this projected trajectory over the contours"
    )
    options.add_plot_levels(group)
    add_format_option(group)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    args.series = request.is_series(args)
    two_d = request.is_plane(args)
    if fault := request.fault(args):
        parser.error(fault)
    if args.series and (args.seeds > 1 or args.proj_file or args.model_file2 or args.model_file3):
        parser.error(
            f"--model_file {args.model_file} names several checkpoints, whose surfaces have one pair of directions and a path of their own; leave --seeds, "
            "--proj_file, --model_file2 and --model_file3 out"
        )
    if args.proj_file and not args.plot:
        parser.error(f"--proj_file {args.proj_file} is drawn over the contours of a plane; give --plot too")
    if args.seeds > 1 and (args.dir_file or args.surf_file or args.proj_file):
        parser.error(
            f"--seeds {args.seeds} makes directions and surfaces of its own; leave --dir_file, --surf_file and --proj_file out"
        )
    argv = sys.argv[1:] if argv is None else argv
    with sentence(parser):
        machine = request.machine(args)
        ranks = machine.ranks
        if args.plot and two_d:
            together(ranks, lambda: check_plot(args.proj_file, args.vmin, args.vmax, args.vlevel), only=True)
        sets = request.load_sets(args, ranks)
        if args.series:
            measure_series(args, argv, machine, sets)
            return
        paths = [
            measure_around(with_(args, idx=idx), argv, machine, sets)
            for idx in range(args.idx, args.idx + args.seeds)
        ]
        if ranks.rank == 0 and len(paths) > 1:
            tell_spread(paths)


def measure_around(
    args: argparse.Namespace, argv: list[str], machine: request.Machine, sets: dict[str, Samples]
) -> str:
    """Measure the surface that is asked for, plot it, and return its file's path."""
    job = Job.of(args, argv, machine, sets)
    axes = job.grid(args)
    surf_file = request.surface_file(args, job.study, axes)
    if args.proj_file:
        together(
            machine.ranks,
            lambda: check_path(job.study, args.proj_file, surf_file, overwrite=args.overwrite),
            only=True,
        )
    job.measure(axes, surf_file)
    if args.plot and machine.ranks.rank == 0:
        plot(args, surf_file, job.study.dir_file, two_d="y" in axes)
    return surf_file


def measure_series(
    args: argparse.Namespace, argv: list[str], machine: request.Machine, sets: dict[str, Samples]
) -> None:
    """Measure a surface around each of the checkpoints, all in the plane of the last, and make a film of them."""
    ranks = machine.ranks
    files = together(ranks, lambda: checkpoint_series.find(args.model_folder, args.model_file), only=True)
    last = Job.of(with_(args, model_file=files[-1]), argv, machine, sets)

    def find_places() -> tuple[np.ndarray, dict[str, str]]:
        directions, _ = last.study.find_directions(overwrite=args.overwrite)
        prints = {file: fingerprint_of_file(file) for file in files}
        found = np.array(
            [
                checkpoint_series.place(
                    request.load_net(args, file), last.study.net, directions, args.dir_type
                )
                for file in files
            ]
        )
        if lost := [file for file, place in zip(files, found, strict=True) if not np.isfinite(place).all()]:
            raise InputError(
                f"{lost[0]}: holds NaN or infinity, so it has no place in the plane; leave it out of --model_file"
            )
        return found, prints

    places, prints = together(ranks, find_places, only=True)
    axes = last.grid(args, places)
    name = request.surface_file(with_(args, surf_file=""), last.study, axes)
    paths = checkpoint_series.surface_files(files, name, args.surf_file)
    for number, file in enumerate(
        [files[-1], *files[:-1]], start=1
    ):  # the last one's directions are the others'
        last.run.say(f"checkpoint {number} of {len(files)}: {file}")
        job = last if file == files[-1] else Job.of(with_(args, model_file=file), argv, machine, sets)
        together(ranks, lambda job=job, file=file: require_unchanged(job.study, file, prints[file]))
        in_plane = replace(
            job.study,
            dir_file=last.study.dir_file,
            dir_file_given=job is not last or last.study.dir_file_given,
            place=tuple(places[files.index(file)].tolist()),
        )
        replace(job, study=in_plane).measure(axes, paths[file])
    if ranks.rank == 0 and "y" in axes:
        directions = h5_util.read_directions(last.study.dir_file)
        projection = Projection(
            f"{paths[files[-1]]}_series_proj.h5",
            *places.T,
            epochs=checkpoint_series.epochs(files),
            made_with={"directions": fingerprint_of_arrays(chain(*directions[:2]))},
        )
        h5_util.write_projection(projection)
        print(f"projection: {projection.path}")
        if args.plot:
            from losslandscape.cli.plot_film import plot_film

            plot_film(
                [paths[file] for file in files],
                proj_file=projection.path,
                dir_file=last.study.dir_file,
                vmin=args.vmin,
                vmax=args.vmax,
                vlevel=args.vlevel,
            )


def require_unchanged(study: Study, file: str, fingerprint: str) -> None:
    """Raise `InputError` if the checkpoint of a study is not that which was found to have this fingerprint."""
    if study.net_facts["model_file"] != fingerprint:
        raise InputError(
            f"{file}: was changed while this ran; give the same command again when nothing writes the checkpoints any more"
        )


@dataclass(frozen=True)
class Job:
    """One net and how its loss is to be measured."""

    study: Study
    run: Run
    loss: LossMeasure

    @classmethod
    def of(
        cls, args: argparse.Namespace, argv: list[str], machine: request.Machine, sets: dict[str, Samples]
    ) -> "Job":
        measuring = Measuring(
            batch_size=args.batch_size,
            precision=args.precision,
            memory=args.data_memory,
            weight_decay=args.weight_decay,
            bn_samples=args.bn,
            errors=args.errors,
            allow_nan=args.allow_nan,
        )
        study = request.study(args, machine, sets, **measuring.facts())
        run = request.run(args, machine, study, program=__file__, argv=argv)

        def recorded() -> float | None:
            if "model_file" not in study.files:
                return None
            return model_loader.read_checkpoint(
                study.files["model_file"], state_key=args.state_key, unsafe_pickle=args.unsafe_pickle
            ).acc

        return cls(
            study,
            run,
            LossMeasure(
                study, run, measuring, device=machine.device, sharers=machine.sharers, recorded=recorded
            ),
        )

    def grid(self, args: argparse.Namespace, places: np.ndarray | None = None) -> dict[str, Axis]:
        return request.grid(args, self.study, self.run, lambda: self.loss.evaluator.measure, places=places)

    def measure(self, axes: dict[str, Axis], surf_file: str) -> None:
        grid.measure(
            self.study, axes, self.loss.names, self.run, surf_file=surf_file, prepare=self.loss.prepare
        )


def with_(args: argparse.Namespace, **changes: object) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(args), **changes})


def tell_spread(paths: list[str]) -> None:
    from losslandscape.draw.metrics_table import tell_spread

    surfaces = [h5_util.read_surface(path) for path in paths]
    for surface in surfaces[1:]:
        require_same(
            surface.path,
            surface.made_with,
            {"model_file": surfaces[0].made_with["model_file"]},
            "the checkpoint was changed while this ran; give the same command again",
        )
    tell_spread(surfaces, [name for name in surfaces[0].names if name.endswith("_loss")])


def plot(args: argparse.Namespace, surf_file: str, dir_file: str, *, two_d: bool) -> None:
    output = {"show": args.show, "formats": args.format}
    levels = {"vmin": args.vmin, "vmax": args.vmax, "vlevel": args.vlevel}
    if not two_d:
        from losslandscape.cli.plot_1D import plot_1d

        plot_1d(surf_file, xmin=None, xmax=None, loss_max=args.loss_max, log=args.log, **output)
    elif args.proj_file:
        from losslandscape.cli.plot_2D import plot_contour_trajectory

        plot_contour_trajectory(surf_file, dir_file=dir_file, proj_file=args.proj_file, **levels, **output)
    else:
        from losslandscape.cli.plot_2D import plot_2d

        plot_2d(surf_file, **levels, **output)


def check_path(study: Study, proj_file: str, surf_file: str, *, overwrite: bool) -> None:
    """Raise `InputError` for a path that is not on the surface, before that is measured."""
    directions, _ = study.find_directions(overwrite=overwrite)
    projection = h5_util.read_projection(proj_file)
    projection.require_fit(study.surface_facts(directions), surf_file=surf_file, dir_file=study.dir_file)


def check_plot(proj_file: str, vmin: float | None, vmax: float | None, vlevel: float | None) -> None:
    """Raise `InputError` for what the figures of a plane would refuse after hours of measuring."""
    from losslandscape.draw.contour_levels import possible

    possible(vmin, vmax, vlevel)
    if proj_file:
        from losslandscape.draw.trajectory_figures import read_projection

        read_projection(proj_file)


if __name__ == "__main__":
    main()
