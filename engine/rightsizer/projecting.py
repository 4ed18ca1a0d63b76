"""Maxima at another limit, read off the latency that was measured at each load. Pure.

Nothing is extrapolated: a limit that no measured latency lies on both sides of is not covered. In
between, latency is made to rise with the load (pool adjacent violators: Barlow and others,
Statistical Inference under Order Restrictions, 1972) and interpolated on logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from rightsizer.analysis import doubts
from rightsizer.analysis.figures import Basis, Interval, StepFigures, TrialFigures
from rightsizer.analysis.maximum import is_flat, is_set_by_errors
from rightsizer.spec import LimitSpec
from rightsizer.units import milliseconds, per_min, per_s


@dataclass(frozen=True)
class NotCovered:
    """Why a candidate's stored figures do not tell its maximum at another limit."""

    why: str
    basis: Basis
    seen_ms: tuple[float, float] | None = None
    """The lowest and the highest latency that was measured; None where no step was."""


@dataclass(frozen=True)
class _Load:
    """Steps at about one load: rate and latency as logarithms, and how many requests say so."""

    log_rate: float
    log_latency: float
    weight: float


def at_limit(
    figures: TrialFigures, steps: Sequence[StepFigures], own: LimitSpec, limit: LimitSpec
) -> TrialFigures | NotCovered:
    """What a candidate's steps say of its maximum at `limit`.

    Args:
        figures: as measured; its interval's width is taken over.
        steps: all judged steps of the candidate, in any order.
        own: the job's limit, which the figures belong to.
        limit: with a latency.
    """
    assert limit.latency_ms is not None
    sound = [
        step
        for step in steps
        if step.mode == figures.basis
        and step.verdict != "invalid"
        and step.error_ratio <= limit.max_error_ratio
        and _latency_ms(step, limit.percentile)
    ]
    if not sound:
        return NotCovered(f"no step of its {figures.basis} traffic was measured", figures.basis)
    if figures.basis == "closed":
        return _closed(figures, sound, limit)
    return _open(figures, sound, own, limit)


def _open(
    figures: TrialFigures, steps: Sequence[StepFigures], own: LimitSpec, limit: LimitSpec
) -> TrialFigures | NotCovered:
    measured = [_load(step, limit.percentile) for step in steps]
    # A lower bound, a cliff and a maximum that errors set say nothing of the latency there.
    is_of_latency = figures.max_kind == "estimate" and not is_set_by_errors(steps, own)
    same = own.percentile == limit.percentile and is_of_latency
    if same and own.latency_ms and figures.max_invocations_per_min:
        # All steps together say where the job's own limit is met, better than any one of them.
        log_rate = math.log(per_s(figures.max_invocations_per_min))
        weight = sum(load.weight for load in measured)
        measured.append(_Load(log_rate, math.log(own.latency_ms), weight))
    loads = _rising(measured)
    wanted = math.log(limit.latency_ms or 0.0)
    if not loads[0].log_latency <= wanted <= loads[-1].log_latency:
        return _outside(loads[0].log_latency, loads[-1].log_latency, "open", limit)
    above = next(i for i, load in enumerate(loads) if load.log_latency >= wanted)
    low, high = loads[max(0, above - 1)], loads[above]
    rise = high.log_latency - low.log_latency
    share = (wanted - low.log_latency) / rise if rise > 0 else 1.0
    log_rate = low.log_rate + share * (high.log_rate - low.log_rate)
    return _projected(figures, log_rate, (high.log_rate - low.log_rate) / 2, limit)


def _closed(
    figures: TrialFigures, steps: Sequence[StepFigures], limit: LimitSpec
) -> TrialFigures | NotCovered:
    levels = [_level(steps, users) for users in sorted({step.users or 0 for step in steps})]
    latencies = {
        step.users: median([_latency_ms(one, limit.percentile) or 0.0 for one in of_level])
        for step, of_level in levels
    }
    limit_ms = limit.latency_ms or 0.0
    within = [step for step, _ in levels if latencies[step.users] <= limit_ms]
    flat = is_flat({step.users or 0: step.achieved_per_s for step, _ in levels})
    if not within or (len(within) == len(levels) and not flat):
        low, high = math.log(min(latencies.values())), math.log(max(latencies.values()))
        return _outside(low, high, "closed", limit)
    best = max(within, key=lambda step: step.achieved_per_s)
    projected = _projected(figures, math.log(best.achieved_per_s), 0.0, limit)
    return replace(
        projected,
        max_invocations_per_min_ci=_per_min(best.achieved_per_s_ci),
        model_latency_ms=latencies[best.users],
        cpu_utilization_percent=best.cpu_utilization_percent,
        memory_utilization_percent=best.memory_utilization_percent,
        accelerator_utilization_percent=best.accelerator_utilization_percent,
    )


