"""Holds the settings of a run that do not change the values of a surface."""

from dataclasses import dataclass
from numbers import Real

from losslandscape.core.errors import InputError, NameOption, as_argument, require_choice
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
        refine: the largest error of an interpolated point, as a share of the spread of the surface; points
            that can be interpolated so well are not measured (`files.refinement`). 0 measures all points.
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
    refine: float = 0.0
    schedule: str = "dynamic"
    name_option: NameOption = as_argument

    def __post_init__(self) -> None:
        require_choice("order", self.order, ORDERS)
        require_choice("schedule", self.schedule, SCHEDULES)
        if not isinstance(self.refine, Real) or not 0 <= self.refine < 1:
            raise InputError(f"refine {self.refine!r} is not a number of at least 0 and below 1")

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
