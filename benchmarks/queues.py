"""Simulated servers whose true figures are known, to test intervals on. Seeded by the caller.

Service times are multiples of a mean; times out are integer nanoseconds, as samples have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Instants = npt.NDArray[np.int64]
Random = np.random.Generator
Law = Callable[[Random, int], Floats]

PAYLOAD_CLASSES_MS = np.array([60.0, 61.0, 66.0, 97.0])
"""A ResNet-like mix: four payloads, drawn uniformly."""


def _exponential(rng: Random, n: int) -> Floats:
    return rng.exponential(1.0, n)


def _fixed(rng: Random, n: int) -> Floats:
    # A thousandth of noise: no server repeats a time to the nanosecond.
    return 1.0 + 0.001 * rng.standard_normal(n)


def _lognormal(rng: Random, n: int) -> Floats:
    return rng.lognormal(-0.5, 1.0, n)


def _payloads(rng: Random, n: int) -> Floats:
    classes = PAYLOAD_CLASSES_MS / PAYLOAD_CLASSES_MS.mean()
    drawn: Floats = classes[rng.integers(len(classes), size=n)]
    return drawn * (1.0 + 0.02 * rng.standard_normal(n))


LAWS: Mapping[str, Law] = {
    "exponential": _exponential,
    "fixed": _fixed,
    "lognormal": _lognormal,
    "payloads": _payloads,
}
"""Laws of service times of mean 1; lognormal has sigma 1."""


def sojourns(arrivals: Floats, service: Floats) -> Floats:
    """Times in a queue with one server, first come first served.

    Lindley's recursion, unrolled: each departure is the work done so far plus the longest idle
    time that preceded it, a running maximum.
    """
    work = np.cumsum(service)
    idle: Floats = np.maximum.accumulate(arrivals - (work - service))
    return work + idle - arrivals


def open_queue(
    rng: Random, law: str, busy: float, service_s: float, window_s: float
) -> tuple[Instants, Floats]:
    """Poisson arrivals at one server that is `busy` (0..1): one steady window.

    Returns:
        Starts in ns, and latencies in ms, in the order of arrival.
    """
    # From an empty queue through a hundred relaxation times of a nearly full one.
    warmup_s = 100 * service_s / (1 - busy) ** 2
    expected = (warmup_s + window_s) * busy / service_s
    n = math.ceil(expected + 6 * math.sqrt(expected) + 20)
    arrivals = np.cumsum(rng.exponential(service_s / busy, n))
    latency = sojourns(arrivals, service_s * LAWS[law](rng, n))
    inside = (arrivals >= warmup_s) & (arrivals < warmup_s + window_s)
    return np.rint(arrivals[inside] * 1e9).astype(np.int64), latency[inside] * 1e3


def true_percentile_ms(law: str, busy: float, service_s: float, p: float, n: int) -> float:
    """The latency percentile of an `open_queue` for ever: exact for exponential service.

    Otherwise from one run of about `n` requests, which should be far longer than any window.
    """
    if law == "exponential":
        return -math.log(1 - p) * service_s / (1 - busy) * 1e3
    _, latency = open_queue(np.random.default_rng(99), law, busy, service_s, n * service_s / busy)
    at = math.ceil(p * len(latency)) - 1
    return float(np.partition(latency, at)[at])


def closed_loop(
    rng: Random, law: str, users: int, service_s: float, window_s: float, *, shared: bool = False
) -> Instants:
    """Completions in ns of users in a loop without think time, at one server that is never idle.

    One request at a time, or `shared` equally among all (processor sharing: as if each user had a
    server alone, slower by the number of users). Either way 1 / `service_s` a second in the long
    run.
    """
    own = users if shared else 1
    warmup_s = 20 * users * service_s
    expected = (warmup_s + window_s) / (own * service_s)
    n = math.ceil(1.3 * expected + 10 * math.sqrt(expected) + 20)
    times = own * service_s * LAWS[law](rng, n * own).reshape(own, n)
    ends = np.sort(np.cumsum(times, axis=1), axis=None)
    inside = (ends >= warmup_s) & (ends < warmup_s + window_s)
    return np.rint(ends[inside] * 1e9).astype(np.int64)
