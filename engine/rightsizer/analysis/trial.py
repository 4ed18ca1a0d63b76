"""A trial's steps to its maximum, and the doubts on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rightsizer.analysis import doubts
from rightsizer.analysis.consistency import unsteady_doubts
from rightsizer.analysis.figures import (
    Basis,
    CurvePoint,
    Doubt,
    Interval,
    Maximum,
    MaxKind,
    StepFigures,
    TrialFigures,
)
from rightsizer.analysis.maximum import is_flat, levels_of, open_maximum, queue_of
from rightsizer.machines import Placement
from rightsizer.spec import LimitSpec, Traffic
from rightsizer.traffic.records import Reach
from rightsizer.units import fine_percent, milliseconds, per_min


@dataclass(frozen=True)
class Setting:
    """The circumstances of a trial, which some doubts speak of."""

    instance_type: str
    host: str
    placement: Placement
    pinned: bool
    traffic_type: str
    stopped_early: bool
    """A stop condition ended it before its plan did."""
    cut_short: bool
    """The user or the clock ended it."""
    probe_latency_ms: float | None
    reach: Reach | None = None
    """What the network to a far host adds, where it could be told."""
    url: str | None = None
    """Where a server runs that the engine did not start."""
    over_loopback: bool = True


def basis_of(traffic: Traffic, limit: LimitSpec) -> Basis:
    """The arrival process that a traffic's maximum belongs to. A search without a latency limit
    is for the saturated throughput."""
    searches = traffic.type == "search" and limit.latency_ms is not None
    return "open" if searches or traffic.type == "rate" else "closed"


def judge_trial(
    steps: Sequence[StepFigures],
    basis: Basis,
    limit: LimitSpec,
    setting: Setting,
    content_doubts: Sequence[Doubt] = (),
) -> TrialFigures:
    """The maximum by the definition of the basis, with its kind, latency and doubts.

    Closed: the highest throughput among steps within the limits. Open at a given rate: that rate's
    throughput, a lower bound. Searched: where the latency reaches its limit (`open_maximum`).
    """
    unloaded = unloaded_latency_ms(steps, setting.probe_latency_ms)
    found = list(content_doubts)
    queue = None
    if setting.traffic_type == "search" and basis == "open":
        queue = queue_of(steps, limit)
        maximum, searched = open_maximum(steps, limit, queue)
        found += searched
        found += unsteady_doubts(steps, maximum, limit)
    else:
        maximum = _best_level(steps, setting)
    best = None if maximum is None else maximum.at
    if maximum is None:
        found += _limit_doubts(steps, unloaded, limit)
    else:
        found += _maximum_doubts(maximum, basis, limit, setting)
    found += _setting_doubts(basis, setting, limit)
    return TrialFigures(
        basis=basis,
        max_invocations_per_min=None if maximum is None else per_min(maximum.rate_per_s),
        max_invocations_per_min_ci=None if maximum is None else _per_min_interval(maximum),
        max_kind=None if maximum is None else maximum.kind,
        percentile=limit.percentile,
        model_latency_ms=None if best is None else best.latency_ms,
        model_latency_ms_ci=None if best is None else best.latency_ms_ci,
        unloaded_latency_ms=unloaded,
        cpu_utilization_percent=None if best is None else best.cpu_utilization_percent,
        memory_utilization_percent=None if best is None else best.memory_utilization_percent,
        curve=_curve(steps),
        limit_detail="" if best is not None else _why_no_maximum(steps, limit, found),
        doubts=tuple(found),
        accelerator_utilization_percent=None
        if best is None
        else best.accelerator_utilization_percent,
        queue=queue,
    )


def unloaded_latency_ms(steps: Sequence[StepFigures], probed_ms: float | None) -> float | None:
    """Latency at the limit's percentile with one user, else what the probes took at the least."""
    for step in steps:
        answered = step.requests.succeeded and step.verdict in ("within-limits", "over-latency")
        if step.mode == "closed" and step.users == 1 and answered:
            return step.latency_ms
    return probed_ms


def _best_level(steps: Sequence[StepFigures], setting: Setting) -> Maximum | None:
    """The highest throughput among steps within the limits."""
    within = [step for step in steps if step.is_within and step.achieved_per_s > 0]
    best = max(within, key=lambda step: step.achieved_per_s, default=None)
    if best is None:
        return None
    kind, ci = _kind(steps, best, setting), best.achieved_per_s_ci
    if kind == "at_least" and ci is not None:
        ci = (ci[0], None)
    return Maximum(best.achieved_per_s, ci, kind, best)


