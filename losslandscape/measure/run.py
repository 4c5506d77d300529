"""How a surface is measured: the settings that change none of its values."""

from dataclasses import dataclass

from losslandscape.core.errors import NameOption, as_argument, require_choice
from losslandscape.parallel.assignments import SCHEDULES
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.parallel.point_order import ORDERS


@dataclass(frozen=True)
class Run:
    """One run of a program that measures.

    Args:
        ranks: the ranks that share the points.
        record: the surface file stores this record of the run, for people to read.
        ends_program: whether a signal saves the measured points and ends the program.
        quiet: print warnings only.
        overwrite: start again; an old file is kept aside.
        wait: wait for another run that writes the surface file.
        order: order of the points, one of `parallel.point_order.ORDERS`.
        schedule: how ranks get points, one of `parallel.assignments.SCHEDULES`.
        name_option: writes an option in a message, in the form of this interface.
    """

    ranks: Serial
    record: dict[str, object]
    ends_program: bool = False
    quiet: bool = False
    overwrite: bool = False
    wait: bool = False
    order: str = "coarse"
    schedule: str = "dynamic"
    name_option: NameOption = as_argument

    def __post_init__(self) -> None:
        require_choice("order", self.order, ORDERS)
        require_choice("schedule", self.schedule, SCHEDULES)

    def say(self, text: object) -> None:
        """Print on rank 0 only, unless the run is quiet."""
        if self.ranks.rank == 0 and not self.quiet:
            print(text)
