"""Measure the loss surface of a net around a minimiser, on a line or in a plane, and plot it.

    make demo                                                            everything below on small nets, no download
    python plot_surface.py --dataset digits --model resnet20 --model_file FILE.t7 --x=-1:1:51 --xnorm filter --xignore biasbn --plot
    mpirun -n 4 python plot_surface.py --mpi --cuda --model resnet56 --x=-1:1:51 --y=-1:1:51 --model_file FILE.t7 \\
        --dir_type weights --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot

A run that was stopped goes on where it was when it is started again.
"""
import math
import os
from functools import partial

import numpy as np
import torch

import dataloader
import h5_util
import model_loader
import mpi4pytorch
import net_plotter
import options
import scheduler
from command_line import Parser, sentence
from dataloader import ImageSet
from errors import InputError
from evaluation import Evaluator, check_images, quantities, set_precision
from figures import add_format_option
from mpi4pytorch import Serial, together
from net_plotter import Recipe
from plot_1D import plot_1d
from plot_2D import plot_2d, plot_contour_trajectory

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
    with sentence(parser):
        ranks = mpi4pytorch.connect(args.mpi)
        say = print if ranks.rank == 0 else (lambda *_: None)
        device = together(ranks, lambda: choose_device(args.cuda, ranks))

        torch.manual_seed(SEED + args.idx)
        file, file2, file3 = (find_model(args.model_folder, name) for name in (args.model_file, args.model_file2, args.model_file3))
        net = together(ranks, lambda: model_loader.load(args.model, file))
        if not file:
            say("no --model_file: the net has random weights")

        sets = load_images(ranks, args.dataset, args.datapath, test_set=args.test_set, npz_files={"train": args.trainloader, "test": args.testloader},
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
        surface = together(ranks, lambda: h5_util.open_surface(
            surf_file, x=np.linspace(*args.x), y=np.linspace(*args.y) if two_d else None, dir_file=dir_file, names=names))

        def make_directions() -> None:
            if args.dir_file or os.path.exists(dir_file):
                return
            recipes = [Recipe(partial(model_loader.load, args.model, file2) if file2 else None, norm=args.xnorm, ignore=args.xignore)]
            if two_d and not args.same_dir:
                recipes.append(Recipe(partial(model_loader.load, args.model, file3) if file3 else None, norm=args.ynorm, ignore=args.yignore))
            net_plotter.make_direction_file(dir_file, net, args.dir_type, recipes, same_dir=args.same_dir)

        together(ranks, make_directions, only=True)
        directions = together(ranks, lambda: net_plotter.read_direction_file(dir_file, net, args.dir_type, dimensions=1 + two_d))
        together(ranks, surface.save, only=True)

    say(f"directions: {dir_file}\nsurface:    {surf_file}")
    if two_d:
        say(f"cosine between x and y: {net_plotter.cosine(*directions):.6f}")
    if (file2 or file3) and args.dir_type == "weights" and any(name.endswith("running_mean") for name in net.state_dict()):
        say("warning: --dir_type weights leaves the BN statistics at those of --model_file, so the loss at the other net is not its own; "
            "use --dir_type states to interpolate")
    points, total = scheduler.ordered(surface.missing(names), surface.shape, args.order), math.prod(surface.shape)
    say(f"{len(points)} of {total} points to measure on {ranks.size} rank{'s' if ranks.size > 1 else ''}")
    if points:
        net.to(device)
        evaluator = Evaluator(net, {part: data.to(device) for part, data in sets.items()}, loss_name=args.loss_name, batch_size=args.batch_size,
                              precision=args.precision)
        evaluator.batch_size = ranks.gather_all(evaluator.batch_size)[0]  # one for all, so that a value does not depend on the rank
        threads = f", {torch.get_num_threads()} threads a rank" if device.type == "cpu" else ""
        say(f"{device.type}{threads}, {args.precision or 'default'} precision, {evaluator.describe()}")

    with net_plotter.moving(net, directions, args.dir_type) as move:
        def measure(point: int) -> dict[str, float]:
            move(surface.point(point))
            return evaluator.measure()

        try:
            with scheduler.interruptible(ranks):
                scheduler.run(points, measure, record=surface.set, save=surface.save, ranks=ranks, total=total, schedule=args.schedule)
        except scheduler.Interrupted as signal:
            say(f"stopped by {signal}: what was measured is in {surf_file}; start the same command again to go on")
            ranks.abort(signal.status)

    if args.plot and ranks.rank == 0:
        levels = {"vmin": args.vmin, "vmax": args.vmax, "vlevel": args.vlevel}
        with sentence(parser):
            if not two_d:
                plot_1d(surf_file, xmin=None, xmax=None, loss_max=args.loss_max, log=args.log, show=args.show, formats=args.format)
            elif args.proj_file:
                plot_contour_trajectory(surf_file, name="train_loss", dir_file=dir_file, proj_file=args.proj_file, **levels, show=args.show, formats=args.format)
            else:
                plot_2d(surf_file, name="train_loss", **levels, show=args.show, formats=args.format)


def choose_device(cuda: bool, ranks: Serial) -> torch.device:
    """One GPU by local rank, or this rank's share of the cores."""
    if not cuda:
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(mpi4pytorch.divide_cores(ranks))
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InputError("--cuda: PyTorch finds no CUDA device here; run without --cuda, or install a PyTorch with CUDA and a driver for it")
    count = torch.cuda.device_count()
    if ranks.local_rank == 0 and ranks.local_size > count:
        print(f"warning: {ranks.local_size} ranks share {count} GPU{'s' if count > 1 else ''} on this node; one rank a GPU is fastest")
    device = torch.device("cuda", ranks.local_rank % count)
    torch.cuda.set_device(device)
    return device


def find_model(folder: str, name: str) -> str:
    """A model file as given, or in `folder` if it is there only."""
    inside = os.path.join(folder, name)
    return inside if folder and name and not os.path.exists(name) and os.path.exists(inside) else name


def load_images(ranks: Serial, dataset: str, datapath: str, *, test_set: bool, npz_files: dict[str, str], labels_file: str, data_split: int,
                split_idx: int, **preparation) -> dict[str, ImageSet]:
    """The images to measure on, by part: a share of the training set, and the whole test set if asked for."""
    if not npz_files["train"]:
        together(ranks, lambda: dataloader.download(dataset, datapath), only=True)

    def load() -> dict[str, ImageSet]:
        show_progress = ranks.rank == 0
        sets = {"train": dataloader.load(dataset, "train", datapath=datapath, npz_file=npz_files["train"], labels_file=labels_file, data_split=data_split,
                                         split_idx=split_idx, show_progress=show_progress, **preparation)}
        if test_set:
            sets["test"] = dataloader.load(dataset, "test", datapath=datapath, npz_file=npz_files["test"], show_progress=show_progress, **preparation)
        return sets
    return together(ranks, load)


if __name__ == "__main__":
    main()
