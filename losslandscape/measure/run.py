"""Holds the settings of a run that do not change the values of a surface."""

from dataclasses import dataclass

from losslandscape.core.errors import NameOption, as_argument, require_choice
from losslandscape.measure.report import Report
from losslandscape.parallel.assignments import SCHEDULES
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.parallel.point_order import ORDERS


@dataclass(frozen=True)
class Run:
    """One run of a program that measures a surface.

    Args:
        ranks: the ranks that share the points.
        record: the description of the run that the surface file stores.
        ends_program: whether a signal saves the measured points and ends the program.
        quiet: whether to print only warnings and failures.
        overwrite: whether to start again; an old file is kept aside.
        wait: whether to wait while another run writes the surface file.
        strict: whether a warning of the check report ends the run before a point is measured.
        order: the order of the points, one of `parallel.point_order.ORDERS`.
        schedule: the schedule by which ranks get points, one of `parallel.assignments.SCHEDULES`.
        name_option: returns the name of an option in messages, in the form of this interface.
    """

    ranks: Serial
    record: dict[str, object]
    ends_program: bool = False
    quiet: bool = False
    overwrite: bool = False
    wait: bool = False
    strict: bool = False
    order: str = "coarse"
    schedule: str = "dynamic"
    name_option: NameOption = as_argument

    def __post_init__(self) -> None:
        require_choice("order", self.order, ORDERS)
        require_choice("schedule", self.schedule, SCHEDULES)

    def report(self, report: Report) -> None:
        """Print a report on rank 0, or only its warnings if the run is quiet.

        Raises:
            InputError: the run is strict, and the report has a warning.
        """
        shown = Report(warnings=report.warnings) if self.quiet else report
        if self.ranks.rank == 0 and (shown.lines or shown.warnings):
            print(shown.text(self.name_option))
        if self.strict:
            report.require_no_warning()

    def say(self, text: object) -> None:
        """Print on rank 0 only, unless the run is quiet."""
        if self.ranks.rank == 0 and not self.quiet:
            print(text)
