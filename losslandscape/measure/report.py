"""Holds a report of facts and warnings. An interface prints it, and a surface file stores it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from losslandscape.core.errors import InputError, NameOption, name_options


@dataclass(frozen=True)
class Caution:
    """A warning, which describes a likely mistake.

    Attributes:
        fault: a clause that says what is wrong.
        advice: a clause that says what to do. It has options in braces, like the advice of an `InputError`.
    """

    fault: str
    advice: str = ""

    def sentence(self, name_option: NameOption) -> str:
        """Return fault and advice in one sentence, with options in the form of an interface."""
        return "; ".join(filter(None, (self.fault, name_options(self.advice, name_option))))


@dataclass(frozen=True)
class Report:
    """A report, which holds facts, one line for each, and warnings."""

    lines: list[str] = field(default_factory=list)
    warnings: list[Caution] = field(default_factory=list)

    @classmethod
    def joined(cls, reports: Sequence["Report"]) -> "Report":
        """Return one report with the lines and the warnings of several, in order."""
        return cls(
            [line for report in reports for line in report.lines],
            [warning for report in reports for warning in report.warnings],
        )

    def require_no_warning(self) -> None:
        """Raise `InputError` with the first warning, if there is one."""
        for warning in self.warnings:
            raise InputError(warning.fault, warning.advice)

    def text(self, name_option: NameOption) -> str:
        """Return all lines and warnings, with options in the form of an interface."""
        sentences = self.as_dict(name_option)["warnings"]
        return "\n".join([*self.lines, *(f"warning: {sentence}" for sentence in sentences)])

    def as_dict(self, name_option: NameOption) -> dict[str, list[str]]:
        """Return all lines and warnings for JSON, with options in the form of an interface."""
        sentences = [warning.sentence(name_option) for warning in self.warnings]
        return {"lines": self.lines, "warnings": sentences}
