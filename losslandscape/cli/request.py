"""What a command line that measures surfaces asks for, as objects: ranks and their devices, data, nets, directions, grid.

The one place where the options of `plot_surface.py` and `plot_hessian_eigen.py` are read; what lies below takes objects.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from torch import nn

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_file, record_of_run
from losslandscape.curvature.hess_vec_prod import BATCH_SIZE, Curvature
from losslandscape.curvature.lanczos import eigenvalues
from losslandscape.data.node_memory import load_parts
from losslandscape.files import file_names, h5_util
from losslandscape.files.file_names import WHOLE_RANGE, Axis
from losslandscape.measure import auto_range, losses
from losslandscape.measure.evaluation import Samples
from losslandscape.measure.grid import Run, buffers_kept
from losslandscape.measure.losses import Loss
from losslandscape.measure.study import Study, fingerprint_of_net, require_folder
from losslandscape.nets import library_nets, model_loader, net_plotter
from losslandscape.nets.models import MODELS
from losslandscape.nets.net_plotter import SEED, Direction, Recipe
from losslandscape.parallel import devices, mpi4pytorch
from losslandscape.parallel.devices import exact_products
from losslandscape.parallel.mpi4pytorch import Serial, together
from losslandscape.parallel.scheduler import Values
from losslandscape.trajectory import checkpoint_series


@dataclass(frozen=True)
class Machine:
    """Who computes: this process among the ranks, its device, and how many ranks compute on that."""

    ranks: Serial
    device: torch.device
    sharers: int


def machine(args: argparse.Namespace) -> Machine:
    ranks = mpi4pytorch.connect(args.mpi)
    device = together(ranks, lambda: devices.choose(args.cuda, ranks))
    return Machine(ranks, device, devices.sharers(ranks, device))


def load_sets(args: argparse.Namespace, ranks: Serial) -> dict[str, Samples]:
    return load_parts(
        ranks,
        args.dataset,
        args.datapath,
        test_set=args.test_set,
        npz_files={"train": args.trainloader, "test": args.testloader},
        labels_file=args.train_labels,
        data_split=args.data_split,
        split_idx=args.split_idx,
        raw_data=args.raw_data,
        mean=args.mean,
        std=args.std,
        threads=args.threads,
    )


def load_net(args: argparse.Namespace, file: str) -> nn.Module:
    return model_loader.load(
        args.model,
        file,
        model_args=model_loader.parse_model_args(args.model_args),
        state_key=args.state_key,
        unsafe_pickle=args.unsafe_pickle,
    )


def study(args: argparse.Namespace, machine: Machine, sets: dict[str, Samples], **settings: str) -> Study:
    """The net, the loss, and how the directions are made; `settings` are further facts that decide the values."""
    ranks, two_d, seed = machine.ranks, is_plane(args), SEED + args.idx
    torch.manual_seed(seed)
    files = {
        flag: model_loader.find(args.model_folder, name)
        for flag in ("model_file", "model_file2", "model_file3")
        if (name := getattr(args, flag))
    }
    net = together(ranks, lambda: load_net(args, files.get("model_file", "")))
    random_state = torch.get_rng_state()
    if "model_file" not in files and ranks.rank == 0:
        print(
            "no --model_file: "
            + (
                "the net has random weights"
                if args.model in MODELS
                else f"the net is as {args.model} makes it"
            )
        )
    loss = together(ranks, lambda: losses.find(args.loss_name))
    vectors = _eigenvectors(
        net,
        sets["train"],
        loss,
        machine,
        [args.xdir, args.ydir].count("hessian"),
        args.dir_type,
        args.batch_size,
    )
    recipes = {
        "x": Recipe(
            partial(load_net, args, files["model_file2"]) if "model_file2" in files else None,
            norm=args.xnorm,
            ignore=args.xignore,
            params=args.params,
            vector=(lambda: vectors()[0]) if args.xdir == "hessian" else None,
        )
    }
    if two_d and not args.same_dir:
        recipes["y"] = Recipe(
            partial(load_net, args, files["model_file3"]) if "model_file3" in files else None,
            norm=args.ynorm,
            ignore=args.yignore,
            params=args.params,
            vector=(lambda: vectors()[-1]) if args.ydir == "hessian" else None,
        )
    dir_file = args.dir_file or file_names.direction_file_name(
        files.get("model_file", ""),
        args.dir_type,
        model_file2=files.get("model_file2", ""),
        model_file3=files.get("model_file3", ""),
        two_d=two_d,
        xdir=args.xdir,
        xignore=args.xignore,
        xnorm=args.xnorm,
        ydir=args.ydir,
        yignore=args.yignore,
        ynorm=args.ynorm,
        same_dir=args.same_dir,
        params=args.params,
        idx=args.idx,
    )
    together(ranks, lambda: require_folder(args.surf_file or dir_file))
    return Study(
        net,
        seed=seed,
        random_state=random_state,
        net_facts=together(ranks, lambda: _net_facts(args, net, files, seed, ranks)),
        dir_type=args.dir_type,
        recipes=recipes,
        loss=loss,
        sets=sets,
        files=files,
        dir_file=dir_file,
        dir_file_given=bool(args.dir_file),
        same_dir=args.same_dir,
        settings={
            "loss_name": args.loss_name,
            "dataset": "trainloader" if args.trainloader else args.dataset,
            "data_split": str(args.data_split),
            "split_idx": str(args.split_idx),
            **code_facts("loss", args.loss_name),
            **settings,
        },
    )


def fault(args: argparse.Namespace) -> str:
    """What is wrong with directions that are asked for, in a sentence; empty if nothing is."""
    if not is_plane(args) and (args.model_file3 or args.same_dir or args.ydir != "random"):
        return "--model_file3, --same_dir and --ydir are for two dimensions; give --y too"
    for axis, other in (("x", args.model_file2), ("y", args.model_file3 or args.same_dir)):
        if getattr(args, f"{axis}dir") != "random" and (other or args.dir_file):
            return f"--{axis}dir {getattr(args, axis + 'dir')} is one of two directions that are given for {axis}; leave it out, or the other"
    return ""


def is_series(args: argparse.Namespace) -> bool:
    """Whether several checkpoints are asked for."""
    return checkpoint_series.is_pattern(model_loader.find(args.model_folder, args.model_file))


def is_plane(args: argparse.Namespace) -> bool:
    """Whether the surface has two dimensions: what is under a path does, also where no range is given."""
    return (
        args.y is not None
        or bool(getattr(args, "proj_file", ""))
        or getattr(args, "series", False)
        and args.x is None
    )


def grid(
    args: argparse.Namespace,
    study: Study,
    run: Run,
    measure: Callable[[], Callable[[], Values]],
    *,
    places: np.ndarray | None = None,
) -> dict[str, Axis]:
    """The axes, with a range found for each that is `auto` by what `measure()` says of the net moved; the record of the run keeps what was asked.

    Where a path is to be drawn, that of `places` (checkpoints, dimensions) or of --proj_file, and a range is not given, it is that of the path.
    """
    wanted = {"x": args.x, **({"y": args.y} if is_plane(args) else {})}
    reasons = []
    proj_file = getattr(args, "proj_file", "")
    if (proj_file or places is not None) and None in wanted.values():
        if places is None:
            projection = together(run.ranks, lambda: h5_util.read_projection(proj_file), only=True)
            path = (projection.x, projection.y)
        else:
            path = places.T
        reasons = [f"range of {axis}: that of the path" for axis, given in wanted.items() if given is None]
        wanted = {
            axis: auto_range.of_path(along.tolist()) if given is None else given
            for (axis, given), along in zip(wanted.items(), path, strict=True)
        }
    axes, between = auto_range.between_nets(
        {axis: given or WHOLE_RANGE for axis, given in wanted.items()}, study.towards_nets
    )
    reasons += between
    if question := auto_range.question(axes, args.rise):
        with buffers_kept(study.net):
            axes, found = together(
                run.ranks,
                lambda: study.find_ranges(
                    axes,
                    question,
                    measure(),
                    rise=args.rise,
                    surf_file=args.surf_file,
                    overwrite=args.overwrite,
                ),
                only=True,
            )
        reasons += found
        run.record["range"] = question
    for reason in reasons:
        run.say(reason)
    return axes


def surface_file(args: argparse.Namespace, study: Study, axes: dict[str, Axis]) -> str:
    return args.surf_file or file_names.surface_file_name(
        study.dir_file,
        axes["x"],
        axes.get("y"),
        raw_data=args.raw_data,
        data_split=args.data_split,
        split_idx=args.split_idx,
    )


def run(args: argparse.Namespace, machine: Machine, study: Study, *, program: str, argv: list[str]) -> Run:
    record = record_of_run(
        program,
        argv,
        device=devices.name(machine.device),
        ranks=machine.ranks.size,
        files={flag: os.path.abspath(path) for flag, path in study.files.items()},
    )
    return Run(
        machine.ranks,
        record,
        ends_program=True,
        overwrite=args.overwrite,
        wait=args.wait,
        order=args.order,
        schedule=args.schedule,
    )


def _net_facts(
    args: argparse.Namespace, net: nn.Module, files: dict[str, str], seed: int, ranks: Serial
) -> dict[str, str]:
    """What tells the net from others; that of a checkpoint is its file, of a net that the user's code makes its weights."""
    facts = {
        "model": args.model,
        "dir_type": args.dir_type,
        **code_facts("model", args.model),
        **({"model_args": " ".join(args.model_args)} if args.model_args else {}),
    }
    if "model_file" in files:
        return {**facts, "model_file": fingerprint_of_file(files["model_file"])}
    if args.model in MODELS:
        return {**facts, "model_file": f"random weights of seed {seed}"}
    found = fingerprint_of_net(net)
    if len(set(ranks.gather_all(found))) > 1:
        raise InputError(
            f"--model {args.model} makes a net with other weights on each rank; let it seed its random numbers, or give a --model_file"
        )
    return {**facts, "model_file": f"weights {found}"}


