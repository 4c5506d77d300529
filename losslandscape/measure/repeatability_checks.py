"""Reports whether two measurements of the loss at the centre agree, and if not, why."""

from losslandscape.core.text import shortlist
from losslandscape.evaluate.batching import Batching
from losslandscape.evaluate.repeatability import Repeatability
from losslandscape.measure.report import Caution, Report

NAMES_SHOWN = 3  # a warning lists at most this many buffers and attributes


def check_repeatability(batching: Batching) -> Report:
    """Return facts and warnings about a net or a loss that gives another value at each measurement."""
    measured = batching.repeatability
    if not measured.is_repeatable:
        return Report(warnings=[_not_repeatable(measured, batching)])
    reports = []
    if measured.only_whole:
        reports.append(Report(["the loss takes only whole batches of the data, so these are kept"]))
    if measured.has_state:
        reports.append(Report(warnings=[_changing_state(measured, batching)]))
    elif measured.depends_on_batches and not measured.only_whole:
        reports.append(_dependence_on_batches(measured, batching))
    if measured.draws_random_numbers:
        reports.append(_random_numbers(measured, batching))
    return Report.joined(reports)


def _not_repeatable(measured: Repeatability, batching: Batching) -> Caution:
    fault = (
        f"the loss at the centre is {measured.loss:.6g} on {measured.samples} samples, and "
        f"{measured.again:.6g} when it is measured again: it depends on something outside of the net's "
        f"modules (batches {batching.facts['batches']})"
    )
    advice = (
        "let net and loss start from the same state at each call, without a random generator of their own"
    )
    return Caution(fault, advice)


def _changing_state(measured: Repeatability, batching: Batching) -> Caution:
    changed = shortlist(measured.changed, NAMES_SHOWN)
    fault = (
        f"the net changes while it is measured ({changed}): the loss at the centre is {measured.loss:.6g} on "
        f"{measured.samples} samples, and {measured.carried:.6g} after another point; the state is restored "
        "before each point, but within a point each batch changes it for the next "
        f"(batches {batching.facts['batches']})"
    )
    return Caution(fault, "freeze it in evaluation mode, or reset it at the start of forward")


def _random_numbers(measured: Repeatability, batching: Batching) -> Report:
    values = (
        f"at the centre it is {measured.loss:.6g} or {measured.redrawn:.6g} on {measured.samples} samples"
    )
    values += f", in batches {batching.facts['batches']}"
    if batching.fix_randomness:
        return Report([f"the loss draws random numbers ({values}); every point gets the same"])
    fault = f"the loss draws random numbers, so that every point has noise: {values}"
    return Report(warnings=[Caution(fault, "{fix_randomness:True} gives every point the same numbers")])


def _dependence_on_batches(measured: Repeatability, batching: Batching) -> Report:
    text = (
        f"the loss depends on which samples share a batch: at the centre it is {measured.loss:.6g} on "
        f"{measured.samples} samples, and {measured.halved:.6g} in batches of half the size"
    )
    batches = f"batches {batching.facts['batches']}"
    if batching.is_assumed:
        warning = Caution(f"{text}; it is measured in {batches}", "give the {batch_size} of the training")
        return Report(warnings=[warning])
    return Report([f"{text}; it is measured in {batches}"])
