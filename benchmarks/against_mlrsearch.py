"""The search beside MLRsearch (RFC 9971, FD.io's own package), at equal time, in virtual time.

    python benchmarks/against_mlrsearch.py [--seeds 40] [--json]

MLRsearch looks for the load at which a ratio of packets is lost; here a request over the latency
limit is a lost packet, and the goal's loss ratio what the percentile allows. It is told the range
(0.01 to 1.2 of the capacity), so it needs no probe and has the whole budget; when
that is used up its answer is the middle of the bounds it has come to. SEEDS sets the seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys

import numpy as np
from MLRsearch import (
    AbstractMeasurer,
    Config,
    MeasurementResult,
    MultipleLossRatioSearch,
    SearchGoal,
)
from rightsizer.spec import LimitSpec
from search_truth import SETTINGS, P, truth_of
from truth_servers import SERVERS
from virtual_traffic import Case, search

TRIALS = 12
"""The budget holds so many trials, each of which decides on its load. The kindest to MLRsearch of
three that were tried (12 and 1, 20 and 2, 40 and 6)."""
TRIALS_FOR_LOAD = 1
RANGE = (0.01, 1.2)
UNIT = 1e6
"""Its loads are whole numbers: millionths of the capacity."""


class BudgetUsed(Exception):
    """No time is left for another trial."""


class VirtualMeasurer(AbstractMeasurer):
    """Trials on a truth server: Poisson arrivals from an empty queue."""

    def __init__(self, name: str, service_s: float, budget_s: float, seed: int) -> None:
        self._server, self._service_s = SERVERS[name], service_s
        self._limit_s = truth_of(name, service_s).limit_s
        self._capacity = self._server.capacity / service_s
        self._left_s = budget_s
        self._random = np.random.default_rng([seed, 4])
        self._now_s = 20 * self._random.random()

    def measure(self, intended_duration: float, intended_load: float) -> MeasurementResult:
        """One trial; raises BudgetUsed when there is no time for it."""
        if intended_duration > self._left_s + 1e-9:
            raise BudgetUsed
        self._left_s -= intended_duration
        rate = intended_load / UNIT * self._capacity
        count = max(1, self._random.poisson(rate * intended_duration))
        arrivals = self._now_s + np.sort(self._random.random(count)) * intended_duration
        latency = self._server.departures(arrivals, self._service_s, self._random) - arrivals
        self._now_s += intended_duration + 0.01
        lost = int(np.count_nonzero(latency > self._limit_s))
        return MeasurementResult(intended_duration, intended_load, count, lost)


def mlrsearch(name: str, service_s: float, budget_s: float, seed: int) -> float:
    """Its log error in rate."""
    truth = truth_of(name, service_s)
    capacity = SERVERS[name].capacity / service_s
    each_s = budget_s / TRIALS
    goal = SearchGoal(
        loss_ratio=1 - P,
        exceed_ratio=0.5,
        relative_width=0.02,
        initial_trial_duration=each_s,
        final_trial_duration=each_s,
        duration_sum=TRIALS_FOR_LOAD * each_s,
        fail_fast=False,
    )
    config = Config()
    config.goals = [goal]
    config.min_load, config.max_load = (UNIT * ratio for ratio in RANGE)
    config.warmup_duration = None
    config.search_duration_max = 1e9
    machine = MultipleLossRatioSearch(config=config)
    with contextlib.suppress(BudgetUsed):
        machine.search(VirtualMeasurer(name, service_s, budget_s, seed), debug=lambda _: None)
    [target] = machine.scaling.goal_to_final_target.values()
    bounds = machine.database.get_relevant_bounds(target=target)
    found = [float(bound) / UNIT for bound in (bounds.clo, bounds.chi) if bound]
    if not found:
        found = list(RANGE)
    low, high = found[0], found[-1]  # where one is missing the other speaks for both
    return math.log(math.sqrt(low * high) * capacity / truth.rate_per_s)


def row(name: str, service_s: float, budget_s: float, seeds: int) -> dict[str, float | str]:
    """One server: the size of each one's error that 95% of its searches stay under, and medians."""
    truth = truth_of(name, service_s)
    limit = LimitSpec(percentile="P95", latency_ms=truth.limit_s * 1e3)
    theirs = np.array([mlrsearch(name, service_s, budget_s, seed) for seed in range(seeds)])
    found = [search(Case(SERVERS[name], service_s, limit, s), budget_s)[0] for s in range(seeds)]
    ours = np.array([math.log(m.rate_per_s / truth.rate_per_s) for m in found if m is not None])
    return {
        "server": name,
        "service_s": service_s,
        "budget_s": budget_s,
        "seeds": seeds,
        "answers": len(ours),
        "ours_95": float(np.quantile(np.abs(ours), 0.95)),
        "mlrsearch_95": float(np.quantile(np.abs(theirs), 0.95)),
        "ours_median": float(np.median(np.abs(ours))),
        "mlrsearch_median": float(np.median(np.abs(theirs))),
    }


def main() -> int:
    """Every server at every setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=int(os.environ.get("SEEDS", "40")))
    parser.add_argument("--json", action="store_true", help="a line of JSON for each")
    options = parser.parse_args()
    for service_s, budget_s in SETTINGS:
        for name in SERVERS:
            found = row(name, service_s, budget_s, options.seeds)
            if options.json:
                print(json.dumps(found), flush=True)
                continue
            print(
                f"{name:18} {1e3 * service_s:3.0f} ms: error {found['ours_95']:6.1%} "
                f"(median {found['ours_median']:5.1%}), MLRsearch {found['mlrsearch_95']:6.1%} "
                f"(median {found['mlrsearch_median']:5.1%})",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
