"""The files of a curve between two nets: its bends as checkpoints, the state of the training, surfaces."""

import os
import pickle
from dataclasses import dataclass
from typing import Any

import torch

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, require_same
from losslandscape.files.atomic_file import keep_aside, replacing
from losslandscape.files.writable import require_writable
from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.nets.tensor_names import State

# The errors that torch.load raises for files of another kind.
UNREADABLE = (pickle.UnpicklingError, EOFError, RuntimeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class CurveFiles:
    """The files of a curve with `bends` bends, whose names begin with `out`. Without `out` there are none."""

    out: str
    bends: int = 1

    @property
    def training(self) -> str:
        """The bends and the momenta after the last epoch."""
        return f"{self.out}_training.t7"

    @property
    def checkpoints(self) -> list[str]:
        """The bends as checkpoints: OUT.t7, or OUT_1.t7, OUT_2.t7 and so on."""
        if self.bends == 1:
            return [f"{self.out}.t7"]
        return [f"{self.out}_{number}.t7" for number in range(1, self.bends + 1)]

    @property
    def curve(self) -> str:
        """The loss along the curve."""
        return self.out and f"{self.out}.h5"

    @property
    def line(self) -> str:
        """The loss along the straight line."""
        return self.out and f"{self.out}_line.h5"

    @property
    def directions(self) -> str:
        """The directions of the plane through both nets and the bend."""
        return f"{self.out}_directions.h5"

    @property
    def path(self) -> str:
        """The curve in this plane, as a projection file."""
        return f"{self.out}_proj.h5"

    def require_writable(self) -> None:
        """Raise `InputError` unless the files of the bends can be written."""
        for path in (self.training, *self.checkpoints) if self.out else ():
            require_writable(path, "give another {out}")

    def keep_aside(self) -> list[str]:
        """Rename the files of earlier bends so that their names are free, and return their new names."""
        return [keep_aside(path) for path in (self.training, *self.checkpoints) if os.path.exists(path)]

    def read_training(self, facts: Facts) -> dict[str, Any] | None:
        """Return the state of an earlier training; None if there is none.

        Raises:
            InputError: the file is damaged, or belongs to another training.
        """
        if not self.out or not os.path.exists(self.training):
            return None
        advice = "give another {out}, or {overwrite:True} to start again (the old files are kept aside)"
        try:
            saved = torch.load(self.training, map_location="cpu", weights_only=True)
            stored = saved["facts"]
        except UNREADABLE as error:
            raise InputError(f"{self.training!r} holds no training of a curve", advice) from error
        require_same(self.training, stored, facts, advice)
        return saved

    def write_training(self, state: dict[str, Any], facts: Facts) -> None:
        """Write the state of a training, in one step."""
        if self.out:
            _save({**state, "facts": facts}, self.training)

    def read_bends(self) -> list[State] | None:
        """Return the states of the bends; None unless all files are there."""
        if not self.out or not all(map(os.path.exists, self.checkpoints)):
            return None
        return [read_checkpoint(path).state for path in self.checkpoints]

    def write_bends(self, bends: list[dict[str, Any]]) -> None:
        """Write each bend as a checkpoint, with `state_dict`, `epoch` and perhaps `acc`."""
        if self.out:
            for bend, path in zip(bends, self.checkpoints, strict=True):
                _save(bend, path)


def _save(content: dict[str, Any], path: str) -> None:
    with replacing(path, lasting=True) as part:
        torch.save(content, part)
