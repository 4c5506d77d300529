"""The extreme eigenvalues of the Hessian as the measure of a surface."""

from functools import cached_property

import torch

from losslandscape.core.random_state import randomness_facts
from losslandscape.curvature.hess_vec_prod import Curvature, extreme_eigenvalues
from losslandscape.evaluate.batching import Batching, choose_batches
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.files.surface import Surface
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.repeatability_checks import check_repeatability
from losslandscape.measure.run import Run
from losslandscape.nets.net_plotter import Direction
from losslandscape.parallel.devices import set_precision
from losslandscape.parallel.scheduler import Values


class EigenMeasure:
    """A measure that returns the extreme eigenvalues of the Hessian of the mean training loss.

    It also returns the residuals of the eigenvalues. The paper's convexity maps show the ratio of the two
    eigenvalues (Li et al. 2018, section 6).

    Args:
        landscape: the landscape that holds the net, the loss and the data.
        run: the run that holds the ranks.
        device: the device that the net and the data are moved to.
        tolerance: largest residual of an eigenvalue, relative to the eigenvalue.
        most_products: largest number of products with the Hessian per point.
        batch_size: samples in memory at a time; the values depend on it only if the loss does.
        all_parameters: whether to include biases and batch norms. The published program takes only
            parameters of more than one dimension.
        fix_randomness: whether every product gets the same random numbers.
        sharers: the number of ranks that share the GPU.

    Attributes:
        batching: the batches in which the loss is measured.
    """

    names = ["min_eig", "max_eig", "min_eig_residual", "max_eig_residual"]

    def __init__(
        self,
        landscape: Landscape,
        run: Run,
        *,
        device: torch.device,
        tolerance: float,
        most_products: int,
        batch_size: int | None = None,
        all_parameters: bool = False,
        fix_randomness: bool = False,
        sharers: int = 1,
    ):
        self._landscape, self._run, self._device, self._sharers = landscape, run, device, sharers
        self._tolerance, self._most_products = tolerance, most_products
        self._all_parameters = all_parameters
        set_precision("fp32", device)  # TF32 is too coarse for second derivatives
        self.batching = choose_batches(
            landscape.net,
            {"train": landscape.sets["train"]},
            landscape.loss,
            model=landscape.net_facts.get("model", "the net"),
            ranks=run.ranks,
            batch_size=batch_size,
            fix_randomness=fix_randomness,
        )
        landscape.settings.update(self.batching.facts)

    @staticmethod
    def facts(tolerance: float, all_parameters: bool, fix_randomness: bool = False) -> dict[str, str]:
        """Return the settings that the values depend on."""
        parameters = "all" if all_parameters else "of more than one dimension"
        facts = {"eigenvalue tolerance": f"{tolerance:g}", "parameters of the Hessian": parameters}
        return {**facts, **randomness_facts(fix_randomness)}

    def _make_matrix(self) -> Curvature:
        landscape = self._landscape
        return Curvature(
            landscape.net.to(self._device),
            self.batching.sets["train"].to(self._device),
            loss=landscape.loss,
            batch_size=self.batching.batch_size,
            all_parameters=self._all_parameters,
            fix_randomness=self.batching.fix_randomness,
            sharers=self._sharers,
        )

    def prepare(self, surface: Surface, directions: list[Direction]) -> None:
        run, samples = self._run, len(self._landscape.sets["train"])
        run.report(check_repeatability(self.batching))
        self._matrix = run.ranks.all(self._make_matrix)
        run.say(
            f"{self._device.type}, Hessian of the mean loss over {samples} samples, "
            f"eigenvalues to {self._tolerance:g}"
        )
        doubt = self._matrix.doubt()
        if doubt:
            run.say(doubt)

    def values(self) -> Values:
        smallest, largest = extreme_eigenvalues(
            self._matrix, tolerance=self._tolerance, most_products=self._most_products
        )
        values = (smallest.value, largest.value, smallest.residual, largest.residual)
        return dict(zip(self.names, values, strict=True))


class TrainLoss:
    """A measure that returns only the training loss, to search a range (`measure.axes.find_axes`)."""

    names = ["train_loss"]

    def __init__(self, landscape: Landscape, batching: Batching, device: torch.device):
        self._landscape, self._batching = landscape, batching
        landscape.net.to(device)  # must come first: the net has other tensors on another device

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(
            self._landscape.net,
            self._batching.sets,
            loss=self._landscape.loss,
            batch_size=self._batching.batch_size,
            fix_randomness=self._batching.fix_randomness,
        )

    def prepare(self, surface: Surface, directions: list[Direction]) -> None:
        pass

    def values(self) -> Values:
        return self._evaluator.measure()
