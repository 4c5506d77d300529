"""Measure the loss surface of a net around a minimiser, on a line or in a plane, and plot it.

    make demo                                                            everything below on small nets, no download
    python plot_surface.py --dataset digits --model resnet20 --model_file FILE.t7 --x=-1:1:51 --xnorm filter --xignore biasbn --plot
    mpirun -n 4 python plot_surface.py --mpi --cuda --model resnet56 --x=-1:1:51 --y=-1:1:51 --model_file FILE.t7 \\
        --dir_type weights --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot

A run that was stopped goes on where it was when it is started again.
"""
import math
import os
import platform
import sys
from contextlib import ExitStack
from functools import partial
from itertools import chain

import numpy as np
import torch
from torch import nn

import h5_util
import model_loader
import mpi4pytorch
import net_plotter
import options
import rank_watch
import scheduler
from claim import Claim
from command_line import Parser, add_format_option, sentence
from dataloader import ImageSet
from errors import InputError
from evaluation import Evaluator, check_images, far_below, quantities, set_precision
from h5_util import Surface
from mpi4pytorch import Serial, together
from net_plotter import Direction, Recipe
from provenance import Facts, fingerprint_of_arrays, fingerprint_of_file, keep_aside, record_of_run
from shared_images import load_parts

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
    group.add_argument("--loss_max", type=float, default=5, help="highest loss in the 1-D plots (default: 5)")
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
    with sentence(parser), ExitStack() as at_the_end:
        ranks = mpi4pytorch.connect(args.mpi)
        say = print if ranks.rank == 0 else (lambda *_: None)
        device = together(ranks, lambda: choose_device(args.cuda, ranks))
        sharers = ranks_on_this_gpu(ranks, device)

        seed = SEED + args.idx
        torch.manual_seed(seed)
        file, file2, file3 = (find_model(args.model_folder, name) for name in (args.model_file, args.model_file2, args.model_file3))
        given = {flag: path for flag, path in (("model_file", file), ("model_file2", file2), ("model_file3", file3)) if path}
        load_net = partial(model_loader.load, args.model, unsafe_pickle=args.unsafe_pickle)
        net = together(ranks, lambda: load_net(file))
        if not file:
            say("no --model_file: the net has random weights")

        sets = load_parts(ranks, args.dataset, args.datapath, test_set=args.test_set, npz_files={"train": args.trainloader, "test": args.testloader},
                          labels_file=args.train_labels, data_split=args.data_split, split_idx=args.split_idx, raw_data=args.raw_data,
                          mean=args.mean, std=args.std, threads=args.threads)
        together(ranks, lambda: [check_images(net, data, args.model) for data in sets.values()])
        together(ranks, lambda: set_precision(args.precision, device))

        names = quantities(sets)
        dir_file = args.dir_file or net_plotter.direction_file_name(
            file, args.dir_type, model_file2=file2, model_file3=file3, two_d=two_d, xignore=args.xignore, xnorm=args.xnorm,
            yignore=args.yignore, ynorm=args.ynorm, same_dir=args.same_dir, idx=args.idx)
        surf_file = args.surf_file or net_plotter.surface_file_name(
            dir_file, args.x, args.y, raw_data=args.raw_data, data_split=args.data_split, split_idx=args.split_idx)
        recipes = {"x": Recipe(partial(load_net, file2) if file2 else None, norm=args.xnorm, ignore=args.xignore)}
        if two_d and not args.same_dir:
            recipes["y"] = Recipe(partial(load_net, file3) if file3 else None, norm=args.ynorm, ignore=args.yignore)
        claim = Claim(surf_file)
        at_the_end.callback(claim.release)

        def open_files() -> Surface:
            """Find or make the directions and the surface; nothing is written before all of it fits together."""
            folder = os.path.dirname(surf_file) or "."
            if not os.path.isdir(folder):
                raise InputError(f"the folder {folder!r}, where the surface file is to be, is not there; make it, or give another --surf_file")
            claim.acquire(wait=args.wait)
            net_facts = {"model": args.model, "model_file": fingerprint_of_file(file) if file else f"random weights of seed {seed}", "dir_type": args.dir_type}
            if args.dir_file:
                directions, new = net_plotter.read_direction_file(dir_file, net, args.dir_type, dimensions=1 + two_d), False
            else:
                made_with = {**net_facts, **direction_facts(recipes, {"x": file2, "y": file3}, seed)}
                directions, new = net_plotter.find_or_make_directions(dir_file, net, args.dir_type, list(recipes.values()), same_dir=args.same_dir,
                                                                      made_with=made_with, overwrite=args.overwrite)
            facts = {**net_facts, "directions": fingerprint_of_arrays(chain(*net_plotter.arrays(directions))), "loss_name": args.loss_name,
                     "precision": args.precision or "default", "dataset": "trainloader" if args.trainloader else args.dataset,
                     "data_split": str(args.data_split), "split_idx": str(args.split_idx), **image_facts(sets)}
            surface = h5_util.open_surface(surf_file, x=np.linspace(*args.x), y=np.linspace(*args.y) if two_d else None, dir_file=dir_file,
                                           names=names, made_with=facts, anew=args.overwrite)
            if surface.missing(names).size:
                surface.runs.append(record_of_run(__file__, sys.argv[1:] if argv is None else argv, device=device_name(device), ranks=ranks.size,
                                                  files={flag: os.path.abspath(path) for flag, path in given.items()}))
            if args.overwrite and os.path.exists(surf_file):
                say(f"the old surface is kept as {keep_aside(surf_file)}")
            if new:
                if os.path.exists(dir_file):
                    say(f"the old directions are kept as {keep_aside(dir_file)}")
                h5_util.write_directions(dir_file, net_plotter.arrays(directions), made_with=made_with)
            surface.save()
            return surface

        surface = together(ranks, open_files, only=True)
        directions = together(ranks, lambda: net_plotter.read_direction_file(dir_file, net, args.dir_type, dimensions=1 + two_d))

        say(f"directions: {dir_file}\nsurface:    {surf_file}")
        if two_d:
            say(f"cosine between x and y: {net_plotter.cosine(*directions):.6f}")
        points, total = scheduler.ordered(surface.missing(names), surface.shape, args.order), math.prod(surface.shape)
        say(f"{len(points)} of {total} points to measure on {ranks.size} rank{'s' if ranks.size > 1 else ''}")
        if points:
            net.to(device)
            evaluator = Evaluator(net, sets, loss_name=args.loss_name, batch_size=args.batch_size, precision=args.precision,
                                  memory=args.data_memory, sharers=sharers)
            if args.batch_size is None:  # one for all ranks, so that a value does not depend on the rank
                evaluator.batch_size = ranks.gather_all(evaluator.fastest_batch_size() if ranks.rank == 0 else None)[0]
            evaluator.prepare()
            threads = f", {torch.get_num_threads()} threads a rank" if device.type == "cpu" else ""
            say(f"{device.type}{threads}, {args.precision or 'default'} precision, {evaluator.describe()}")
            if ranks.rank == 0:
                recorded = model_loader.read_checkpoint(file, unsafe_pickle=args.unsafe_pickle).acc if file else None
                warn(net, sets, directions, surface, dir_type=args.dir_type, recorded=recorded, other_model=bool(file2 or file3))

        with net_plotter.moving(net, directions, args.dir_type) as move:
            def measure(point: int) -> dict[str, float]:
                move(surface.point(point))
                return evaluator.measure()

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


