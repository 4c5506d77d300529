"""Connects two nets by a curve of low loss: trains its bends, and measures the loss along curve and line."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts
from losslandscape.evaluate import batch_stream
from losslandscape.evaluate.batching import choose_batches
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.files import h5_util
from losslandscape.files.file_names import short_names
from losslandscape.files.lock import Lock
from losslandscape.files.surface import Surface
from losslandscape.measure.grid import measure_surface, unchanged
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.loss_measure import LossMeasure, Measuring
from losslandscape.measure.run import Run
from losslandscape.nets import net_tensors
from losslandscape.nets.curve import CHAIN, Curve, point_of
from losslandscape.nets.net_plotter import target_direction
from losslandscape.nets.tensor_names import State
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.trajectory.curve_files import CurveFiles
from losslandscape.trajectory.curve_plane import write_plane
from losslandscape.trajectory.curve_training import CurvePlan, CurveTraining

MOVES = "states"  # the BN statistics too, where they are not estimated anew
POINTS = 61  # along the curve, as in Garipov et al. 2018


@dataclass(frozen=True)
class Connection:
    """A trained curve between two nets.

    Args:
        bends: the state dict of each bend, with batch norms' statistics estimated for it.
        curve: the loss along the curve, at t from 0 (the first net) to 1 (the last).
        line: the loss along the straight line, at the same t.
    """

    bends: list[State]
    curve: Surface
    line: Surface


@dataclass(frozen=True)
class Connecting:
    """Two nets to connect.

    Args:
        landscape: the first net, on the device of this rank, with the loss and the data. Its directions and
            its settings of the measurement do not matter.
        other: the last net.
        plan: how the bends are trained.
        measuring: how the loss is measured.
        run: the ranks, and how they share the points.
        files: the files to write or to resume.
        device: the device of this rank.
        sharers: the number of ranks that share the device.
    """

    landscape: Landscape
    other: nn.Module
    plan: CurvePlan
    measuring: Measuring
    run: Run
    files: CurveFiles
    device: torch.device
    sharers: int = 1

    def connect(self, points: int = POINTS) -> Connection:
        """Train a curve on rank 0, and measure the loss along it and along the line on all ranks.

        Args:
            points: the number of t, from 0 to 1.

        Raises:
            InputError: an argument cannot be used, or a file does not fit.
        """
        if not isinstance(points, int) or points < 2:
            raise InputError(f"points {points!r} is not a whole number of at least 2")
        bends = self.run.ranks.first(self._locked_bends)
        names = list(net_tensors.moving_tensors(self.landscape.net, MOVES))
        last = point_of(self.other, MOVES)
        curve = Curve(self.plan.kind, [*([bend[name] for name in names] for bend in bends), last])
        line = self._measured(Curve(CHAIN, [last]), points, self.files.line)
        connection = Connection(bends, self._measured(curve, points, self.files.curve), line)
        if self.files.out and len(bends) == 1:
            self.run.ranks.first(self._write_plane, *curve.points)
        return connection

    def _write_plane(self, bend: list[Tensor], last: list[Tensor]) -> None:
        """Write the plane of the curve, unless a bend that was hardly trained spans none."""
        first_name, last_name = short_names(list(self.landscape.files.values())) or ("first net", "last net")
        try:
            write_plane(
                self.landscape.net,
                bend,
                last,
                self.plan.kind,
                dir_type=MOVES,
                names=[first_name, "bend", last_name],
                dir_file=self.files.directions,
                proj_file=self.files.path,
                facts=self.landscape.net_facts,
            )
        except InputError as error:
            self.run.say(f"no plane is written: {error.fault}")

    def _landscape_along(self, curve: Curve) -> Landscape:
        chord = target_direction(self.landscape.net, self.other, MOVES)
        settings = {**self.landscape.settings, **self.measuring.facts()}
        return replace(
            self.landscape, motion=curve, directions=[chord], dir_type=MOVES, dir_file="", settings=settings
        )

    def _measured(self, curve: Curve, points: int, path: str) -> Surface:
        """Measure the loss along a curve. A file of another curve, whose bends were trained less, is kept."""
        landscape = self._landscape_along(curve)
        is_old = self.run.ranks.first(_is_of_other_curve, path, curve)
        record = dict(self.run.record)
        run = replace(self.run, record=record, overwrite=self.run.overwrite or is_old)
        measure = LossMeasure(landscape, run, self.measuring, device=self.device, sharers=self.sharers)
        return measure_surface(landscape, {"x": (0.0, 1.0, points)}, measure, run, surf_file=path)

    def _locked_bends(self) -> list[State]:
        """Return the bends, trained as the plan says, while no other run writes their files."""
        if not self.files.out:
            return self._bends()
        self.files.require_writable()
        lock = Lock(self.files.training)
        lock.acquire(wait=self.run.wait)
        try:
            return self._bends()
        finally:
            lock.release()

    def _bends(self) -> list[State]:
        facts, files = self._training_facts(), self.files
        if self.run.overwrite and files.out:
            for path in files.keep_aside():
                self.run.say(f"an old file is kept as {path}")
        training = self._training()
        if state := files.read_training(facts):
            training.restore(state)
        if training.epoch > self.plan.epochs:
            fault = f"{files.training!r} was trained for {training.epoch} epochs"
            raise InputError(fault, f"give {{epochs:{training.epoch}}} or more, or another {{out}}")
        trained_before = training.epoch == self.plan.epochs
        for epoch in training.run():
            files.write_training(training.state(), facts)
            self.run.say(epoch.line)
        if trained_before and (bends := files.read_bends()):
            return bends
        checkpoints = [self._checkpoint(bend) for bend in training.bends]
        files.write_bends(checkpoints)
        return [checkpoint["state_dict"] for checkpoint in checkpoints]

    def _training_facts(self) -> Facts:
        """Return the facts that determine the bends, except the number of epochs."""
        plan = asdict(self.plan)
        del plan["epochs"]
        chord = target_direction(self.landscape.net, self.other, MOVES)
        return {**self.landscape.surface_facts([chord]), **{name: str(value) for name, value in plan.items()}}

    def _training(self) -> CurveTraining:
        landscape = self.landscape
        batching = choose_batches(
            landscape.net,
            landscape.sets,
            landscape.loss,
            model=landscape.net_facts.get("model", "the net"),
            ranks=Serial(),
            batch_size=self.plan.batch_size,
            fix_randomness=self.measuring.fix_randomness,
        )
        placed = batch_stream.place(
            {"train": batching.sets["train"]}, self.device, memory=self.measuring.memory, sharers=self.sharers
        )
        return CurveTraining(landscape.net, self.other, placed["train"], landscape.loss, self.plan)

    def _checkpoint(self, bend: list[Tensor]) -> dict[str, Any]:
        """Return a bend as the content of a checkpoint, with statistics of batch norms of its own."""
        net, measuring = self.landscape.net, self.measuring
        with unchanged(net), Curve(CHAIN, [bend]).moving(net, "weights") as move:
            move((1.0,))
            values = Evaluator(
                net,
                self.landscape.sets,
                loss=self.landscape.loss,
                batch_size=measuring.batch_size,
                precision=measuring.precision,
                memory=measuring.memory,
                sharers=self.sharers,
                bn_samples=measuring.bn_samples,
                fix_randomness=measuring.fix_randomness,
            ).measure()
            state = {name: _copied(value) for name, value in net.state_dict().items()}
        accuracy = {"acc": values["test_acc"]} if "test_acc" in values else {}
        return {"state_dict": state, "epoch": self.plan.epochs, **accuracy}


def _copied(value: object) -> object:
    return value.to("cpu", copy=True) if isinstance(value, Tensor) else value


def _is_of_other_curve(path: str, curve: Curve) -> bool:
    """Return whether a file holds a surface along another curve."""
    try:
        return h5_util.read_made_with(path, "surface").get("curve", curve.describe()) != curve.describe()
    except InputError:  # the file does not exist, or is damaged, which `measure_surface` reports
        return False
