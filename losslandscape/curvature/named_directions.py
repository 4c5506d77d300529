"""Directions that the loss decides, by their names: eigenvectors of the Hessian, and gradients."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.curvature.gradient import Gradient, mean_gradient, sam_gradient
from losslandscape.curvature.hess_vec_prod import BATCH_SIZE, Curvature
from losslandscape.curvature.lanczos import eigenvalues
from losslandscape.data.samples import Samples
from losslandscape.evaluate.batching import Batching, choose_batches
from losslandscape.evaluate.loss import Loss
from losslandscape.nets import net_plotter
from losslandscape.nets.net_plotter import Direction
from losslandscape.nets.net_tensors import moving_tensors
from losslandscape.parallel.devices import exact_products
from losslandscape.parallel.mpi4pytorch import Serial


class NamedDirections:
    """Directions that the loss at the centre decides. Each is computed on first use.

    Args:
        net: the net at the centre.
        sets: the samples by part; the mean loss over the part "train" is differentiated.
        loss: the loss of a batch.
        names: the name of each direction, of `measure.landscape.ORIGINS`. The first `hessian` is the
            eigenvector of the largest eigenvalue, the second that of the second largest, and so on.
        device: the device that the net and the data are moved to.
        dir_type: type of the directions, `weights` or `states`.
        batch_size: samples in memory at a time.
        fix_randomness: whether every pass over the data gets the same random numbers.
        quiet: whether to print no line for each direction.
    """

    def __init__(
        self,
        net: nn.Module,
        sets: dict[str, Samples],
        loss: Loss,
        names: Sequence[str],
        *,
        device: torch.device,
        dir_type: str,
        batch_size: int | None = None,
        fix_randomness: bool = False,
        quiet: bool = False,
    ):
        self._net, self._sets, self._loss, self._names = net, sets, loss, names
        self._device, self._dir_type, self._batch_size = device, dir_type, batch_size
        self._fix_randomness, self._quiet = fix_randomness, quiet

    def find(self, place: int) -> Direction:
        """Return the direction of the name at this place in `names`."""
        name = self._names[place]
        if name == "hessian":
            return self._eigenvectors[self._names[:place].count(name)]
        return self._gradient(name)

    def _gradient(self, name: str) -> Direction:
        batching = self._batching
        find = {"gradient": mean_gradient, "sam": sam_gradient}[name]
        with exact_products():
            parts: Gradient = find(
                self._net,
                batching.sets["train"],
                self._loss,
                batch_size=batching.batch_size or BATCH_SIZE,
                fix_randomness=self._fix_randomness,
            )
        length = sum(float(part.double().square().sum()) for part in parts.values()) ** 0.5
        self._say(f"{name} of length {length:.6g}, over {len(self._sets['train'])} samples")
        tensors = moving_tensors(self._net, self._dir_type)
        return [parts[name] if name in parts else torch.zeros_like(value) for name, value in tensors.items()]

    @cached_property
    def _eigenvectors(self) -> list[Direction]:
        matrix, number = self._make_matrix(), self._names.count("hessian")
        count = f"{number} eigenvector{'s' if number > 1 else ''}"
        print(
            f"{count} of the Hessian, {matrix.dimension} parameters, over {len(self._sets['train'])} samples"
        )
        with exact_products():
            _, largest = eigenvalues(matrix, smallest=0, largest=number, show_progress=not self._quiet)
        directions = []
        for eigen in largest:
            if eigen.vector is None:
                fault = "the second derivative of the loss is not finite at the centre"
                raise InputError(fault, "take another direction than {xdir:hessian}")
            state = "" if eigen.converged else "  NOT CONVERGED"
            self._say(f"eigenvalue {eigen.value:.6g}, residual {eigen.residual:.2g}{state}")
            directions.append(net_plotter.from_flat(self._net, self._dir_type, matrix.names, eigen.vector))
        return directions

    def _say(self, line: str) -> None:
        if not self._quiet:
            print(line)

    def _make_matrix(self) -> Curvature:
        batching = self._batching
        return Curvature(
            self._net,
            batching.sets["train"],
            loss=self._loss,
            batch_size=batching.batch_size,
            fix_randomness=self._fix_randomness,
        )

    @cached_property
    def _batching(self) -> Batching:
        """The batches of the data; net and data are on the device from now on."""
        return choose_batches(
            self._net.to(self._device),
            {"train": self._sets["train"].to(self._device)},
            self._loss,
            model="the net",
            ranks=Serial(),
            batch_size=self._batch_size,
            fix_randomness=self._fix_randomness,
        )