def direction_facts(recipes: dict[str, Recipe], targets: dict[str, str], seed: int) -> Facts:
    """How each direction is made, in words."""
    return {f"{axis} direction": f"to {fingerprint_of_file(targets[axis])}" if targets[axis]
            else f"random of seed {seed}, norm {recipe.norm or 'none'}, ignore {recipe.ignore or 'nothing'}" for axis, recipe in recipes.items()}


def image_facts(sets: dict[str, ImageSet]) -> Facts:
    """Which images, with which labels, and how they are normalised."""
    facts = {}
    for part, data in sets.items():
        facts[f"{part} normalisation"] = "none" if data.mean is None else f"mean {_numbers(data.mean)}, deviation {_numbers(data.std)}"
        facts[f"{part} images"] = fingerprint_of_arrays([data.images.numpy(), data.labels.numpy()])
    return facts


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def warn(net: nn.Module, sets: dict[str, ImageSet], directions: list[Direction], surface: Surface, *, dir_type: str, recorded: float | None,
         other_model: bool) -> None:
    """Say what a careful person would ask about before a long run; `recorded` is the checkpoint's own accuracy in percent."""
    if other_model and dir_type == "weights" and any(name.endswith("running_mean") for name in net.state_dict()):
        print("warning: --dir_type weights leaves the BN statistics at those of --model_file, so the loss at the other net is not its own; "
              "use --dir_type states to interpolate")
    points = np.array([surface.point(i) for i in range(math.prod(surface.shape))])
    if dir_type == "states" and (found := net_plotter.first_negative_variance(net, directions, points)):
        layer, places = found
        print(f"warning: the variance of {layer} is negative at {len(places)} of {len(points)} points, the first at ({', '.join(f'{c:g}' for c in places[0])}): "
              "the loss is NaN there")
    part, data = list(sets.items())[-1]
    if recorded is not None and (found := far_below(net, data, recorded)):
        print(f"warning: at the centre {found:.1f} % of the {part} images tried are told right, and the checkpoint says {recorded:.1f} %; the usual cause is "
              "preprocessing that differs from the training's: see --raw_data, --mean, --std and --dataset")


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads a rank"


def choose_device(cuda: bool, ranks: Serial) -> torch.device:
    """One GPU by local rank, or this rank's share of the cores."""
    if not cuda:
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(mpi4pytorch.divide_cores(ranks))
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InputError("--cuda: PyTorch finds no CUDA device here; run without --cuda, or install a PyTorch with CUDA and a driver for it")
    device = torch.device("cuda", ranks.local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def ranks_on_this_gpu(ranks: Serial, device: torch.device) -> int:
    """How many ranks of this node compute on this rank's GPU; warns if it is not the only one. 1 on a CPU.

    GPUs are told apart by their UUID: where a launcher shows each rank one GPU only, that is number 0 for every rank.
    """
    if device.type == "cpu":
        return 1
    gpus = ranks.gather_node(str(torch.cuda.get_device_properties(device).uuid))
    if ranks.local_rank == 0 and len(set(gpus)) < len(gpus):
        print(f"warning: {len(gpus)} ranks share {len(set(gpus))} GPU{'s' if len(set(gpus)) > 1 else ''} on node {platform.node()}; one rank a GPU is fastest")
    return gpus.count(gpus[ranks.local_rank])


def find_model(folder: str, name: str) -> str:
    """A model file as given, or in `folder` if it is there only."""
    inside = os.path.join(folder, name)
    return inside if folder and name and not os.path.exists(name) and os.path.exists(inside) else name


if __name__ == "__main__":
    main()
