"""Queues in virtual time, for judging methods against a known truth. Pure numpy, seeded."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Law = Callable[[np.random.Generator, int], Floats]


def exponential(mean_ms: float) -> Law:
    """Service times without memory."""
    return lambda random, n: random.exponential(mean_ms, n)


def fixed(mean_ms: float) -> Law:
    """The same service time for every request."""
    return lambda random, n: np.full(n, mean_ms)


def lognormal(mean_ms: float, sigma: float = 1.0) -> Law:
    """A long tail."""
    mu = np.log(mean_ms) - sigma**2 / 2
    return lambda random, n: random.lognormal(mu, sigma, n)


def four_classes(mean_ms: float) -> Law:
    """Four payloads drawn uniformly, costing as 60, 61, 66 and 97 do, with one percent of noise."""
    costs = np.array([60.0, 61.0, 66.0, 97.0]) * mean_ms / 71.0
    return lambda random, n: costs[random.integers(0, 4, n)] * random.normal(1.0, 0.01, n)


def open_queue(
    random: np.random.Generator, law: Law, mean_ms: float, busy: float, length_s: float
) -> tuple[Floats, Floats]:
    """(arrival ns, latency ms) of a single server under Poisson arrivals, warmed up (Lindley)."""
    warmup = int(200 / (1 - busy) ** 2)
    n = warmup + int(length_s * 1000 / mean_ms * busy)
    gaps, service = random.exponential(mean_ms / busy, n), law(random, n)
    walk = np.concatenate([[0.0], np.cumsum(service[:-1] - gaps[1:])])
    latency = walk - np.minimum.accumulate(walk) + service
    arrivals = np.cumsum(gaps)
    return arrivals[warmup:] * 1e6, latency[warmup:]


def closed_loop(
    random: np.random.Generator, law: Law, mean_ms: float, users: int, length_s: float
) -> Floats:
    """Completion times (ns) of `users` in a loop at a single server, for about `length_s`."""
    n = int(length_s * 1000 / mean_ms)
    if users == 1:
        return np.cumsum(law(random, n)) * 1e6
    free_ms, ends = 0.0, []
    waiting = [0.0] * users
    for service in law(random, n).tolist():
        begin_ms = max(heapq.heappop(waiting), free_ms)
        free_ms = begin_ms + service
        ends.append(free_ms)
        heapq.heappush(waiting, free_ms)
    return np.array(ends) * 1e6
