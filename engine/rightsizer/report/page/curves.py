"""Latency against load, and what single variables do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rightsizer.analysis.figures import StepFigures
from rightsizer.candidates import differing
from rightsizer.report.entries import effect_entries
from rightsizer.report.layout import label, one_line
from rightsizer.report.page.axes import Axis
from rightsizer.report.page.charts import Point, Series, lines, ratios
from rightsizer.report.page.content import Figure, Table, drawing, legend
from rightsizer.report.shared import shared_in
from rightsizer.results import Job
from rightsizer.spec import LimitSpec
from rightsizer.trials import TrialRecord
from rightsizer.units import (
    ABSENT,
    factor,
    factors,
    fine_percent,
    interval,
    milliseconds,
    per_min,
    significant,
)

TOGETHER = 6
"""So many candidates' curves are told apart in one chart."""
EFFECTS = 20
"""So many are drawn; the table has all."""
LOAD = Axis("invocations per min, of one instance", from_zero=True)


def overview(job: Job) -> Figure | None:
    """The curves of the first recommendations in one chart; None where there are not two."""
    steps = _steps_by_candidate(job)
    rows = list({row.candidate_id: row for row in reversed(job.recommendations)}.values())[::-1]
    rows = [row for row in rows if steps.get(row.candidate_id)][:TOGETHER]
    if len(rows) < 2:
        return None
    limit, shared = _limit(job), shared_in(job)
    names = [f"{row.rank}: {_name(job, row.candidate_id, shared)}" for row in rows]
    curves = [
        Series(number, _points(steps[row.candidate_id], with_bars=False), str(row.rank))
        for number, row in enumerate(rows)
    ]
    return Figure(
        title="The first together" if len(rows) < len(steps) else "All together",
        chart=drawing(
            lines(
                f"{limit.percentile} latency against load of ranks "
                + ", ".join(str(row.rank) for row in rows),
                LOAD,
                _latency_axis(),
                curves,
                limit=limit.latency_ms,
            )
        ),
        table=Table(
            ["Rank", "Invocations/min", limit.percentile],
            [
                [str(row.rank), significant(point.x), milliseconds(point.y)]
                for row, curve in zip(rows, curves, strict=True)
                for point in curve.points
            ],
        ),
        legend=legend(names),
    )


def load_figures(job: Job) -> list[Figure]:
    """Latency against load of every candidate that was measured, recommended ones first."""
    limit, shared = _limit(job), shared_in(job)
    steps = _steps_by_candidate(job)
    ranks = {row.candidate_id: row for row in reversed(job.recommendations)}
    order = sorted(steps, key=lambda key: ranks[key].rank if key in ranks else len(steps) + 1)
    found = []
    for key in order:
        row = ranks.get(key)
        name = _name(job, key, shared)
        title = f"{row.rank}: {name}" if row else f"not recommended: {name}"
        every, own = [s for t in _of(job, key) for s in t.steps], steps[key]
        found.append(
            Figure(
                title=title,
                chart=drawing(
                    lines(
                        f"Latency against load of {name}",
                        LOAD,
                        _latency_axis(),
                        [Series(0, _points(own)), Series(1, _medians(own), dashed=True)],
                        limit=limit.latency_ms,
                        at=None
                        if row is None
                        else (row.max_invocations_per_min, row.max_invocations_per_min_ci),
                    )
                ),
                table=_step_table(every, limit),
                legend=legend([f"{limit.percentile} with its 95 % interval", "P50, dashed"]),
                note="" if row is None else _note(own, every),
            )
        )
    return found


def _note(drawn: Sequence[StepFigures], steps: Sequence[StepFigures]) -> str:
    said = "The vertical line is the maximum of one instance; shaded its 95 % interval."
    if {step.mode for step in steps} == {step.mode for step in drawn}:
        return said
    return f"{said} Drawn are {drawn[0].mode} steps; the figures hold the others too."


