"""How often the intervals hold the truth, on simulated queues.

    RIGHTSIZER_SEEDS=300 python benchmarks/interval_coverage.py

An interval that is not given cannot lie: `given` is the share of windows that have one, `covers`
how many of those hold the truth, `lies` the share of all windows that have one which does not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from queues import Law, closed_loop, exponential, fixed, four_classes, lognormal, open_queue
from rightsizer.analysis.intervals import percentile_interval, throughput_interval
from rightsizer.analysis.percentiles import nearest_rank

SEEDS = int(os.environ.get("RIGHTSIZER_SEEDS", "300"))
TRUTH_S_PER_MS = 3000.0
P = 0.95

Interval = tuple[float, float] | None


def laws(mean_ms: float) -> dict[str, Law]:
    """The service time laws by name."""
    return {
        "exponential": exponential(mean_ms),
        "fixed": fixed(mean_ms),
        "lognormal": lognormal(mean_ms),
        "four classes": four_classes(mean_ms),
    }


def row(name: str, intervals: Sequence[Interval], truth: float) -> str:
    """One line of the table."""
    given = [found for found in intervals if found is not None]
    if not given:
        return f"{name}  {0:6.0%}       -      -      -"
    hits = sum(low <= truth <= high for low, high in given)
    width = float(np.median([(high - low) / truth for low, high in given]))
    lies = (len(given) - hits) / len(intervals)
    share = len(given) / len(intervals)
    return f"{name}  {share:6.0%}  {hits / len(given):6.1%}  {lies:5.1%}  {width:5.0%}"


def main() -> None:
    """Print the table."""
    print(f"{SEEDS} seeds a row\n{'':44}   given  covers   lies  width")
    for mean_ms in (5.0, 70.0):
        for name, law in laws(mean_ms).items():
            for busy in (0.62, 0.80):
                long_s = TRUTH_S_PER_MS * mean_ms
                truth = nearest_rank(
                    open_queue(np.random.default_rng(9), law, mean_ms, busy, long_s)[1], P
                )
                for length_s in (10, 20, 50, 300):
                    found = [
                        percentile_interval(
                            *open_queue(
                                np.random.default_rng([1, s]), law, mean_ms, busy, length_s
                            ),
                            P,
                        )
                        for s in range(SEEDS)
                    ]
                    what = f"open   {name:13}{mean_ms:3.0f} ms {busy:.0%} busy {length_s:4.0f} s"
                    print(row(f"{what:44}", found, truth))
            for users in (1, 3, 8):
                for length_s in (13.5, 60):
                    found = [
                        throughput_interval(
                            closed_loop(
                                np.random.default_rng([2, s]), law, mean_ms, users, length_s
                            ),
                            users,
                        )
                        for s in range(SEEDS)
                    ]
                    what = f"closed {name:13}{mean_ms:3.0f} ms {users} users {length_s:6.1f} s"
                    print(row(f"{what:44}", found, 1000 / mean_ms))


if __name__ == "__main__":
    main()
