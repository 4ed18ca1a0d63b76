"""The true maximum of a server that serves one request at a time, by a very long run of it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from rightsizer.instrument.laws import Law

REQUESTS = 1_000_000
SEED = 7
"""The same draws for every rate, so that latency rises with it."""
HALVINGS = 14


@lru_cache(maxsize=8)
def known_maximum_per_s(law: Law, service_s: float, limit_s: float, p: float) -> float:
    """The Poisson rate at which percentile `p` (0..1) of the latency is the limit.

    First come, first served. Good to 1%; the queue is Lindley's recursion, and owes nothing to what
    the search believes of servers.
    """
    random = np.random.default_rng(SEED)
    service = service_s * law(random, REQUESTS)
    instants = np.cumsum(random.exponential(1.0, REQUESTS))
    work = np.cumsum(service)

    def percentile_s(rate_per_s: float) -> float:
        arrival = instants / rate_per_s
        latency = work + np.maximum.accumulate(arrival - (work - service)) - arrival
        return float(np.quantile(latency, p))

    low, high = 0.0, 1.0 / service_s
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if percentile_s(middle) > limit_s else (middle, high)
    return (low + high) / 2