def _kind(steps: Sequence[StepFigures], best: StepFigures, setting: Setting) -> MaxKind:
    if setting.traffic_type in ("users", "rate"):
        return "at_least"
    over = [step for step in steps if step.verdict in ("over-latency", "over-errors")]
    # A level below the best that failed (a cold start, say) bounds nothing from above.
    if any((step.users or 0) >= (best.users or 0) for step in over):
        return "estimate"
    if setting.stopped_early or setting.cut_short:
        return "at_least"
    return "estimate" if is_flat(levels_of(steps)) else "at_least"


def _per_min_interval(maximum: Maximum) -> Interval | None:
    if maximum.ci_per_s is None:
        return None
    low, high = maximum.ci_per_s
    return (None if low is None else per_min(low), None if high is None else per_min(high))


def _curve(steps: Sequence[StepFigures]) -> tuple[CurvePoint, ...]:
    valid = [step for step in steps if step.verdict != "invalid"]
    return tuple(
        CurvePoint(s.achieved_per_s, s.p50_ms, s.p95_ms, s.p99_ms, s.cpu_utilization_percent)
        for s in valid
    )


def _why_no_maximum(steps: Sequence[StepFigures], limit: LimitSpec, found: Sequence[Doubt]) -> str:
    short = next((doubt for doubt in found if doubt.code == "budget-too-short"), None)
    return _why_none(steps, limit) if short is None else f"{short.message}; {short.next_step}"


def _why_none(steps: Sequence[StepFigures], limit: LimitSpec) -> str:
    """The step that came nearest to holding, in words."""
    judged = [step for step in steps if step.verdict != "invalid"]
    if not judged:
        return "no step could be judged"
    slow = [step for step in judged if step.verdict == "over-latency"]
    if slow:
        best = min(slow, key=lambda step: step.latency_ms or float("inf"))
        return (
            f"{limit.percentile} {milliseconds(best.latency_ms)} at {best.label}, "
            f"over the limit of {milliseconds(limit.latency_ms)}"
        )
    wrong = [step for step in judged if step.verdict == "over-errors"]
    if not wrong:
        return "no invocation was completed in a step's measured part"
    best = min(wrong, key=lambda step: step.error_ratio)
    return (
        f"{fine_percent(best.error_ratio)} errors at {best.label}, "
        f"over the limit of {fine_percent(limit.max_error_ratio)}"
    )


def _limit_doubts(
    steps: Sequence[StepFigures], unloaded_ms: float | None, limit: LimitSpec
) -> list[Doubt]:
    if unloaded_ms is None or limit.latency_ms is None or unloaded_ms <= limit.latency_ms:
        return []
    if not any(step.verdict == "over-latency" for step in steps):
        return []  # it failed for another reason than time
    return [doubts.below_floor(unloaded_ms, limit.latency_ms)]


def _maximum_doubts(
    maximum: Maximum, basis: Basis, limit: LimitSpec, setting: Setting
) -> list[Doubt]:
    best = maximum.at
    found = list(best.doubts)
    if maximum.kind == "at_least":
        found.append(doubts.at_least(setting.stopped_early))
    # A closed level passed or did not; a searched maximum is where the latency is the limit.
    passed = basis == "closed" or setting.traffic_type != "search"
    if passed and limit.latency_ms is not None and best.latency_ms is not None:
        found += doubts.near_limit(best.latency_ms, limit.latency_ms, best.latency_ms_ci)
    if best.latency_ms_ci is None:
        found.append(doubts.no_interval(best.window_s))
    return [*found, *doubts.dominant_payload(best.by_payload, limit.percentile)]


def _setting_doubts(basis: Basis, setting: Setting, limit: LimitSpec) -> list[Doubt]:
    placement = setting.placement
    found = []
    if setting.cut_short:
        found.append(doubts.cut_short("the trial was cut short"))
    if placement.provenance == "stand-in" and setting.url is None:
        found.append(doubts.stand_in(setting.instance_type, setting.host))
    if placement.provenance == "emulated":
        found.append(doubts.emulated(setting.instance_type))
    if placement.relaxed:
        found.append(doubts.relaxed(placement.relaxed))
    if placement.far:
        found.append(doubts.far_host(setting.host, setting.reach, limit.latency_ms))
    if not setting.pinned:
        found.append(doubts.not_pinned())
    elif placement.co_located:
        found.append(doubts.co_located())
    elif placement.shared_core:
        found.append(doubts.shared_core())
    if basis == "closed":
        found.append(doubts.closed_basis())
    if setting.url is not None:
        found.append(doubts.server_elsewhere(setting.url))
    else:
        found.append(doubts.one_start())
    if setting.over_loopback and not placement.far:
        found.append(doubts.loopback())
    return found
