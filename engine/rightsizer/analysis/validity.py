"""Whether a step measured the server, from facts: what the generator, its machine and the samples
themselves say. A doubt that blocks makes the step invalid; it then defines no maximum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rightsizer.analysis.figures import Doubt, Severity, StepFigures
from rightsizer.analysis.intervals import correlation_time
from rightsizer.traffic.base import Health
from rightsizer.units import milliseconds, percent, significant

Floats = npt.NDArray[np.float64]

GENERATOR = "give the generator a CPU of its own, or drive fewer requests a second"
HOST = "repeat it when the machine is quiet"


@dataclass(frozen=True)
class Check:
    """A figure of `Health` with the values from which it weakens and blocks."""

    code: str
    value: Callable[[Health], float | None]
    weakens: float
    blocks: float
    says: Callable[[float], str]
    next_step: str


CHECKS = (
    Check(
        "generator-starved",
        lambda health: health.run_delay_ratio,
        0.05,
        0.2,
        lambda x: f"the generator waited for a CPU {percent(x)} of the time",
        GENERATOR,
    ),
    Check(
        "generator-paused",
        lambda health: health.gc_pause_ratio,
        0.01,
        0.1,
        lambda x: f"the generator collected garbage {percent(x)} of the time",
        "drive smaller replies or fewer requests a second",
    ),
    Check(
        "clock-gap",
        lambda health: health.clock_gap_s,
        0.01,
        0.1,
        lambda x: f"the machine was suspended for {significant(x)} s",
        "repeat it without suspending the machine",
    ),
    Check(
        "noisy-host",
        lambda health: health.host_steal_ratio,
        0.02,
        0.2,
        lambda x: f"the hypervisor took {percent(x)} of the machine's CPU time",
        HOST,
    ),
)
SLIP_WEAKENS_MS, SLIP_BLOCKS_MS = 2.0, 10.0
SLIP_WEAKENS_RATIO, SLIP_BLOCKS_RATIO = 0.05, 0.25
"""Of the latency at the limit's percentile: a slip matters by what it adds to that."""
LITTLE_RATIO = 0.95
COUNT_DEVIATES = 5.0
DRIFT_DEVIATES = 4.0
FEWEST_FOR_DRIFT = 300


VOIDED_BY = frozenset(
    {
        "generator-starved",
        "generator-paused",
        "clock-gap",
        "noisy-host",
        "schedule-slip",
        "off-schedule",
    }
)
"""Doubts that speak of the machine in that moment: another try may not meet them."""


def is_void(step: StepFigures) -> bool:
    """Whether the machine alone spoilt the step, so that another try may well succeed."""
    blocking = {doubt.code for doubt in step.doubts if doubt.severity == "blocks"}
    return bool(blocking) and blocking <= VOIDED_BY


def health_doubts(health: Health) -> list[Doubt]:
    """What the generator and its machine say of themselves."""
    found = []
    for check in CHECKS:
        value = check.value(health)
        if value is not None and value > check.weakens:
            severity: Severity = "blocks" if value > check.blocks else "weakens"
            figures = {"value": value, "allowed": check.weakens}
            found.append(Doubt(check.code, severity, check.says(value), check.next_step, figures))
    if health.lost_workers:
        lost = f"{health.lost_workers} of the generator's processes ended in the step"
        found.append(Doubt("worker-lost", "blocks", lost, "repeat it"))
    return found


def slip_doubts(slip_ms: Floats, latency_ms: float | None) -> list[Doubt]:
    """Open: how late requests went out, shape (n,), beside the latency that was measured.

    A slip is in the latency, which counts from the intended start: the server did not cause it.
    """
    if not len(slip_ms) or latency_ms is None:
        return []
    p99 = float(np.quantile(slip_ms, 0.99, method="inverted_cdf"))
    if p99 <= max(SLIP_WEAKENS_MS, SLIP_WEAKENS_RATIO * latency_ms):
        return []
    blocks = p99 > max(SLIP_BLOCKS_MS, SLIP_BLOCKS_RATIO * latency_ms)
    message = f"one request in a hundred left {milliseconds(p99)} late or more"
    figures = {"slip_p99_ms": p99, "latency_ms": latency_ms}
    severity: Severity = "blocks" if blocks else "weakens"
    return [Doubt("schedule-slip", severity, message, GENERATOR, figures)]


def count_doubts(sent: int, rate_per_s: float, window_s: float) -> list[Doubt]:
    """Open: arrivals of the window, sent or dropped, against those that the rate means."""
    expected = rate_per_s * window_s
    if abs(sent - expected) <= COUNT_DEVIATES * math.sqrt(max(expected, 1.0)) + 1:
        return []
    message = f"{sent} arrivals where the rate means about {expected:.0f}"
    figures = {"arrivals": float(sent), "expected": expected}
    return [Doubt("off-schedule", "blocks", message, GENERATOR, figures)]


def little_doubts(latency_ms: Floats, users: int, window_s: float) -> list[Doubt]:
    """Closed: by Little's law the users' time is the requests' time; what is missing is ours."""
    if not len(latency_ms) or window_s <= 0:
        return []
    share = float(latency_ms.sum()) / 1e3 / (users * window_s)
    # A window's edges cut through requests: one at each end for every user.
    slack = 2 * users / len(latency_ms)
    if share >= LITTLE_RATIO - slack:
        return []
    message = f"users spent {percent(1 - share)} of their time in the generator, not in requests"
    figures = {"in_requests_ratio": share}
    return [Doubt("generator-overhead", "weakens", message, GENERATOR, figures)]


def drift_doubts(latency_ms: Floats) -> list[Doubt]:
    """Whether latencies, shape (n,), by start, differ between the window's first and last third.

    By the share above the window's median, with as many independent requests as their correlation
    leaves (a comparison of two proportions).
    """
    n = len(latency_ms)
    if n < FEWEST_FOR_DRIFT:
        return []
    above = (latency_ms > np.median(latency_ms)).astype(np.float64)
    first, last = float(above[: n // 3].mean()), float(above[-(n // 3) :].mean())
    independent = n / 3 / correlation_time(above)
    deviates = (last - first) / math.sqrt(2 * 0.25 / independent)
    if abs(deviates) < DRIFT_DEVIATES:
        return []
    way = "rose" if last > first else "fell"
    message = f"no steady state: latency {way} from the window's first third to its last"
    figures = {"above_median_first": first, "above_median_last": last, "deviates": deviates}
    next_step = "make the steps longer, or look for a leak, throttling or a cache that fills"
    return [Doubt("no-steady-state", "weakens", message, next_step, figures)]
