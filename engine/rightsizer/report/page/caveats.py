"""Doubts by severity with the figures behind them, and the candidates that are not recommended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rightsizer.analysis.figures import Doubt, Severity
from rightsizer.candidates import differing
from rightsizer.report.entries import worst_first
from rightsizer.report.layout import label, one_line
from rightsizer.report.page.content import Table, row_name, stacked
from rightsizer.report.shared import shared_in
from rightsizer.results import Job
from rightsizer.units import chance, significant

LOG_LINES = 5
"""Of a rejected candidate's server."""

SEVERITIES: Sequence[tuple[Severity, str]] = (
    ("blocks", "Blocks: the number is not to be relied on"),
    ("weakens", "Weakens: the number may be off"),
    ("note", "Notes: what the number is, and is not"),
)


@dataclass(frozen=True)
class Caveat:
    """A doubt with all that it was said of."""

    code: str
    whom: str
    message: str
    next_step: str
    figures: str
    each: Table | None
    """Where it was said with several figures."""


def caveats(job: Job) -> list[tuple[str, list[Caveat]]]:
    """(heading, doubts) of each severity that there are any of, worst first."""
    said: dict[tuple[str, str], list[tuple[str, Doubt]]] = {}
    everywhere = [("the job", job.doubts)]
    everywhere += [(f"row {row.rank}", row.doubts) for row in job.recommendations]
    for whom, doubts in everywhere:
        for doubt in worst_first(doubts):
            said.setdefault((doubt.severity, doubt.code), []).append((whom, doubt))
    return [
        (heading, found)
        for severity, heading in SEVERITIES
        if (found := [_caveat(job, own) for (at, _), own in said.items() if at == severity])
    ]


def rejected_table(job: Job) -> Table:
    """Each candidate that is no recommendation, and why."""
    shared = shared_in(job)
    return Table(
        ["Candidate", "Reason", "Detail", "Its log ends"],
        [
            [
                one_line(label(row.instance_type, differing(row.environment, shared), row.command)),
                one_line(row.reason),
                one_line(row.detail),
                stacked(*[s for s in row.log_tail.splitlines() if s.strip()][-LOG_LINES:]),
            ]
            for row in job.rejected
        ],
    )


def dropped_table(job: Job) -> Table:
    """Each recommendation that the race did not go on with, and why."""
    shared = shared_in(job)
    return Table(
        ["Rank", "Candidate", "PBest", "Why"],
        [
            [str(row.rank), row_name(row, shared), chance(row.p_best), one_line(doubt.message)]
            for row in job.recommendations
            for doubt in row.doubts
            if doubt.code == "dropped"
        ],
    )


def _caveat(job: Job, said: Sequence[tuple[str, Doubt]]) -> Caveat:
    first = said[0][1]
    alike = all(d.message == first.message and d.figures == first.figures for _, d in said)
    rows = [[whom, one_line(d.message), _figures(d)] for whom, d in said]
    whom = [name for name, _ in said]
    everyone = len(whom) > 1 and len(whom) == len(job.recommendations)
    return Caveat(
        code=first.code,
        whom="every row" if everyone else ", ".join(whom),
        message=one_line(first.message if alike else f"{whom[0]}: {first.message}"),
        next_step=one_line(first.next_step),
        figures=_figures(first),
        each=None if alike else Table(["Of", "Said", "Figures"], rows),
    )


def _figures(doubt: Doubt) -> str:
    return ", ".join(
        one_line(f"{name} {significant(v) if isinstance(v, int | float) else v}")
        for name, v in doubt.figures.items()
        if v is not None
    )
