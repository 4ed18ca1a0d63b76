"""How often the 95% intervals hold on simulated servers whose true figures are known.

One table for latency under open traffic, one for throughput under closed. given: the share of
windows that have an interval; holds: the share of those that contain the truth; wrong: the share
of all windows with one that does not; width: the median over the truth. RIGHTSIZER_SEEDS windows
are simulated for each row (300: about a minute).
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
from queues import LAWS, Random, closed_loop, open_queue, true_percentile_ms
from rightsizer.analysis.intervals import percentile_interval, throughput_interval

Found = tuple[float, float] | None

P = 0.95
TRUTH_REQUESTS = 4_000_000
BUSY = (0.62, 0.80)
OPEN_WINDOWS_S = {0.005: (10.0, 20.0, 50.0, 300.0), 0.070: (60.0, 300.0, 900.0)}
"""By mean service time in s."""

CLOSED_SERVICE_S = 0.070
CLOSED_WINDOWS_S = (12.0, 60.0)
LOOPS = ((1, False), (3, False), (3, True), (8, False), (8, True))
"""Users, and whether the server shares itself among them."""

HEADER = f"{'given':>8}{'holds':>8}{'wrong':>8}{'width':>8}"


def row(label: str, seeds: int, truth: float, once: Callable[[Random], Found]) -> None:
    """Simulate and print one row of a table."""
    given = [found for seed in range(seeds) if (found := once(np.random.default_rng(seed)))]
    print(f"{label}{len(given) / seeds:8.0%}", end="")
    if given:
        right = sum(low <= truth <= high for low, high in given)
        width = statistics.median((high - low) / truth for low, high in given)
        wrong = (len(given) - right) / seeds
        print(f"{right / len(given):8.1%}{wrong:8.1%}{width:8.1%}", end="")
    print(flush=True)


def latency(law: str, busy: float, service_s: float, window_s: float, rng: Random) -> Found:
    """The interval for the latency percentile of one open window."""
    return percentile_interval(*open_queue(rng, law, busy, service_s, window_s), P)


def rate(law: str, users: int, window_s: float, shared: bool, rng: Random) -> Found:
    """The interval for the throughput of one closed window."""
    ends = closed_loop(rng, law, users, CLOSED_SERVICE_S, window_s, shared=shared)
    return throughput_interval(ends, users)


def open_table(seeds: int) -> None:
    """P95 under Poisson arrivals."""
    print(f"{'P95, open':<13}{'busy':>5}{'service':>9}{'window':>8}", end="")
    print(HEADER)
    for law, busy in product(LAWS, BUSY):
        unit_ms = true_percentile_ms(law, busy, 1.0, P, TRUTH_REQUESTS)
        for service_s, windows in OPEN_WINDOWS_S.items():
            for window_s in windows:
                label = f"{law:<13}{busy:5.0%}{service_s * 1e3:6.0f} ms{window_s:6.0f} s"
                once = partial(latency, law, busy, service_s, window_s)
                row(label, seeds, unit_ms * service_s, once)


def closed_table(seeds: int) -> None:
    """Throughput with users in a loop."""
    print(f"\n{'rate, closed':<13}{'users':>5}{'served':>10}{'window':>7}", end="")
    print(HEADER)
    for law, (users, shared), window_s in product(LAWS, LOOPS, CLOSED_WINDOWS_S):
        served = "together" if shared else "in turn"
        label = f"{law:<13}{users:5}{served:>10}{window_s:5.0f} s"
        row(label, seeds, 1 / CLOSED_SERVICE_S, partial(rate, law, users, window_s, shared))


if __name__ == "__main__":
    number = int(os.environ.get("RIGHTSIZER_SEEDS", "300"))
    open_table(number)
    closed_table(number)
