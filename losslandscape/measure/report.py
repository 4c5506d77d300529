"""A report of facts and warnings. An interface prints it, and a surface file stores it."""

from dataclasses import dataclass, field

from losslandscape.core.errors import NameOption, name_options


@dataclass(frozen=True)
class Caution:
    """A warning of a likely mistake.

    Attributes:
        fault: what is wrong.
        advice: what to do; it names options in braces, as the advice of an `InputError` does.
    """

    fault: str
    advice: str = ""

    def sentence(self, name_option: NameOption) -> str:
        """Fault and advice, with the options as an interface writes them."""
        return "; ".join(filter(None, (self.fault, name_options(self.advice, name_option))))


@dataclass(frozen=True)
class Report:
    """Facts, a line each, and warnings."""

    lines: list[str] = field(default_factory=list)
    warnings: list[Caution] = field(default_factory=list)

    def text(self, name_option: NameOption) -> str:
        """All lines, with options as an interface writes them."""
        sentences = self.as_dict(name_option)["warnings"]
        return "\n".join([*self.lines, *(f"warning: {sentence}" for sentence in sentences)])

    def as_dict(self, name_option: NameOption) -> dict[str, list[str]]:
        """For JSON, with options as an interface writes them."""
        sentences = [warning.sentence(name_option) for warning in self.warnings]
        return {"lines": self.lines, "warnings": sentences}
