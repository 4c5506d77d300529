"""The values of a command line in frozen dataclasses, which are made once from the arguments.

Each class holds a group of options (`options.py`), and its fields have the names of the flags. If a command
does not have an option, the field keeps its default.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Self

import torch
from torch import nn

from losslandscape.cli import input_options
from losslandscape.core import weight_files
from losslandscape.core.errors import InputError
from losslandscape.data import text_files
from losslandscape.data.parts import load_parts
from losslandscape.data.samples import Samples
from losslandscape.files.file_names import Axis
from losslandscape.measure.auto_range import Auto
from losslandscape.measure.landscape import ORIGINS
from losslandscape.measure.range_search import RISE
from losslandscape.nets import adapters, library_nets, model_loader
from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.parallel import devices, mpi4pytorch
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.trajectory import checkpoint_files


@dataclass(frozen=True)
class Options:
    """The values of a group of options."""

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        """Return the values of those arguments whose names are fields of this class."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in vars(args).items() if name in names})


@dataclass(frozen=True)
class Machine:
    """The ranks, the device of this rank, the number of ranks that share it, and the GPUs for one net."""

    ranks: Serial
    device: torch.device
    sharers: int
    gpus: int = 1


@dataclass(frozen=True)
class HardwareOptions(Options):
    """The options for ranks and devices."""

    mpi: bool = False
    cuda: bool = False
    ngpu: int = 1

    def connect(self) -> Machine:
        """Connect to the other ranks and choose a device."""
        ranks = mpi4pytorch.connect(self.mpi)
        device = ranks.all(devices.choose, self.cuda, ranks, self.ngpu)
        return Machine(ranks, device, devices.sharers(ranks, device), self.ngpu)


@dataclass(frozen=True)
class DataOptions(Options):
    """The options for the dataset, its normalisation, and the part of the dataset to use."""

    dataset: str
    datapath: str
    raw_data: bool
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    threads: int
    trainloader: str
    testloader: str
    data_split: int = 1
    split_idx: int = 0
    samples: int | None = None
    test_set: bool | None = False  # None: if there is one
    train_labels: str = ""
    context: int | None = None
    model: str = ""  # whose tokenizer a text needs

    @property
    def name(self) -> str:
        """The name of the data that surface files record."""
        if self.trainloader:
            return "trainloader"
        return "text" if text_files.is_text(self.dataset) else self.dataset

    def load(self, ranks: Serial) -> dict[str, Samples]:
        """Load the samples by part, "train" and "test", with one copy per node."""
        return load_parts(
            ranks,
            self.dataset,
            datapath=self.datapath,
            test_set=self.test_set,
            npz_files={"train": self.trainloader, "test": self.testloader},
            labels_file=self.train_labels,
            data_split=self.data_split,
            split_idx=self.split_idx,
            count=self.samples,
            raw_data=self.raw_data,
            mean=self.mean,
            std=self.std,
            threads=self.threads,
            tokenizer=library_nets.tokenizer(self.model),
            context=self.context,
        )


@dataclass(frozen=True)
class NetOptions(Options):
    """The options for the net and its checkpoints."""

    model: str
    model_args: list[str]
    state_key: str
    unsafe_pickle: bool
    model_folder: str = ""
    model_file: str = ""
    model_file2: str = ""
    model_file3: str = ""

    def load(self, file: str = "") -> nn.Module:
        """Return the net with the weights of a checkpoint; if `file` is empty, with its initial weights."""
        return self._said(self._loaded(model_loader.load, file), file)

    def load_beside(self, net: nn.Module, file: str) -> nn.Module:
        """Return the net of another checkpoint, to compare its tensors with those of `net`."""
        return self._said(self._loaded(partial(model_loader.load_beside, net), file), file)

    def _loaded(self, load: Callable[..., nn.Module], file: str) -> nn.Module:
        return load(
            self.model,
            file,
            model_args=model_loader.parse_model_args(self.model_args),
            state_key=self.state_key,
            unsafe_pickle=self.unsafe_pickle,
        )

    def _said(self, net: nn.Module, file: str) -> nn.Module:
        """Return the net, and say so if the file is an adapter alone."""
        if model_loader.is_on_base(net) and mpi4pytorch.launched()[0] == 0:
            print(f"{file} is an adapter alone: all other weights are as {self.model} makes them")
            base = adapters.other_base(net, weight_files.find(file))
            if base:
                print(f"warning: {file} was trained on {base}, which is not the base of {self.model}")
        return net

    def recorded_accuracy(self, file: str) -> float | None:
        """Return the accuracy in percent that a checkpoint records; None if there is no file or no record."""
        if not file:
            return None
        return read_checkpoint(file, state_key=self.state_key, unsafe_pickle=self.unsafe_pickle).acc

    def files(self) -> dict[str, str]:
        """Return the paths of the checkpoints that the user gave, by flag."""
        paths = {}
        for flag in ("model_file", "model_file2", "model_file3"):
            file = getattr(self, flag)
            if file:
                paths[flag] = model_loader.find(self.model_folder, file)
        return paths

    @property
    def is_series(self) -> bool:
        """Whether --model_file names several checkpoints."""
        return checkpoint_files.is_pattern(model_loader.find(self.model_folder, self.model_file))


