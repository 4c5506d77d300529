"""A surface to measure, as one object, and how it is plotted."""

from dataclasses import dataclass
from functools import partial
from typing import Self

from torch import nn

from losslandscape.cli.landscapes import make_landscape, make_run
from losslandscape.cli.request import Machine, Options, SurfaceRequest
from losslandscape.data.samples import Samples
from losslandscape.measure.input_landscape import over_inputs
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.loss_measure import LossMeasure, Measuring
from losslandscape.measure.run import Run
from losslandscape.nets import spreading
from losslandscape.parallel import devices


@dataclass(frozen=True)
class PlotOptions(Options):
    """The options for plotting the measured surface."""

    plot: bool
    show: bool
    log: bool
    loss_max: float | None
    proj_file: list[str]
    out: str
    vmin: float | None
    vmax: float | None
    vlevel: float | None
    format: list[str]


@dataclass(frozen=True)
class SurfaceJob:
    """A landscape, and the measure and the run for its surface."""

    landscape: Landscape
    measure: LossMeasure
    run: Run

    @classmethod
    def of(
        cls, request: SurfaceRequest, measuring: Measuring, machine: Machine, sets: dict[str, Samples]
    ) -> Self:
        landscape = make_landscape(request, machine, sets, measuring.facts())
        if machine.gpus > 1:
            machine.ranks.all(_spread, landscape.net, machine)
        run = make_run(request, machine, landscape)
        directions = request.directions
        if directions.over == "inputs":
            landscape = over_inputs(
                landscape,
                [directions.xdir, directions.ydir][: landscape.dimensions],
                run,
                device=machine.device,
                batch_size=request.batch_size,
                sample=directions.sample,
            )
        measure = LossMeasure(
            landscape,
            run,
            measuring,
            device=machine.device,
            sharers=machine.sharers,
            recorded=partial(request.net.recorded_accuracy, landscape.files.get("model_file", "")),
        )
        return cls(landscape, measure, run)


def _spread(net: nn.Module, machine: Machine) -> None:
    """Spread a net over the GPUs of this rank."""
    spreading.spread(net, devices.free_memory(machine.device, machine.gpus))
    if machine.ranks.rank == 0:
        print(spreading.describe(net))
