"""A measurement of an endpoint as a result: what `rightsizer.measure` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rightsizer.analysis import doubts
from rightsizer.analysis.figures import (
    Basis,
    Doubt,
    Interval,
    MaxKind,
    Requests,
    StepFigures,
)
from rightsizer.analysis.trial import basis_of
from rightsizer.errors import ExitCode
from rightsizer.fleets import Fleet, Price, count_doubts, fleet_of
from rightsizer.spec import JobSpec, LimitSpec, TargetSpec
from rightsizer.trials import TrialRecord
from rightsizer.units import per_min
from rightsizer.verdicts import Verdict, measurement_doubts, verdict_of

_EXIT_CODES: Mapping[str, ExitCode] = {
    "valid": ExitCode.OK,
    "limit-unmet": ExitCode.LIMIT_UNMET,
}
_UNPRICED = Price(None, "")
_AT_ONE_LOAD = ("users", "rate")
"""Traffic at a load that the user gave: it finds no maximum."""


@dataclass(frozen=True)
class Measured:
    """One measurement of an endpoint. Plain values; names are those of the JSON document."""

    url: str
    traffic: str
    """search | saturate | users | rate"""
    verdict: Verdict
    basis: Basis
    max_invocations_per_min: float | None
    """None unless the verdict is `valid`, and of `users` and `rate` traffic."""
    max_invocations_per_min_ci: Interval | None
    max_kind: MaxKind | None
    invocations_per_min: float | None
    """Of `users` and `rate`: what was completed, whatever the verdict. Else that of the fastest
    step within the limits, None unless the verdict is `valid`."""
    percentile: str
    latency_ms: float | None
    """At the percentile: of the given load, or at the maximum."""
    latency_ms_ci: Interval | None
    unloaded_latency_ms: float | None
    limit: LimitSpec
    target: TargetSpec | None
    fleet: Fleet | None
    """With a target and a maximum; without costs, for an endpoint has no price."""
    requests: Requests
    steps: tuple[StepFigures, ...]
    doubts: tuple[Doubt, ...]
    samples: str
    """The folder of the raw samples."""
    wall_s: float
    fault: str = ""
    """What on this machine kept it from being measured; empty mostly."""

    @property
    def finds_maximum(self) -> bool:
        """Whether its traffic is such as finds a maximum."""
        return self.traffic not in _AT_ONE_LOAD

    @property
    def exit_code(self) -> ExitCode:
        """What `rightsizer measure` ends with for this result."""
        if self.fault:
            return ExitCode.ENVIRONMENT
        return _EXIT_CODES.get(self.verdict, ExitCode.NO_VALID_MEASUREMENT)

    def document(self) -> dict[str, Any]:
        """The JSON document `rightsizer/measurement/1`, numbers unrounded."""
        from rightsizer.report.measurement_document import measurement_document

        return measurement_document(self)


def measured(
    record: TrialRecord,
    spec: JobSpec,
    *,
    url: str,
    samples: str,
    wall_s: float,
    further: tuple[Doubt, ...] = (),
) -> Measured:
    """The result of a judged trial of an endpoint; `further` doubts come after the trial's own."""
    figures, traffic = record.figures, spec.traffic.type
    finds_maximum = traffic not in _AT_ONE_LOAD
    verdict = verdict_of(record, has_maximum=finds_maximum)
    found = measurement_doubts(record, verdict, spec.limit, has_maximum=finds_maximum)
    result = Measured(
        url=url,
        traffic=traffic,
        verdict=verdict,
        basis=basis_of(spec.traffic, spec.limit),
        max_invocations_per_min=None,
        max_invocations_per_min_ci=None,
        max_kind=None,
        invocations_per_min=None,
        percentile=spec.limit.percentile,
        latency_ms=None,
        latency_ms_ci=None,
        unloaded_latency_ms=_unloaded_ms(record),
        limit=spec.limit,
        target=spec.target,
        fleet=None,
        requests=record.requests,
        steps=tuple(map(_without_unfounded_interval, record.steps)),
        doubts=(*found, *further),
        samples=samples,
        wall_s=wall_s,
    )
    if not finds_maximum:
        return _at_one_load(result)
    if verdict != "valid" or figures is None:
        return result
    within = [step.achieved_per_s for step in record.steps if step.is_within]
    result = replace(
        result,
        max_invocations_per_min=figures.max_invocations_per_min,
        max_invocations_per_min_ci=figures.max_invocations_per_min_ci,
        max_kind=figures.max_kind,
        invocations_per_min=per_min(max(within)) if within else None,
        latency_ms=figures.model_latency_ms,
        latency_ms_ci=figures.model_latency_ms_ci,
    )
    return _with_fleet(result)


def _at_one_load(result: Measured) -> Measured:
    """What was completed at the load given; given always, as it describes the traffic sent."""
    if result.target is not None:
        result = replace(result, doubts=(*result.doubts, _no_fleet(result.traffic)))
    if not result.steps:
        return replace(result, invocations_per_min=0.0)
    step = result.steps[-1]
    return replace(
        result,
        invocations_per_min=per_min(step.achieved_per_s),
        latency_ms=step.latency_ms,
        latency_ms_ci=step.latency_ms_ci if result.verdict == "valid" else None,
    )


def _with_fleet(result: Measured) -> Measured:
    maximum, ci, target = (
        result.max_invocations_per_min,
        result.max_invocations_per_min_ci,
        result.target,
    )
    if target is None or not maximum:
        return result
    uncertain = [
        replace(doubt, next_step="give a longer --budget-s, or plan for the higher count")
        for doubt in count_doubts(maximum, ci, target)
    ]
    fleet = fleet_of(maximum, ci, _UNPRICED, target)
    return replace(result, fleet=fleet, doubts=(*uncertain, *result.doubts))


def _without_unfounded_interval(step: StepFigures) -> StepFigures:
    if step.verdict != "invalid":
        return step
    return replace(step, latency_ms_ci=None, achieved_per_s_ci=None)


def _unloaded_ms(record: TrialRecord) -> float | None:
    if record.figures is not None:
        return record.figures.unloaded_latency_ms
    return max(record.measurement.probe_latency_ms.values(), default=None)


def no_limit() -> Doubt:
    """The default traffic without a latency limit."""
    return Doubt(
        "no-limit",
        "note",
        "no latency limit was given: the maximum is the throughput at saturation, where requests "
        "queue",
        "give --limit-ms to find the rate within a limit",
    )


def _no_fleet(traffic: str) -> Doubt:
    return Doubt(
        "no-fleet",
        "note",
        f"{traffic} traffic finds no maximum, so no fleet can be sized",
        "use --traffic search or saturate with --target",
    )


def shared_machine() -> Doubt:
    """The endpoint is on this machine, and nothing keeps it and the generator apart."""
    return replace(
        doubts.co_located(),
        severity="note",
        message="endpoint and generator are on one machine and may use the same CPUs",
        next_step="start both under taskset on CPUs of their own, or measure from another machine",
    )