def code_facts(what: str, spec: str) -> dict[str, str]:
    """The state of the user's code, if it is that."""
    return (
        {f"{what} code": " ".join(user_code.source_facts(spec).values())}
        if user_code.is_own(spec) and not library_nets.is_library(spec)
        else {}
    )


def _eigenvectors(
    net: nn.Module,
    data: Samples,
    loss: Loss,
    machine: Machine,
    count: int,
    dir_type: str,
    batch_size: int | None,
) -> Callable[[], list[Direction]]:
    """Those of the largest eigenvalues of the Hessian at the net, computed when they are first asked for."""

    @cache
    def find() -> list[Direction]:
        net.to(machine.device)
        matrix = Curvature(net, data.to(machine.device), loss=loss, batch_size=batch_size or BATCH_SIZE)
        print(
            f"{count} eigenvector{'s' if count > 1 else ''} of the Hessian, {matrix.dimension} parameters, over {len(data)} samples"
        )
        with exact_products():
            _, found = eigenvalues(matrix, smallest=0, largest=count, show_progress=True)
        for eigen in found:
            if eigen.vector is None:
                raise InputError(
                    "the second derivative of the loss is not finite at the centre, so there is no eigenvector; leave --xdir and --ydir out"
                )
            print(
                f"eigenvalue {eigen.value:.6g}, residual {eigen.residual:.2g}{'' if eigen.converged else '  NOT CONVERGED'}"
            )
        return [net_plotter.from_flat(net, dir_type, matrix.names, eigen.vector) for eigen in found]

    return find
