"""Measures a loss surface: the loss of a landscape's net, and the loss's other quantities."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real

import torch

from losslandscape.core.errors import InputError, require_choice
from losslandscape.core.random_state import randomness_facts
from losslandscape.evaluate import bn_statistics, fit_check, losses
from losslandscape.evaluate.batching import choose_batches
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.evaluate.fit_check import Estimate
from losslandscape.evaluate.moved_inputs import MovedInputs
from losslandscape.evaluate.quantity_names import quantity_names
from losslandscape.files.surface import Surface
from losslandscape.measure import check_report
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.run import Run
from losslandscape.nets.net_plotter import Direction
from losslandscape.nets.net_tensors import widen
from losslandscape.nets.spreading import place
from losslandscape.nets.wrappers import is_scripted
from losslandscape.parallel import devices
from losslandscape.parallel.scheduler import Values


@dataclass(frozen=True)
class Measuring:
    """Settings that determine how a loss is measured at a point.

    Args:
        batch_size: the number of samples in a forward pass; if None, a short probe finds the fastest.
        precision: one of `devices.PRECISIONS`, or "" for PyTorch's default. With `fp32` a net that has
            weights of 16 bits gets weights of 32 bits.
        memory: the bytes of data that may stay on a GPU; None for half of its free memory, divided among the
            ranks that share the GPU.
        weight_decay: the weight decay of the training. If it is not 0, its penalty is measured too.
        bn_samples: the number of training samples from which batch norms' statistics are estimated again at
            each point; 0 keeps the stored statistics.
        errors: whether to measure standard errors too.
        allow_nan: whether to continue if the loss at the centre is not finite.
        fix_randomness: whether net and loss get the same random numbers at every point.

    Raises:
        InputError: if a value is invalid.
    """

    batch_size: int | None = None
    precision: str = ""
    memory: int | None = None
    weight_decay: float = 0.0
    bn_samples: int = 0
    errors: bool = False
    allow_nan: bool = False
    fix_randomness: bool = False

    def __post_init__(self) -> None:
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
        """Return the settings that determine values, as facts."""
        facts = {"precision": self.precision or "default", "bn": self._batch_norms()}
        if self.weight_decay:
            facts["weight_decay"] = f"{self.weight_decay:g}"
        return {**facts, **randomness_facts(self.fix_randomness)}

    def _batch_norms(self) -> str:
        if not self.bn_samples:
            return "stored"
        small_batches = self.batch_size is not None and self.batch_size < bn_statistics.BATCH_SIZE
        batches = f" in batches of {self.batch_size}" if small_batches else ""
        return f"recomputed from {self.bn_samples} samples{batches}"


def _require_whole(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} {value!r} is not a whole number of at least {least}")


class LossMeasure:
    """A measure that returns all quantities of a loss for a landscape's net.

    Args:
        landscape: the landscape, with its net, loss and data.
        run: the run, with its ranks and its record.
        measuring: the settings of the measurement.
        device: the device to which the net is moved.
        sharers: the number of ranks that share the GPU.
        recorded: returns the accuracy in percent that the checkpoint records, or None. Rank 0 calls it, if
            the loss is one of classification.

    Attributes:
        names: the names of the quantities.

    Raises:
        InputError: if net, data, loss and settings do not fit together.
    """

    def __init__(
        self,
        landscape: Landscape,
        run: Run,
        measuring: Measuring,
        *,
        device: torch.device,
        sharers: int = 1,
        recorded: Callable[[], float | None] | None = None,
    ):
        self._landscape, self._run, self._measuring = landscape, run, measuring
        self._device, self._sharers, self._recorded = device, sharers, recorded
        self._cached_evaluator: Evaluator | None = None
        run.ranks.all(devices.set_precision, measuring.precision, device)
        if measuring.precision == "fp32" and widen(landscape.net):
            landscape.settings["weights"] = "float32"
        place(landscape.net, device)  # first: on another device the net has other tensors
        self._batching = choose_batches(
            landscape.net,
            landscape.sets,
            landscape.loss,
            model=self._model,
            ranks=run.ranks,
            batch_size=measuring.batch_size,
            fix_randomness=measuring.fix_randomness,
        )
        landscape.settings.update(self._batching.facts)
        quantities = run.ranks.all(self._try_out)
        self.names = quantity_names(quantities, errors=measuring.errors, penalty=bool(measuring.weight_decay))

    @property
    def _model(self) -> str:
        """The name of the net in messages."""
        return self._landscape.net_facts.get("model", "the net")

    def _try_out(self) -> dict[str, list[str]]:
        """Try the loss on a few samples, and return the names of the quantities of each part of the data."""
        net, loss, sets = self._landscape.net, self._landscape.loss, self._batching.sets
        quantities = {part: fit_check.check_data(net, data, loss, self._model) for part, data in sets.items()}
        if self._measuring.bn_samples and not bn_statistics.norms_of(net):
            fault = "the net has no batch norm that keeps statistics"
            if is_scripted(net):
                fault = "torch.jit has compiled the net, so its batch norms cannot be found"
            raise InputError(fault, "leave {bn_samples:recompute} out")
        if self._measuring.errors:
            fit_check.require_sample_losses(net, sets, loss)
        return quantities

    def _evaluator(self) -> Evaluator:
        """Return the evaluator, which the first call makes."""
        if self._cached_evaluator is None:
            self._cached_evaluator = self._make_evaluator()
        return self._cached_evaluator

    def _make_evaluator(self) -> Evaluator:
        landscape, measuring = self._landscape, self._measuring
        return Evaluator(
            landscape.net,
            self._batching.sets,
            loss=landscape.loss,
            batch_size=self._batching.batch_size,
            precision=measuring.precision,
            memory=measuring.memory,
            sharers=self._sharers,
            weight_decay=measuring.weight_decay,
            bn_samples=measuring.bn_samples,
            errors=measuring.errors,
            fix_randomness=measuring.fix_randomness,
        )

    def values(self) -> Values:
        """Return the quantities of the net with its present weights."""
        return self._evaluator().measure()

    def prepare(self, surface: Surface, directions: list[Direction]) -> Values | None:
        """Print the check report, prepare the evaluator, and measure the centre on all data.

        The centre is not measured if the surface has its values already, or if its loss need not be finite.
        """
        ranks, measuring = self._run.ranks, self._measuring
        evaluator = ranks.all(self._evaluator)
        ranks.first(self._report, surface, directions)
        if self._batching.batch_size is None:  # one size for all ranks, so that values are equal on all
            evaluator.batch_size = ranks.first(self._batch_size)
        ranks.all(evaluator.prepare)
        ranks.all(evaluator.remember_centre)
        threads = f", {torch.get_num_threads()} threads per rank" if self._device.type == "cpu" else ""
        precision = f"{measuring.precision or 'default'} precision"
        self._run.say(f"{self._device.type}{threads}, {precision}, {evaluator.describe()}")
        if measuring.allow_nan or self._is_measured(surface, self._landscape.centre_point(surface)):
            return None
        return ranks.first(self._finite_centre)

    def _is_measured(self, surface: Surface, point: int | None) -> bool:
        return point is not None and point not in surface.missing(self.names)

    def _finite_centre(self) -> Values:
        """Measure the net at the centre on all data.

        Raises:
            InputError: the loss of some part of the data is not finite there.
        """
        values = self.values()
        for part in self._batching.sets:
            self._require_finite(values[f"{part}_loss"], part)
        return values

    def _require_finite(self, loss: float, part: str) -> None:
        if math.isfinite(loss) or self._measuring.allow_nan:
            return
        fault = f"the loss at the centre is {loss} on the {part} data{self._cause_of_nan(part)}"
        raise InputError(fault, "give {allow_nan:True} to continue all the same")

    def _cause_of_nan(self, part: str) -> str:
        """Return which sample has a loss that is not finite, as the end of a sentence."""
        first = fit_check.first_not_finite(
            self._landscape.net,
            self._batching.sets[part],
            self._landscape.loss,
            batch_size=self._batching.batch_size,
        )
        if first is None:
            return f", and finite in another precision than {self._measuring.precision or 'default'}"
        number = f"number {first[0]}" if len(first) == 1 else f"among numbers {first[0]} to {first[-1]}"
        return (
            f": the first sample whose loss is not finite is {number}, counted from 0; "
            "the net, the data or the preprocessing is wrong"
        )

    def _batch_size(self) -> int:
        evaluator = self._evaluator()
        return evaluator.batch_size or evaluator.fastest_batch_size()

    def _report(self, surface: Surface, directions: list[Direction]) -> None:
        """Print the report of facts and warnings, and store it in the surface's record of this run."""
        landscape = self._landscape
        recorded = None
        if self._recorded and landscape.loss.name in losses.CLASSIFICATIONS:
            recorded = self._recorded()
        report = check_report.report(
            landscape.net,
            directions,
            surface.points(),
            dir_type=landscape.dir_type,
            sets=landscape.sets,
            norms=self._random_norms(),
            params=next(iter(landscape.recipes.values())).params,
            other_model=bool(landscape.towards_nets or landscape.places),
            centre=self._centre(recorded),
            recorded=recorded,
            penalty=self._evaluator().penalty() if self._measuring.weight_decay else None,
            batching=self._batching,
            recomputed=bool(self._measuring.bn_samples),
            over_inputs=isinstance(landscape.loss, MovedInputs),
        )
        if surface.runs:
            surface.runs[-1]["check_report"] = report.as_dict(self._run.name_option)
        self._run.report(report)

    def _random_norms(self) -> dict[str, str]:
        """Return by axis the normalisation of each random direction that this program makes."""
        landscape = self._landscape
        if landscape.dir_file_given or landscape.directions is not None:
            return {}
        recipes = landscape.recipes.items()
        return {axis: recipe.norm for axis, recipe in recipes if not (recipe.target or recipe.vector)}

    def _centre(self, recorded: float | None) -> dict[str, Estimate]:
        """Estimate the loss at the centre on `train`, and on the last part if an accuracy is recorded."""
        landscape, sets = self._landscape, self._batching.sets
        last = list(sets)[-1]
        parts = ["train"] if recorded is None else dict.fromkeys(["train", last])
        centre = {}
        for part in parts:
            centre[part] = fit_check.estimate(
                landscape.net, sets[part], landscape.loss, batch_size=self._batching.batch_size
            )
            self._require_finite(centre[part].loss, part)
        return centre
