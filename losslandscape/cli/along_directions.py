"""The directions that `hessian.py --along` names, over the parameters of the matrix."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from losslandscape.cli.request import NetOptions
from losslandscape.core.random_state import seeded
from losslandscape.curvature.along import Along, LossesAlong, curvature_along
from losslandscape.curvature.gradient import mean_gradient, sam_gradient
from losslandscape.curvature.hess_vec_prod import BATCH_SIZE, Curvature
from losslandscape.curvature.lanczos import Eigen
from losslandscape.evaluate.batching import Batching
from losslandscape.evaluate.loss import Loss
from losslandscape.nets import model_loader, net_plotter
from losslandscape.nets.net_tensors import moving_tensors

EIGENVECTOR = "hessian"
GRADIENTS = {"gradient": mean_gradient, "sam": sam_gradient}


def along_name(text: str) -> str:
    """Convert random, random:N, the name of another direction, or the name of a checkpoint."""
    word, colon, number = text.partition(":")
    if word == "random" and colon and (not number.isdigit() or int(number) < 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not random:N with a whole number of at least 1")
    return text


@dataclass(frozen=True)
class Lines:
    """The lines through a net along which its loss is to be measured.

    Args:
        vectors: the directions (n,) by their names; None for the eigenvector of the largest eigenvalue.
        losses: the losses along them.
    """

    vectors: dict[str, Tensor | None]
    losses: LossesAlong

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        net: nn.Module,
        matrix: Curvature,
        batching: Batching,
        loss: Loss,
        *,
        checkpoints: NetOptions,
        seed: int,
    ) -> Self:
        """Find the directions.

        Args:
            names: the names as `along_name` takes them.
            net, matrix, batching, loss: the net, its matrix, its data in batches, and the loss.
            checkpoints: the options for reading the checkpoints among the names.
            seed: of the random directions, which are filter-normalised.

        Raises:
            InputError: if a checkpoint cannot be read, or is of another net.
        """
        data, how = batching.sets["train"], {"fix_randomness": batching.fix_randomness}
        size = batching.batch_size or BATCH_SIZE
        vectors: dict[str, Tensor | None] = {}
        for name in names:
            word, _, number = name.partition(":")
            if word == "random":
                vectors |= _random(net, matrix, int(number or 1), seed)
            elif name in GRADIENTS:
                parts = GRADIENTS[name](net, data, loss, batch_size=size, **how)
                vectors[name] = _flat(parts, matrix)
            elif name == EIGENVECTOR:
                vectors[name] = None
            else:
                file = model_loader.find(checkpoints.model_folder, name)
                other = checkpoints.load_beside(net, file)
                vectors[name] = _flat_direction(
                    net, net_plotter.target_direction(net, other, "weights"), matrix
                )
        return cls(vectors, LossesAlong(net, matrix.names, data, loss, batch_size=size, **how))

    @property
    def need_eigenvector(self) -> bool:
        return None in self.vectors.values()

    def measured(self, matrix: Curvature, largest: Eigen | None) -> dict[str, Along]:
        """Return slope and curvature along each line; `largest` has the eigenvector, if it is needed."""
        known = largest.vector if largest else None
        vectors = {name: known if vector is None else vector for name, vector in self.vectors.items()}
        found = {name: vector for name, vector in vectors.items() if vector is not None}
        return curvature_along(matrix, self.losses, found)


def _random(net: nn.Module, matrix: Curvature, count: int, seed: int) -> dict[str, Tensor | None]:
    with seeded(seed):
        drawn = [
            net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn") for _ in range(count)
        ]
    return {f"random {i}": _flat_direction(net, direction, matrix) for i, direction in enumerate(drawn, 1)}


def _flat_direction(net: nn.Module, direction: net_plotter.Direction, matrix: Curvature) -> Tensor:
    return _flat(dict(zip(moving_tensors(net, "weights"), direction, strict=True)), matrix)


def _flat(parts: dict[str, Tensor], matrix: Curvature) -> Tensor:
    """Return the entries (n,) of the matrix's parameters, one after the other."""
    flat = torch.cat([parts[name].reshape(-1) for name in matrix.names])
    return flat.to(matrix.device, matrix.dtype)
