"""The loss as the measure of a surface: a study and how exactly it is to be measured in, what `surface_run.measure` needs out."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real

import torch

from losslandscape.core.errors import InputError, require_choice
from losslandscape.files.h5_util import Surface
from losslandscape.measure import bn_statistics, check_report, evaluation, fit_check, losses
from losslandscape.measure.evaluation import Evaluator
from losslandscape.measure.grid import Run
from losslandscape.measure.study import Study
from losslandscape.nets.net_plotter import Direction
from losslandscape.parallel import devices
from losslandscape.parallel.mpi4pytorch import together
from losslandscape.parallel.scheduler import Values


@dataclass(frozen=True)
class Measuring:
    """How a loss is measured at a point.

    batch_size: samples in a forward pass; None is the fastest, found by a short probe. precision: one of `devices.PRECISIONS` or "". memory: bytes
    that the data may take on a GPU. weight_decay: of the training; its penalty becomes a quantity. bn_samples: training samples from which batch norms'
    statistics are estimated anew at each point; 0 takes those stored. errors: standard errors too. allow_nan: go on where the loss at the centre is no
    finite number.

    Raises `InputError` for a value that is none of these.
    """

    batch_size: int | None = None
    precision: str = ""
    memory: int | None = None
    weight_decay: float = 0.0
    bn_samples: int = 0
    errors: bool = False
    allow_nan: bool = False

    def __post_init__(self):
        require_choice("precision", self.precision, (*devices.PRECISIONS, ""))
        if self.batch_size is not None:
            _require_whole("batch_size", self.batch_size, least=1)
        if self.memory is not None:
            _require_whole("memory", self.memory, least=0)
        if self.bn_samples != 0:
            _require_whole("bn_samples", self.bn_samples, least=2)  # a variance needs two
        if not isinstance(self.weight_decay, Real) or not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay {self.weight_decay!r} is not a finite number of at least 0")

    def facts(self) -> dict[str, str]:
        """What of it decides values, in words; nothing for what is as published."""
        small = (
            f" in batches of {self.batch_size}"
            if (self.batch_size or bn_statistics.BATCH_SIZE) < bn_statistics.BATCH_SIZE
            else ""
        )
        return {
            "precision": self.precision or "default",
            "bn": f"recomputed from {self.bn_samples} samples{small}" if self.bn_samples else "stored",
            **({"weight_decay": f"{self.weight_decay:g}"} if self.weight_decay else {}),
        }


def _require_whole(name: str, given: object, *, least: int) -> None:
    if not isinstance(given, Integral) or given < least:
        raise InputError(f"{name} {given!r} is not a whole number of at least {least}")


class LossMeasure:
    """What is measured of the loss of a study's net on a device, made ready when something is to be measured.

    Args:
        sharers: ranks that compute on the same GPU.
        recorded: gives the accuracy in percent that the checkpoint says it has, or None; asked on the first rank.

    Attributes:
        names: of the quantities.

    Raises `InputError` where net, data and loss do not fit.
    """

    def __init__(
        self,
        study: Study,
        run: Run,
        measuring: Measuring,
        *,
        device: torch.device,
        sharers: int = 1,
        recorded: Callable[[], float | None] = lambda: None,
    ):
        self._study, self._run, self._measuring, self._device, self._sharers, self._recorded = (
            study,
            run,
            measuring,
            device,
            sharers,
            recorded,
        )
        together(run.ranks, lambda: devices.set_precision(measuring.precision, device))
        measured = together(
            run.ranks,
            lambda: {
                part: fit_check.check_data(
                    study.net, data, study.loss, study.net_facts.get("model", "the net")
                )
                for part, data in study.sets.items()
            },
        )
        if measuring.bn_samples and not bn_statistics.norms_of(study.net):
            raise InputError(
                "the net has no batch norm that keeps statistics; leave --bn recompute, or bn_samples from Python, out"
            )
        if measuring.errors:
            together(run.ranks, lambda: fit_check.require_sample_losses(study.net, study.sets, study.loss))
        self.names = evaluation.quantity_names(
            measured, errors=measuring.errors, penalty=bool(measuring.weight_decay)
        )

    @cached_property
    def evaluator(self) -> Evaluator:
        """Of the net, which is on the device from then on."""
        self._study.net.to(self._device)
        how = self._measuring
        return Evaluator(
            self._study.net,
            self._study.sets,
            loss=self._study.loss,
            batch_size=how.batch_size,
            precision=how.precision,
            memory=how.memory,
            sharers=self._sharers,
            weight_decay=how.weight_decay,
            bn_samples=how.bn_samples,
            errors=how.errors,
        )

    def prepare(self, surface: Surface, directions: list[Direction]) -> Callable[[], Values]:
        """Report what a careful person would ask, choose the batch size for all ranks, and return what measures the net as it then is."""
        ranks, run = self._run.ranks, self._run
        evaluator = together(ranks, lambda: self.evaluator)
        together(ranks, lambda: self._report(surface, directions), only=True)
        if (
            self._measuring.batch_size is None
        ):  # one for all ranks, so that a value does not depend on the rank
            evaluator.batch_size = together(
                ranks, lambda: evaluator.batch_size or evaluator.fastest_batch_size(), only=True
            )
        together(ranks, evaluator.prepare)
        together(ranks, evaluator.remember_centre)
        threads = f", {torch.get_num_threads()} threads a rank" if self._device.type == "cpu" else ""
        run.say(
            f"{self._device.type}{threads}, {self._measuring.precision or 'default'} precision, {evaluator.describe()}"
        )
        return evaluator.measure

    def _report(self, surface: Surface, directions: list[Direction]) -> None:
        study = self._study
        recorded = self._recorded() if study.loss.name in losses.CLASSIFICATIONS else None
        parts = ["train"] if recorded is None else dict.fromkeys(["train", list(study.sets)[-1]])
        centre = {
            part: fit_check.estimate(
                study.net, study.sets[part], study.loss, batch_size=self._measuring.batch_size
            )
            for part in parts
        }
        if not math.isfinite(centre["train"].loss) and not self._measuring.allow_nan:
            raise InputError(
                f"the loss at the centre is {centre['train'].loss}: the net, the data or the preprocessing is not what it should be; "
                "give --allow_nan, or allow_nan=True from Python, to go on all the same"
            )
        known = study.dir_file_given or study.given is not None
        random = (
            {}
            if known
            else {
                axis: recipe.norm
                for axis, recipe in study.recipes.items()
                if recipe.target is None and recipe.vector is None
            }
        )
        found = check_report.report(
            study.net,
            directions,
            surface.points(),
            dir_type=study.dir_type,
            sets=study.sets,
            norms=random,
            params=next(iter(study.recipes.values())).params,
            other_model=bool(study.towards_nets),
            centre=centre,
            recorded=recorded,
            penalty=self.evaluator.penalty() if self._measuring.weight_decay else None,
        )
        self._run.say(found)
        if surface.runs:
            surface.runs[-1]["check_report"] = found.as_dict()
