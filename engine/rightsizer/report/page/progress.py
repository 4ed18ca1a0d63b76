"""Throughput and latency of every trial over its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rightsizer.analysis.history import StepHistory
from rightsizer.candidates import differing
from rightsizer.histories import TrialHistory
from rightsizer.report.layout import label, one_line
from rightsizer.report.page.axes import LEFT, RIGHT, WIDTH, Axis
from rightsizer.report.page.charts import Band, Point, Series, lines
from rightsizer.report.page.content import Figure, Table, drawing
from rightsizer.report.shared import shared_in
from rightsizer.results import Job
from rightsizer.spec import LimitSpec
from rightsizer.trials import TrialRecord
from rightsizer.units import milliseconds, significant

STEP_WIDTH = 64
"""A step is drawn no narrower on average: a long trial's chart scrolls sideways."""
TIME = Axis("s since the trial's first step", lambda value: f"{value:g}", from_zero=True)


def progress_figures(
    job: Job, histories: Mapping[str, TrialHistory]
) -> list[tuple[str, Figure | None, str]]:
    """(name, its two charts, why they are missing) of each trial that drove a step."""
    limit = LimitSpec.model_validate(job.spec.get("limit", {}))
    shared = shared_in(job)
    return [
        (_name(trial, shared), _figure(histories[trial.id], limit), histories[trial.id].missing)
        for trial in job.trials
        if trial.id in histories
    ]


def _figure(history: TrialHistory, limit: LimitSpec) -> Figure | None:
    steps = history.steps
    if not any(step.moments for step in steps):
        return None
    width = max(WIDTH, LEFT + RIGHT + STEP_WIDTH * len(steps))
    bands = [Band(s.begin_s, s.end_s, s.measured_s, s.label) for s in steps]
    throughput = [_series(step, 0, latency=False) for step in steps]
    latency = [_series(step, 1, latency=True) for step in steps]
    percentile = limit.percentile
    charts = (
        lines(
            "Throughput over time",
            TIME,
            Axis("invocations per s", from_zero=True),
            throughput,
            bands=bands,
            width=width,
        ),
        lines(
            f"{percentile} over time",
            TIME,
            Axis(f"{percentile} latency, ms", may_be_log=True, from_zero=True),
            latency,
            limit=limit.latency_ms,
            bands=bands,
            width=width,
        ),
    )
    title = f"Throughput, and below it {percentile}, over time"
    return Figure(title, drawing("".join(charts)), _table(steps, percentile))


def _series(step: StepHistory, number: int, *, latency: bool) -> Series:
    values = [(m.at_s, m.latency_ms if latency else m.per_s) for m in step.moments]
    return Series(number, [Point(x, y) for x, y in values if y is not None], marked=False)


def _table(steps: Sequence[StepHistory], percentile: str) -> Table:
    return Table(
        ["Step", "s", "Invocations/s", percentile, "Wrong"],
        [
            [
                step.label,
                f"{moment.at_s:.1f}",
                significant(moment.per_s),
                milliseconds(moment.latency_ms),
                str(moment.wrong),
            ]
            for step in steps
            for moment in step.moments
        ],
        bulk=True,
    )


def _name(trial: TrialRecord, shared: Mapping[str, str]) -> str:
    candidate = trial.candidate
    own = differing(candidate.environment, shared)
    name = label(candidate.instance_type, own, candidate.own_server)
    return one_line(f"{name}, {trial.stage} on {trial.host} (trial {trial.id})")
