"""A measurement of an endpoint as people read it: its steps, its doubts, and what to make of it."""

from __future__ import annotations

from collections.abc import Sequence

from rightsizer.analysis.figures import Doubt, StepFigures
from rightsizer.fleets import Fleet
from rightsizer.measured import Measured
from rightsizer.report.cells import Columns, fold_one, table_text, width_of
from rightsizer.report.entries import Entry, Section, section_text, worst_first
from rightsizer.report.layout import aligned, filled, one_line
from rightsizer.report.sentence import promise
from rightsizer.units import (
    ABSENT,
    counted,
    fine_percent,
    given,
    interval,
    milliseconds,
    percent,
    significant,
)

_STYLES = {
    "within-limits": "green",
    "over-latency": "yellow",
    "over-errors": "yellow",
    "invalid": "red",
}


def measurement_text(measured: Measured, width: int | None) -> str:
    """Steps, doubts and the closing sentence, without a newline at the end.

    `width` is the terminal's; None where there is no terminal: then a row is one line.
    """
    parts = [steps_table(measured, width)] if measured.steps else []
    decisive = _decisive(measured)  # the sentence says it
    shown = [doubt for doubt in worst_first(measured.doubts) if doubt != decisive]
    doubts = Section("Doubts", tuple(_entry(doubt) for doubt in shown))
    if doubts.entries:
        parts.append(section_text(doubts, width))
    said = measurement_sentence(measured)
    parts.append(said if width is None else filled(said, width))
    return "\n\n".join(parts)


def steps_table(measured: Measured, width: int | None) -> str:
    """One row a step, in the order they were driven."""
    percentiles = _percentiles(measured.percentile)
    headers = [
        "Load",
        "Achieved/s",
        *percentiles,
        f"95 % CI of {measured.percentile}",
        "Errors",
        "Requests",
        "Verdict",
        "Doubts",
    ]
    rows = [_cells(step, percentiles) for step in measured.steps]
    if width is None:
        return "\n".join(aligned(headers, rows))
    columns: Columns = [
        [[(header, "bold")], *([(row[i], "")] for row in rows)] for i, header in enumerate(headers)
    ]
    at = headers.index("Verdict")
    columns[at][1:] = [[(step.verdict, _STYLES[step.verdict])] for step in measured.steps]
    if width_of(columns) > width:
        columns = fold_one(columns, len(columns) - 1, width)
    return table_text(columns, width)


def measurement_sentence(measured: Measured) -> str:
    """What to make of it, in one line."""
    match measured.verdict:
        case "valid" if measured.finds_maximum:
            found = _maximum(measured)
        case "valid":
            found = _at_the_load(measured)
        case "limit-unmet":
            found = f"{measured.url} does not keep {promise(measured.limit)}: {_why(measured)}"
        case _:
            found = f"Nothing can be said of {measured.url} ({measured.verdict}): {_why(measured)}"
    return one_line(f"{found}.")


def _percentiles(limit: str) -> list[str]:
    return sorted({"P50", "P95", "P99", limit})


def _cells(step: StepFigures, percentiles: Sequence[str]) -> list[str]:
    latencies = [getattr(step, f"{name.lower()}_ms") for name in percentiles]
    doubts = ", ".join(doubt.code for doubt in worst_first(step.doubts))
    known = interval(step.latency_ms_ci)
    return [
        step.label,
        significant(step.achieved_per_s),
        *(milliseconds(latency) for latency in latencies),
        known if known == ABSENT else f"{known} ms",
        fine_percent(step.error_ratio),
        f"{step.n:,}",
        step.verdict,
        doubts or ABSENT,
    ]


def _entry(doubt: Doubt) -> Entry:
    return Entry(doubt.code, one_line(_advice(doubt)))


def _advice(doubt: Doubt) -> str:
    return f"{doubt.message}; {doubt.next_step}" if doubt.next_step else doubt.message


def _maximum(measured: Measured) -> str:
    bound = {"at_least": "at least ", "bracket": "(a cliff) "}.get(measured.max_kind or "", "")
    known = interval(measured.max_invocations_per_min_ci)
    sure = "no honest 95 % interval" if known == ABSENT else f"95 % interval {known}"
    maximum = f"{bound}{significant(measured.max_invocations_per_min)} invocations a minute"
    text = f"{measured.url} sustains {maximum}"
    if measured.basis == "open":
        # It is where the latency reaches the limit; no one step stands exactly there.
        text += f" with {promise(measured.limit)} ({sure}, open basis)"
    else:
        text += f" ({sure}, {measured.basis} basis), {_latency(measured)}"
    if measured.fleet is not None and measured.target is not None:
        text += f"; {_fleet(measured.fleet, measured.target.invocations_per_min)}"
    return text + _reservations(measured)


def _fleet(fleet: Fleet, wanted_per_min: float) -> str:
    many = counted(fleet.instance_count, "instance")
    carry = "carries" if fleet.instance_count == 1 else "carry"
    busy = percent(fleet.utilisation_at_target_ratio)
    return f"{many} {carry} {given(wanted_per_min)} a minute at {busy} of the maximum"


def _at_the_load(measured: Measured) -> str:
    step = measured.steps[-1]
    return (
        f"At {step.label} {measured.url} completed {significant(measured.invocations_per_min)} "
        f"invocations a minute, {_latency(measured)}, {fine_percent(step.error_ratio)} errors"
        f"{_reservations(measured)}"
    )


def _latency(measured: Measured) -> str:
    limit_ms = measured.limit.latency_ms
    allowed = "" if limit_ms is None else f" of {milliseconds(limit_ms)} allowed"
    known = interval(measured.latency_ms_ci)
    sure = "" if known == ABSENT else f" ({known})"
    return f"{measured.percentile} {milliseconds(measured.latency_ms)}{sure}{allowed}"


def _reservations(measured: Measured) -> str:
    weighty = [d.code for d in worst_first(measured.doubts) if d.severity == "weakens"]
    return f"; weakened by: {', '.join(weighty)}" if weighty else ""


def _decisive(measured: Measured) -> Doubt | None:
    """The doubt that explains the verdict: they come in that order."""
    if measured.verdict == "valid":
        return None
    return next((doubt for doubt in measured.doubts if doubt.severity == "blocks"), None)


def _why(measured: Measured) -> str:
    doubt = _decisive(measured)
    if doubt is not None:
        return _advice(doubt)
    attempted = counted(measured.requests.attempted, "request")
    return f"{attempted} in {counted(len(measured.steps), 'step')} gave no figure to stand on"
