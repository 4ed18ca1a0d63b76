"""Whether the generator did what the step asked of it, from the samples: doubts on the instrument.

Pure functions, one for each check. Times in ms or s as their names say, arrays of shape (n,).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rightsizer.analysis.figures import Doubt, Severity
from rightsizer.analysis.validity import GENERATOR
from rightsizer.samples import Outcome, Samples
from rightsizer.schedule import CAP_IN_FLIGHT
from rightsizer.units import counted, fine_percent, milliseconds, percent

Floats = npt.NDArray[np.float64]

LATE_WEAKENS_MS, LATE_BLOCKS_MS = 2.0, 10.0
LATE_WEAKENS_RATIO, LATE_BLOCKS_RATIO = 0.05, 0.25
"""Of the median latency: being late matters by what it adds to that. The loop of a generator on a
CPU of its own is late by under 2 ms."""
LITTLE_RATIO = 0.95
COUNT_DEVIATES = 4.0
"""One clean step in 16,000 is as far off its schedule."""
DROPS_WEAKEN_RATIO, DROPS_BLOCK_RATIO = 0.001, 0.005
"""Of the arrivals. A step that ends while the dispatcher is behind may owe a handful; five in a
thousand are half of what the error limit usually allows."""
FULL_RATIO = 0.5
"""Of the generator's cap in flight: each of several processes has its own share of that."""


def slip_doubts(slip_ms: Floats, latency_ms: float | None) -> list[Doubt]:
    """Open: how late requests went out beside the median latency.

    A slip is in the latency, which counts from the intended start: the server did not cause it.
    """
    if not len(slip_ms):
        return []
    p99 = float(np.quantile(slip_ms, 0.99, method="inverted_cdf"))
    message = f"one request in a hundred left {milliseconds(p99)} late or more"
    return _late("schedule-slip", p99, latency_ms, message, "slip_p99_ms")


def lag_doubts(lag_p99_ms: float | None, latency_ms: float | None) -> list[Doubt]:
    """How late the event loop wakes beside the median latency: replies are read as late.

    In closed traffic nothing else tells of it.
    """
    if lag_p99_ms is None:
        return []
    message = (
        f"one time in a hundred the generator's event loop woke {milliseconds(lag_p99_ms)} late"
    )
    return _late("event-loop-lag", lag_p99_ms, latency_ms, message, "lag_p99_ms")


def _late(
    code: str, late_ms: float, latency_ms: float | None, message: str, name: str
) -> list[Doubt]:
    allowed_ms = max(LATE_WEAKENS_MS, LATE_WEAKENS_RATIO * (latency_ms or 0.0))
    if latency_ms is None or late_ms <= allowed_ms:
        return []
    blocks = late_ms > max(LATE_BLOCKS_MS, LATE_BLOCKS_RATIO * latency_ms)
    figures = {name: late_ms, "allowed": allowed_ms, "latency_ms": latency_ms}
    return [Doubt(code, "blocks" if blocks else "weakens", message, GENERATOR, figures)]


def count_doubts(sent: int, rate_per_s: float, window_s: float) -> list[Doubt]:
    """Open: arrivals of the window, sent or dropped, against those that the rate means."""
    expected = rate_per_s * window_s
    allowed = COUNT_DEVIATES * math.sqrt(max(expected, 1.0)) + 1
    if abs(sent - expected) <= allowed:
        return []
    message = f"{sent} arrivals where the rate means about {expected:.0f}"
    figures = {"arrivals": float(sent), "expected": expected, "allowed": allowed}
    return [Doubt("off-schedule", "blocks", message, GENERATOR, figures)]


def little_doubts(latency_ms: Floats, users: int, window_s: float) -> list[Doubt]:
    """Closed: by Little's law the users' time is the requests' time; what is missing is ours.

    It takes away from the throughput as much as it takes of the users' time.
    """
    if not len(latency_ms) or window_s <= 0:
        return []
    share = float(latency_ms.sum()) / 1e3 / (users * window_s)
    # A window's edges cut through requests: one at each end for every user.
    allowed = LITTLE_RATIO - 2 * users / len(latency_ms)
    if share >= allowed:
        return []
    message = f"users spent {percent(1 - share)} of their time in the generator, not in requests"
    figures = {"in_requests_ratio": share, "allowed": allowed}
    return [Doubt("generator-overhead", "weakens", message, GENERATOR, figures)]


def drop_doubts(step: Samples, dropped_ns: npt.NDArray[np.int64], arrivals: int) -> list[Doubt]:
    """Open: arrivals of the window that were not sent, and whose fault that was.

    With the generator's cap in flight the server was slow, which is an error like any other; with
    few in flight the generator gave up on a schedule that it could not keep.

    Args:
        step: all samples of the step, for what was in flight.
        dropped_ns: when those of the window should have been sent that were not.
        arrivals: of the window, in all.
    """
    ratio = len(dropped_ns) / max(1, arrivals)
    if ratio <= DROPS_WEAKEN_RATIO:
        return []
    in_flight = float(np.median(_in_flight(step, dropped_ns)))
    figures = {"value": ratio, "allowed": DROPS_WEAKEN_RATIO, "in_flight": in_flight}
    what = f"{counted(len(dropped_ns), 'arrival')} ({fine_percent(ratio)}) not sent"
    if in_flight >= FULL_RATIO * CAP_IN_FLIGHT:
        message = f"{what}: {in_flight:.0f} requests were waiting for the server"
        next_step = "lower the rate: the server does not keep up with it"
        return [Doubt("server-overrun", "weakens", message, next_step, figures)]
    severity: Severity = "blocks" if ratio > DROPS_BLOCK_RATIO else "weakens"
    message = f"{what} though only {in_flight:.0f} were in flight: the generator was behind"
    return [Doubt("generator-dropped", severity, message, GENERATOR, figures)]


def _in_flight(samples: Samples, at_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Requests sent and not yet ended at each instant."""
    sent = samples[samples["outcome"] != Outcome.DROPPED]
    begun = np.searchsorted(np.sort(sent["start_ns"]), at_ns, "right")
    ended = np.searchsorted(np.sort(sent["end_ns"]), at_ns, "right")
    found: npt.NDArray[np.int64] = begun - ended
    return found
