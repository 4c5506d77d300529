"""How a surface is measured, as far as it decides none of its values."""

from dataclasses import dataclass

from losslandscape.core.errors import NameOption, as_argument, require_choice
from losslandscape.parallel.assignments import SCHEDULES
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.parallel.point_order import ORDERS


@dataclass(frozen=True)
class Run:
    """One run of a program that measures.

    Args:
        ranks: which share the points.
        record: what the surface file keeps of this run, for people.
        ends_program: a signal saves what is measured and ends the program.
        quiet: print warnings only.
        overwrite: start again; an old file is kept aside.
        wait: wait for another run that writes the surface file.
        order: of the points (`parallel.point_order.ORDERS`).
        schedule: of the ranks (`parallel.assignments.SCHEDULES`).
        name_option: how this interface writes an option in a message.
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
        """Print, on the first rank only."""
        if self.ranks.rank == 0 and not self.quiet:
            print(text)
