"""What analysis finds, as values. Field names are those of the JSON documents.

Latencies in ms, rates per second unless the name says per minute, intervals at 95% (None where an
honest one cannot be had; an open end is None).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rightsizer.analysis.queue_model import QueueModel

Interval = tuple[float | None, float | None]
Basis = Literal["open", "closed"]
MaxKind = Literal["estimate", "bracket", "at_least"]
Severity = Literal["blocks", "weakens", "note"]
Verdict = Literal["within-limits", "over-latency", "over-errors", "invalid"]


@dataclass(frozen=True)
class Doubt:
    """A warning on a number, with the figures behind it and what to do."""

    code: str
    severity: Severity
    message: str
    next_step: str = ""
    figures: Mapping[str, float | str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Requests:
    """Attempts by what became of them. attempted = succeeded + failed + timed_out + unfinished."""

    attempted: int = 0
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    unfinished: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class PayloadFigures:
    """One payload's share of a window."""

    n: int
    p50_ms: float | None
    p95_ms: float | None
    above_share: float
    """Of the samples at or above the step's limit percentile, those with this payload."""


@dataclass(frozen=True)
class StepFigures:
    """One judged step: its window's figures."""

    mode: Basis
    label: str
    users: int | None
    rate_per_s: float | None
    window_s: float
    n: int
    """Attempts that started in the window."""
    achieved_per_s: float
    achieved_per_s_ci: Interval | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    latency_ms: float | None
    """At the limit's percentile."""
    latency_ms_ci: Interval | None
    error_ratio: float
    requests: Requests
    by_payload: Mapping[str, PayloadFigures]
    cpu_utilization_percent: float | None
    memory_utilization_percent: float | None
    generator_cpu_ratio: float
    verdict: Verdict
    doubts: tuple[Doubt, ...] = ()
    over_limit_ratio: float | None = None
    """Open: the share of the timed requests over the latency limit."""
    design_effect: float | None = None
    """Open: how many requests weigh as one independent one in that share."""
    warm_up_cut_s: float = 0.0
    """Cut off beyond the planned warm-up, as the latencies showed it to be; not in `window_s`."""
    accelerator_utilization_percent: float | None = None
    """0..100, the mean of the instance's accelerators; None where nobody tells."""
    runnable_threads: float | None = None
    """Mean of the server's threads that ran or waited for a CPU; None where nobody tells."""
    unloaded_ms: tuple[float, ...] = ()
    """Of a closed step of one user: its latencies, or evenly spaced quantiles of them."""

    @property
    def is_within(self) -> bool:
        """Whether the step may define a maximum."""
        return self.verdict == "within-limits"


@dataclass(frozen=True)
class Maximum:
    """The highest rate within the limits."""

    rate_per_s: float
    ci_per_s: Interval | None
    kind: MaxKind
    at: StepFigures
    """The step that stands for it: its latency, CPU and memory."""


@dataclass(frozen=True)
class CurvePoint:
    """One point of the latency curve."""

    rate_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_utilization_percent: float | None


@dataclass(frozen=True)
class TrialFigures:
    """What one trial says about its candidate."""

    basis: Basis
    max_invocations_per_min: float | None
    """None when no step was within the limits."""
    max_invocations_per_min_ci: Interval | None
    max_kind: MaxKind | None
    percentile: str
    model_latency_ms: float | None
    model_latency_ms_ci: Interval | None
    unloaded_latency_ms: float | None
    cpu_utilization_percent: float | None
    memory_utilization_percent: float | None
    curve: tuple[CurvePoint, ...]
    limit_detail: str
    """Why there is no maximum; empty when there is one."""
    doubts: tuple[Doubt, ...] = ()
    accelerator_utilization_percent: float | None = None
    queue: QueueModel | None = None
    """Of a search's closed steps, at the job's limit; None where no queue can be made of them."""