@dataclass(frozen=True)
class DirectionOptions(Options):
    """The options for the directions."""

    dir_file: str
    dir_type: str
    xnorm: str
    ynorm: str
    xignore: str
    yignore: str
    xdir: str
    ydir: str
    params: str
    same_dir: bool
    idx: int
    over: str = "weights"
    sample: int | None = None
    axes: str = ""
    net_names: Sequence[str] = ()


@dataclass(frozen=True)
class GridOptions(Options):
    """The options for the axes; an axis that the user did not give is None."""

    x: Axis | Auto | None
    y: Axis | Auto | None
    rise: float = RISE
    proj_file: Sequence[str] = ()


@dataclass(frozen=True)
class RunOptions(Options):
    """The options for the surface file, and for the order and schedule of the points."""

    surf_file: str
    order: str
    schedule: str
    overwrite: bool
    wait: bool
    strict: bool = False
    refine: float = 0.0


@dataclass(frozen=True)
class SurfaceRequest:
    """A surface to measure; or several, which differ in their checkpoint or in their random directions."""

    program: str
    arguments: list[str]
    hardware: HardwareOptions
    data: DataOptions
    net: NetOptions
    loss_name: str
    batch_size: int | None
    directions: DirectionOptions
    grid: GridOptions
    run: RunOptions
    fix_randomness: bool = False
    in_series: bool = False  # whether the surface is one of a series, which has a surface per checkpoint

    @classmethod
    def of(cls, args: argparse.Namespace, *, program: str, arguments: list[str]) -> Self:
        return cls(
            program=program,
            arguments=arguments,
            hardware=HardwareOptions.of(args),
            data=DataOptions.of(args),
            net=NetOptions.of(args),
            loss_name=args.loss_name,
            batch_size=args.batch_size,
            directions=DirectionOptions.of(args),
            grid=GridOptions.of(args),
            run=RunOptions.of(args),
            fix_randomness=getattr(args, "fix_randomness", False),
        )

    @property
    def is_plane(self) -> bool:
        """Whether the surface has two dimensions.

        Even without --y, a surface under a projected path has two, and so has a series without --x.
        """
        of_series = self.in_series or self.net.is_series
        under_path = bool(self.grid.proj_file) or (of_series and self.grid.x is None)
        return self.grid.y is not None or under_path or bool(self.directions.axes)

    def with_idx(self, idx: int) -> Self:
        """Return this request with the random directions of another index."""
        return replace(self, directions=replace(self.directions, idx=idx))

    def with_model_file(self, file: str) -> Self:
        """Return this request around another checkpoint."""
        in_series = self.in_series or self.net.is_series
        return replace(self, net=replace(self.net, model_file=file), in_series=in_series)

    def require_possible(self) -> None:
        """Raise `InputError` for options of directions that contradict each other, or that lack --y."""
        net, directions = self.net, self.directions
        input_options.require_fit({**vars(net), **vars(directions), "proj_file": self.grid.proj_file})
        named = [kind for kind in (directions.xdir, directions.ydir) if kind in ORIGINS]
        if self.hardware.ngpu > 1 and named:
            fault = f"--xdir {named[0]} and --ydir {named[0]} are computed on one GPU"
            raise InputError(f"{fault}; leave --ngpu {self.hardware.ngpu} out")
        if not self.is_plane and (net.model_file3 or directions.same_dir or directions.ydir != "random"):
            raise InputError("--model_file3, --same_dir and --ydir are for two dimensions; give --y too")
        self._require_three_nets()
        others = {"x": bool(net.model_file2), "y": bool(net.model_file3 or directions.same_dir)}
        for axis, other in others.items():
            kind = getattr(directions, f"{axis}dir")
            if kind != "random" and other:
                fault = f"--{axis}dir {kind} is one of two directions that are given for {axis}"
                raise InputError(f"{fault}; leave it out, or the other")

    def _require_three_nets(self) -> None:
        """Raise `InputError` if orthonormal axes are given without three nets, or names without axes."""
        net, directions = self.net, self.directions
        if directions.net_names and not directions.axes:
            raise InputError("--net_names are for a plane through three nets; give --axes orthonormal too")
        if not directions.axes:
            return
        for flag in ("model_file", "model_file2", "model_file3"):
            if not getattr(net, flag):
                fault = f"--axes {directions.axes} is for a plane through three nets"
                raise InputError(fault, f"give {{{flag}}} too")
        if directions.same_dir or directions.dir_file:
            other = "same_dir" if directions.same_dir else "dir_file"
            raise InputError(
                f"--axes {directions.axes} makes directions of its own", f"leave {{{other}}} out"
            )
        if directions.net_names and len(directions.net_names) != 3:
            count = len(directions.net_names)
            raise InputError(f"--net_names gives {count} names, and the plane goes through three nets")


def absolute(files: dict[str, str]) -> dict[str, str]:
    """Return the same files with absolute paths."""
    return {name: os.path.abspath(path) for name, path in files.items()}
