"""Several fresh starts of one candidate as one result: its finals, with the spread between starts.

A trial's interval knows what one start shows. Starts differ, so the interval of several is at least
Student's t on the log maxima of each, whose spread holds both (a one-way random effects model:
Montgomery, Design and Analysis of Experiments, ch. 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev

from rightsizer.analysis import doubts
from rightsizer.analysis.figures import Doubt, Interval, StepFigures, TrialFigures
from rightsizer.analysis.intervals import t_quantile
from rightsizer.analysis.maximum import open_maximum
from rightsizer.analysis.percentiles import PERCENTILES
from rightsizer.analysis.queue_model import QueueModel
from rightsizer.spec import LimitSpec
from rightsizer.units import per_min

OF_THE_SETTING = frozenset(
    {
        "stand-in",
        "emulated",
        "relaxed-container",
        "far-host",
        "not-pinned",
        "co-located",
        "shared-core",
        "closed-basis",
        "server-elsewhere",
        "loopback",
        "content-refused",
    }
)
"""Doubts that one start has as much as all of them."""
OF_ONE_STEP = frozenset({"too-few-samples", "too-few-effective-samples"})


@dataclass(frozen=True)
class Start:
    """One final: its judged steps, its own figures, and its log maximum per second."""

    steps: Sequence[StepFigures]
    figures: TrialFigures
    log_maximum: float


def figures_of_starts(
    starts: Sequence[Start],
    scouted: Sequence[StepFigures],
    limit: LimitSpec,
    queue: QueueModel | None,
) -> TrialFigures:
    """The figures of two or more finals together.

    The maximum is what a fit of all their steps shows, where it shows one, else the mean of the log
    maxima; its interval is the wider of the fit's and that of the starts. The closed steps of the
    `scouted` tell capacity and unloaded latency, of which the `queue` was made, and are none of the
    measured ones.
    """
    last = starts[-1].figures
    logs = [start.log_maximum for start in starts]
    rate, low, high = _fitted(starts, scouted, limit, queue) or (math.exp(fmean(logs)),) * 3
    half = t_quantile(len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    loaded = [step for start in starts for step in start.steps if _is_loaded(step, start)]
    latencies = [step.latency_ms for step in loaded if step.latency_ms]
    return replace(
        last,
        queue=queue,
        max_invocations_per_min=per_min(rate),
        max_invocations_per_min_ci=(
            per_min(min(low, rate * math.exp(-half))),
            per_min(max(high, rate * math.exp(half))),
        ),
        max_kind="estimate",
        model_latency_ms=median(latencies) if latencies else None,
        model_latency_ms_ci=_log_interval(latencies),
        cpu_utilization_percent=_mean([step.cpu_utilization_percent for step in loaded]),
        memory_utilization_percent=max(
            (s.memory_utilization_percent for s in loaded if s.memory_utilization_percent),
            default=None,
        ),
        accelerator_utilization_percent=_mean(
            [step.accelerator_utilization_percent for step in loaded]
        ),
        curve=tuple(
            sorted(
                (point for start in starts for point in start.figures.curve),
                key=lambda point: point.rate_per_s,
            )
        ),
        limit_detail="",
        doubts=_doubts(starts, loaded, limit),
    )


def _fitted(
    starts: Sequence[Start],
    scouted: Sequence[StepFigures],
    limit: LimitSpec,
    queue: QueueModel | None,
) -> tuple[float, float, float] | None:
    """(rate, low, high) per second from all open steps together; None where they show none."""
    closed = [step for step in scouted if step.mode == "closed"]
    opened = [step for start in starts for step in start.steps if step.mode == "open"]
    maximum, _ = open_maximum([*closed, *opened], limit, queue) if opened else (None, [])
    if maximum is None or maximum.kind != "estimate" or maximum.ci_per_s is None:
        return None
    low, high = maximum.ci_per_s
    rate = maximum.rate_per_s
    return rate, rate if low is None else low, rate if high is None else high


def _is_loaded(step: StepFigures, start: Start) -> bool:
    """Whether the step is at the maximum, not the warm-up before it."""
    if step.verdict == "invalid":
        return False
    if start.figures.basis == "open":
        return step.mode == "open"
    return step.achieved_per_s >= 0.95 * math.exp(start.log_maximum)


def _doubts(
    starts: Sequence[Start], loaded: Sequence[StepFigures], limit: LimitSpec
) -> tuple[Doubt, ...]:
    """Those of the setting, then each code that any step raised, once."""
    found = {d.code: d for d in starts[-1].figures.doubts if d.code in OF_THE_SETTING}
    for step in loaded:
        for doubt in step.doubts:
            if doubt.code not in OF_ONE_STEP:
                found.setdefault(doubt.code, doubt)
    samples = doubts.sample_doubts(sum(s.n for s in loaded), PERCENTILES[limit.percentile])
    longest_s = max((step.window_s for step in loaded), default=0.0)
    soak = [doubts.not_soaked(longest_s)] if starts[-1].figures.basis == "open" else []
    return (*samples, *soak, *found.values())


def _log_interval(values: Sequence[float]) -> Interval | None:
    if len(values) < 2:
        return None
    logs = [math.log(value) for value in values]
    half = t_quantile(len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    return math.exp(fmean(logs) - half), math.exp(fmean(logs) + half)


def _mean(values: Sequence[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return fmean(told) if told else None
