"""Measure the loss surface of a net around a minimiser, on a line or in a plane, and plot it.

    make demo                                                            everything below on small nets, no download
    python plot_surface.py --dataset digits --model resnet20 --model_file FILE.t7 --x=-1:1:51 --xnorm filter --xignore biasbn --plot
    python plot_surface.py --dataset digits --model resnet20 --model_file FILE.t7 --x auto --xnorm filter --xignore biasbn --plot
    mpirun -n 4 python plot_surface.py --mpi --cuda --model resnet56 --x=-1:1:51 --y=-1:1:51 --model_file FILE.t7 \\
        --dir_type weights --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot

A run that was stopped goes on where it was when it is started again.
"""
import math
import os
import sys
from contextlib import ExitStack
from functools import cache, partial

import numpy as np
import torch

import check_report
import devices
import model_loader
import mpi4pytorch
import net_plotter
import options
import range_probe
import rank_watch
import scheduler
from claim import Claim
from command_line import Parser, add_format_option, finite, sentence
from errors import InputError
from evaluation import Evaluator, check_images, quantities, set_precision
from h5_util import Surface
from mpi4pytorch import together
from net_plotter import Recipe
from provenance import record_of_run
from shared_images import load_parts
from study import Study

SEED = 123  # the published program's; --idx N draws from SEED + N


