"""Reports whether the loss at the centre can be repeated, and what prevents it."""

from losslandscape.evaluate.batching import Batching
from losslandscape.evaluate.repeatability import Repeatability
from losslandscape.measure.report import Caution, Report

NAMES_SHOWN = 3  # a warning lists at most this many buffers and attributes


def check_repeatability(batching: Batching) -> Report:
    """Return facts and warnings about a net or a loss that gives another value at each measurement."""
    found = batching.repeatability
    if not found.is_repeatable:
        return Report(warnings=[_not_repeatable(found, batching)])
    reports = []
    if found.only_whole:
        reports.append(Report(["the loss takes only whole batches of the data: they are kept"]))
    if found.has_state:
        reports.append(Report(warnings=[_state(found, batching)]))
    elif found.depends_on_batches and not found.only_whole:
        reports.append(_batches(found, batching))
    if found.draws_random_numbers:
        reports.append(_random_numbers(found, batching))
    return Report(
        [line for report in reports for line in report.lines],
        [warning for report in reports for warning in report.warnings],
    )


def _not_repeatable(found: Repeatability, batching: Batching) -> Caution:
    fault = (
        f"the loss at the centre is {found.loss:.6g} on {found.samples} samples, and {found.again:.6g} when "
        "it is measured again: it depends on something outside of the net's modules "
        f"(batches {batching.facts['batches']})"
    )
    advice = (
        "let net and loss start from the same state at each call, without a random generator of their own"
    )
    return Caution(fault, advice)


def _state(found: Repeatability, batching: Batching) -> Caution:
    changed = ", ".join(found.changed[:NAMES_SHOWN]) + (", …" if len(found.changed) > NAMES_SHOWN else "")
    fault = (
        f"the net changes while it is measured ({changed}): the loss at the centre is {found.loss:.6g} on "
        f"{found.samples} samples, and {found.carried:.6g} after another point; the state is restored before "
        "each point, but within a point each batch changes it for the next "
        f"(batches {batching.facts['batches']})"
    )
    return Caution(fault, "freeze it in evaluation mode, or reset it at the start of forward")


def _random_numbers(found: Repeatability, batching: Batching) -> Report:
    values = f"at the centre it is {found.loss:.6g} or {found.redrawn:.6g} on {found.samples} samples"
    values += f", in batches {batching.facts['batches']}"
    if batching.fix_randomness:
        return Report([f"the loss draws random numbers ({values}); every point gets the same"])
    fault = f"the loss draws random numbers, so that every point has noise: {values}"
    return Report(warnings=[Caution(fault, "{fix_randomness:True} gives every point the same numbers")])


def _batches(found: Repeatability, batching: Batching) -> Report:
    text = (
        f"the loss depends on which samples share a batch: at the centre it is {found.loss:.6g} on "
        f"{found.samples} samples, and {found.halved:.6g} in batches of half the size"
    )
    batches = f"batches {batching.facts['batches']}"
    if batching.is_assumed:
        warning = Caution(f"{text}; it is measured in {batches}", "give the {batch_size} of the training")
        return Report(warnings=[warning])
    return Report([f"{text}; it is measured in {batches}"])