def _level(steps: Sequence[StepFigures], users: int) -> tuple[StepFigures, Sequence[StepFigures]]:
    """The step of middling throughput among those with so many users, and all of these: starts of
    one level are one point."""
    of_level = sorted((s for s in steps if (s.users or 0) == users), key=lambda s: s.achieved_per_s)
    return of_level[(len(of_level) - 1) // 2], of_level


def _projected(
    figures: TrialFigures, log_rate: float, half_gap: float, limit: LimitSpec
) -> TrialFigures:
    """The interval is as wide as that of the measured maximum and the gap between the loads."""
    rate = math.exp(log_rate)
    ci = figures.max_invocations_per_min_ci
    interval: Interval | None = None
    if ci is not None and ci[0] and ci[1]:
        half = math.hypot(math.log(ci[1] / ci[0]) / 2, half_gap)
        interval = (per_min(rate * math.exp(-half)), per_min(rate * math.exp(half)))
    return replace(
        figures,
        max_invocations_per_min=per_min(rate),
        max_invocations_per_min_ci=interval,
        max_kind="estimate",
        percentile=limit.percentile,
        model_latency_ms=limit.latency_ms,
        model_latency_ms_ci=None,
        # Of the old maximum: at another rate they are not known.
        cpu_utilization_percent=None,
        accelerator_utilization_percent=None,
        limit_detail="",
        queue=None,
        doubts=(doubts.interpolated(limit.percentile, limit.latency_ms or 0.0), *figures.doubts),
    )


def covered_by_none(refused: Sequence[NotCovered], limit: LimitSpec) -> str:
    """Why no candidate tells, with the latencies that they cover together, gaps left out."""
    covered: list[tuple[float, float]] = []
    for low, high in sorted(one.seen_ms for one in refused if one.seen_ms is not None):
        if covered and low <= covered[-1][1]:
            before = covered.pop()
            low, high = before[0], max(before[1], high)
        covered.append((low, high))
    return _why_outside(covered, refused[0].basis, limit) if covered else refused[0].why


def _outside(log_low: float, log_high: float, basis: Basis, limit: LimitSpec) -> NotCovered:
    seen_ms = math.exp(log_low), math.exp(log_high)
    return NotCovered(_why_outside([seen_ms], basis, limit), basis, seen_ms)


def _why_outside(seen: Sequence[tuple[float, float]], basis: Basis, limit: LimitSpec) -> str:
    ranges = ", ".join(f"{milliseconds(low)} to {milliseconds(high)}" for low, high in seen)
    return (
        f"{limit.percentile} {milliseconds(limit.latency_ms)} lies outside the {basis} latencies "
        f"that were measured, {ranges}"
    )


def _rising(loads: Sequence[_Load]) -> list[_Load]:
    """The same loads, slowest first, neighbours pooled until latency nowhere falls."""
    pooled: list[_Load] = []
    for load in sorted(loads, key=lambda load: load.log_rate):
        pooled.append(load)
        while len(pooled) > 1 and pooled[-2].log_latency > pooled[-1].log_latency:
            last, before = pooled.pop(), pooled.pop()
            weight = last.weight + before.weight
            pooled.append(
                _Load(
                    (last.log_rate * last.weight + before.log_rate * before.weight) / weight,
                    (last.log_latency * last.weight + before.log_latency * before.weight) / weight,
                    weight,
                )
            )
    return pooled


def _load(step: StepFigures, percentile: str) -> _Load:
    latency_ms = _latency_ms(step, percentile)
    rate = step.rate_per_s or step.achieved_per_s
    assert latency_ms
    return _Load(math.log(rate), math.log(latency_ms), max(1.0, float(step.n)))


def _latency_ms(step: StepFigures, percentile: str) -> float | None:
    by_name = {"P50": step.p50_ms, "P90": step.p90_ms, "P95": step.p95_ms, "P99": step.p99_ms}
    return by_name[percentile]


def _per_min(ci: Interval | None) -> Interval | None:
    if ci is None:
        return None
    low, high = ci
    return (None if low is None else per_min(low), None if high is None else per_min(high))