def effects_figure(job: Job) -> Figure | None:
    """What each variable does to the maximum; None where nothing was swept."""
    if not job.effects:
        return None
    rows = [
        (entry.head, effect.ratio, effect.ratio_ci)
        for entry, effect in zip(effect_entries(job), job.effects, strict=True)
    ][:EFFECTS]
    more = f" The largest {EFFECTS} are drawn." if len(job.effects) > EFFECTS else ""
    return Figure(
        title="Effect of each variable on the maximum, all else equal",
        chart=drawing(
            ratios("Effects with 95 % intervals", Axis("times the maximum", factor), rows)
        ),
        table=Table(
            ["Variable", "From", "To", "Ratio of maxima", "95 % CI", "Pairs", "Verdict"],
            [
                [
                    one_line(e.variable),
                    one_line(e.baseline),
                    one_line(e.value),
                    factor(e.ratio),
                    factors(e.ratio_ci),
                    str(e.pairs),
                    e.verdict,
                ]
                for e in job.effects
            ],
        ),
        note="An interval that holds 1 leaves open whether the variable does anything." + more,
    )


def _step_table(steps: Sequence[StepFigures], limit: LimitSpec) -> Table:
    headers = ["Step", "Invocations/min", "P50", "P90", "P95", "P99", f"{limit.percentile} 95 % CI"]
    return Table(
        [*headers, "Errors", "n", "CPU", "Verdict"],
        [[s.label, *_step_cells(s), _verdict(s)] for s in _ascending(steps)],
    )


def _step_cells(step: StepFigures) -> list[str]:
    """An invalid step's figures are no results: none is shown."""
    if step.verdict == "invalid":
        return [ABSENT] * 9
    cpu = step.cpu_utilization_percent
    return [
        significant(per_min(step.achieved_per_s)),
        *(milliseconds(value) for value in (step.p50_ms, step.p90_ms, step.p95_ms, step.p99_ms)),
        interval(step.latency_ms_ci),
        fine_percent(step.error_ratio),
        str(step.n),
        ABSENT if cpu is None else f"{cpu:.0f} %",
    ]


def _verdict(step: StepFigures) -> str:
    why = ", ".join(doubt.code for doubt in step.doubts if doubt.severity == "blocks")
    return f"{step.verdict}: {why}" if why else step.verdict


def _ascending(steps: Sequence[StepFigures]) -> list[StepFigures]:
    return sorted(steps, key=lambda step: step.achieved_per_s)


def _points(steps: Sequence[StepFigures], *, with_bars: bool = True) -> list[Point]:
    return [
        Point(
            per_min(step.achieved_per_s),
            step.latency_ms,
            y_ci=step.latency_ms_ci if with_bars else None,
        )
        for step in steps
        if step.latency_ms is not None
    ]


def _medians(steps: Sequence[StepFigures]) -> list[Point]:
    return [Point(per_min(s.achieved_per_s), s.p50_ms) for s in steps if s.p50_ms is not None]


def _steps_by_candidate(job: Job) -> Mapping[str, Sequence[StepFigures]]:
    """Valid steps of all trials of each candidate measured, by load.

    Of the maximum's basis, as the two are never compared; of the other where there are no others.
    """
    own: dict[str, list[StepFigures]] = {}
    other: dict[str, list[StepFigures]] = {}
    for trial in job.trials:
        for step in trial.steps:
            if step.verdict != "invalid" and trial.figures is not None:
                kept = own if step.mode == trial.figures.basis else other
                kept.setdefault(trial.candidate.id, []).append(step)
    return {key: _ascending(steps) for key, steps in {**other, **own}.items()}


def _of(job: Job, candidate_id: str) -> list[TrialRecord]:
    return [trial for trial in job.trials if trial.candidate.id == candidate_id]


def _name(job: Job, candidate_id: str, shared: Mapping[str, str]) -> str:
    """Of all instance types that the trial stands for, without the variables that all share."""
    candidate = _of(job, candidate_id)[0].candidate
    types = " = ".join(c.instance_type for c in _of(job, candidate_id)[0].candidates)
    return one_line(label(types, differing(candidate.environment, shared), candidate.own_server))


def _limit(job: Job) -> LimitSpec:
    return LimitSpec.model_validate(job.spec.get("limit", {}))


def _latency_axis() -> Axis:
    return Axis("latency, ms", may_be_log=True, from_zero=True)