def build_parser() -> Parser:
    parser = Parser(__doc__)
    options.add_hardware(parser)
    options.add_data(parser)
    options.add_subset(parser)
    options.add_model(parser)
    options.add_directions(parser)
    group = parser.add_argument_group("plots")
    group.add_argument("--plot", action="store_true", help="plot the surface when it is measured")
    group.add_argument("--show", action="store_true", help="and show the plots on the screen")
    group.add_argument("--log", action="store_true", help="logarithmic loss in the 1-D plots")
    group.add_argument("--loss_max", type=finite, default=5, help="highest loss in the 1-D plots (default: 5)")
    group.add_argument("--proj_file", default="", metavar="FILE", help="draw this projected trajectory over the contours")
    options.add_plot_levels(group)
    add_format_option(group)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    two_d = args.y is not None
    if not two_d and (args.model_file3 or args.same_dir):
        parser.error("--model_file3 and --same_dir are for two dimensions; give --y too")
    if args.proj_file and not (two_d and args.plot):
        parser.error(f"--proj_file {args.proj_file} is drawn over the contours of a plane; give --y and --plot too")
    with sentence(parser), ExitStack() as at_the_end:
        ranks = mpi4pytorch.connect(args.mpi)
        say = print if ranks.rank == 0 else (lambda *_: None)
        device = together(ranks, lambda: devices.choose(args.cuda, ranks))
        sharers = devices.sharers(ranks, device)

        seed = SEED + args.idx
        torch.manual_seed(seed)
        files = {flag: model_loader.find(args.model_folder, name) for flag in ("model_file", "model_file2", "model_file3") if (name := getattr(args, flag))}
        load_net = partial(model_loader.load, args.model, unsafe_pickle=args.unsafe_pickle)
        net = together(ranks, lambda: load_net(files.get("model_file", "")))
        if "model_file" not in files:
            say("no --model_file: the net has random weights")

        sets = load_parts(ranks, args.dataset, args.datapath, test_set=args.test_set, npz_files={"train": args.trainloader, "test": args.testloader},
                          labels_file=args.train_labels, data_split=args.data_split, split_idx=args.split_idx, raw_data=args.raw_data,
                          mean=args.mean, std=args.std, threads=args.threads)
        together(ranks, lambda: [check_images(net, data, args.model) for data in sets.values()])
        together(ranks, lambda: set_precision(args.precision, device))

        recipes = {"x": Recipe(partial(load_net, files["model_file2"]) if "model_file2" in files else None, norm=args.xnorm, ignore=args.xignore)}
        if two_d and not args.same_dir:
            recipes["y"] = Recipe(partial(load_net, files["model_file3"]) if "model_file3" in files else None, norm=args.ynorm, ignore=args.yignore)
        dir_file = args.dir_file or net_plotter.direction_file_name(
            files.get("model_file", ""), args.dir_type, model_file2=files.get("model_file2", ""), model_file3=files.get("model_file3", ""), two_d=two_d,
            xignore=args.xignore, xnorm=args.xnorm, yignore=args.yignore, ynorm=args.ynorm, same_dir=args.same_dir, idx=args.idx)
        together(ranks, lambda: require_folder(args.surf_file or dir_file))
        if args.plot and two_d:
            together(ranks, lambda: check_plot(args.proj_file, args.vmin, args.vmax, args.vlevel), only=True)
        study = Study(net, args.model, seed=seed, files=files, dir_type=args.dir_type, recipes=recipes, dir_file=dir_file, dir_file_given=bool(args.dir_file),
                      same_dir=args.same_dir, sets=sets, settings={
                          "loss_name": args.loss_name, "precision": args.precision or "default", "dataset": "trainloader" if args.trainloader else args.dataset,
                          "data_split": str(args.data_split), "split_idx": str(args.split_idx)})

        @cache
        def evaluator() -> Evaluator:
            """Of the net, which is on the device from then on; made where something is to be measured."""
            net.to(device)
            return Evaluator(net, sets, loss_name=args.loss_name, batch_size=args.batch_size, precision=args.precision, memory=args.data_memory,
                             sharers=sharers)

        axes, reasons = range_probe.between_nets({"x": args.x, "y": args.y} if two_d else {"x": args.x}, study.towards_nets)
        if question := range_probe.question(axes, args.rise):
            axes, found = together(ranks, lambda: study.find_ranges(axes, question, lambda: evaluator().measure(), rise=args.rise, surf_file=args.surf_file,
                                                                    overwrite=args.overwrite), only=True)
            reasons += found
        for reason in reasons:
            say(reason)
        surf_file = args.surf_file or net_plotter.surface_file_name(
            dir_file, axes["x"], axes.get("y"), raw_data=args.raw_data, data_split=args.data_split, split_idx=args.split_idx)

        names = quantities(sets)
        run = record_of_run(__file__, sys.argv[1:] if argv is None else argv, device=devices.name(device), ranks=ranks.size,
                            files={flag: os.path.abspath(path) for flag, path in files.items()}, **({"range": question} if question else {}))
        claim = Claim(surf_file)
        at_the_end.callback(claim.release)

        def open_files() -> Surface:
            claim.acquire(wait=args.wait)
            return study.open_files(surf_file, axes, names, run=run, overwrite=args.overwrite, say=say)

        surface = together(ranks, open_files, only=True)
        directions = together(ranks, study.read_directions)
        say(f"directions: {dir_file}\nsurface:    {surf_file}")
        if two_d:
            say(f"cosine between x and y: {net_plotter.cosine(*directions):.6f}")
        points, total = scheduler.ordered(surface.missing(names), surface.shape, args.order), math.prod(surface.shape)
        say(f"{len(points)} of {total} points to measure on {ranks.size} rank{'s' if ranks.size > 1 else ''}")
        if points:
            if args.batch_size is None:  # one for all ranks, so that a value does not depend on the rank
                evaluator().batch_size = ranks.gather_all(evaluator().batch_size or evaluator().fastest_batch_size() if ranks.rank == 0 else None)[0]
            evaluator().prepare()
            threads = f", {torch.get_num_threads()} threads a rank" if device.type == "cpu" else ""
            say(f"{device.type}{threads}, {args.precision or 'default'} precision, {evaluator().describe()}")
            if ranks.rank == 0:
                recorded = model_loader.read_checkpoint(files["model_file"], unsafe_pickle=args.unsafe_pickle).acc if "model_file" in files else None
                check_report.warn(net, sets, directions, np.array([surface.point(i) for i in range(total)]), dir_type=args.dir_type, recorded=recorded,
                                  other_model=bool(study.towards_nets))

        with net_plotter.moving(net, directions, args.dir_type) as move:
            def measure(point: int) -> dict[str, float]:
                move(surface.point(point))
                return evaluator().measure()

            def save() -> None:
                if claim.lost:
                    raise InputError(f"another run has taken {surf_file!r} over; this one stops")
                surface.save()

            try:
                with scheduler.interruptible(), rank_watch.watched(ranks):
                    scheduler.run(points, measure, record=surface.set, save=save, ranks=ranks, total=total, schedule=args.schedule)
            except scheduler.Interrupted as signal:
                again = "the same command without --overwrite" if args.overwrite else "the same command again"
                say(f"stopped by {signal}: what was measured is in {surf_file}; start {again} to go on")
                claim.release()
                scheduler.end_job(ranks, signal)

        if args.plot and ranks.rank == 0:
            output = {"show": args.show, "formats": args.format}
            levels = {"vmin": args.vmin, "vmax": args.vmax, "vlevel": args.vlevel}
            if not two_d:
                from plot_1D import plot_1d
                plot_1d(surf_file, xmin=None, xmax=None, loss_max=args.loss_max, log=args.log, **output)
            elif args.proj_file:
                from plot_2D import plot_contour_trajectory
                plot_contour_trajectory(surf_file, name="train_loss", dir_file=dir_file, proj_file=args.proj_file, **levels, **output)
            else:
                from plot_2D import plot_2d
                plot_2d(surf_file, name="train_loss", **levels, **output)


def check_plot(proj_file: str, vmin: float | None, vmax: float | None, vlevel: float | None) -> None:
    """Raise `InputError` for what the figures of a plane would refuse after hours of measuring."""
    from contour_levels import possible
    possible(vmin, vmax, vlevel)
    if proj_file:
        from trajectory_figures import read_projection
        read_projection(proj_file)


def require_folder(surf_file: str) -> None:
    """Raise `InputError` if the surface file's folder is not there."""
    folder = os.path.dirname(surf_file) or "."
    if not os.path.isdir(folder):
        raise InputError(f"the folder {folder!r}, where the surface file is to be, is not there; make it, or give another --surf_file")


if __name__ == "__main__":
    main()
