"""How right the search is: nine servers of known maximum, in virtual time, against an oracle.

    python benchmarks/search_truth.py [--seeds 100] [--json]

The oracle spends the whole budget at the true maximum and reads the rate off its percentile by the
true slope: the floor of any method that knows nothing of the server. For each server: the median
error (bias), the 95th percentile of the error's size and the interval's median width, each beside
the oracle's, and how often the interval holds the truth. SEEDS in the environment sets the seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from rightsizer.spec import LimitSpec
from truth_servers import SERVERS, Server
from virtual_traffic import Case, search

BUSY = 0.7
P = 0.95
TRUTH_REQUESTS = 3_000_000
SLOPE_STEP = 1.05
SETTINGS = ((0.005, 60.0), (0.07, 300.0), (0.1, 60.0))
"""(mean service, budget), s."""


@dataclass(frozen=True)
class Truth:
    """The limit whose maximum is known, and how steeply the percentile rises there."""

    rate_per_s: float
    limit_s: float
    slope: float
    """d ln(percentile) / d ln(rate)."""


@cache
def truth_of(name: str, service_s: float) -> Truth:
    """The limit is the percentile at `BUSY` of the capacity, from a very long run."""
    server = SERVERS[name]
    rate = BUSY * server.capacity / service_s
    low, middle, high = (
        long_run(server, rate * factor, service_s) for factor in (1 / SLOPE_STEP, 1, SLOPE_STEP)
    )
    return Truth(rate, middle, math.log(high / low) / (2 * math.log(SLOPE_STEP)))


def long_run(server: Server, rate: float, service_s: float) -> float:
    """The latency percentile at a rate, s."""
    rng = np.random.default_rng(7)
    arrivals = np.cumsum(rng.exponential(1 / rate, TRUTH_REQUESTS))
    latency = server.departures(arrivals, service_s, rng) - arrivals
    return float(np.quantile(latency, P))


def oracle(name: str, service_s: float, budget_s: float, seed: int) -> float:
    """The oracle's log error in rate."""
    server, truth = SERVERS[name], truth_of(name, service_s)
    rng = np.random.default_rng([seed, 2])
    begin_s = 20 * rng.random()
    count = rng.poisson(truth.rate_per_s * budget_s)
    arrivals = begin_s + np.sort(rng.random(count)) * budget_s
    latency = server.departures(arrivals, service_s, rng) - arrivals
    settled = latency[arrivals > begin_s + 0.02 * budget_s]
    return -math.log(float(np.quantile(settled, P)) / truth.limit_s) / truth.slope


def row(name: str, service_s: float, budget_s: float, seeds: int) -> dict[str, float | str]:
    """One server's figures."""
    began_s = time.perf_counter()
    truth = truth_of(name, service_s)
    limit = LimitSpec(percentile="P95", latency_ms=truth.limit_s * 1e3)
    floor = np.array([oracle(name, service_s, budget_s, seed) for seed in range(seeds)])
    errors, widths, held = [], [], []
    for seed in range(seeds):
        maximum, _ = search(Case(SERVERS[name], service_s, limit, seed), budget_s)
        if maximum is None or maximum.kind != "estimate" or maximum.ci_per_s is None:
            continue
        low, high = maximum.ci_per_s
        assert low is not None
        assert high is not None
        errors.append(math.log(maximum.rate_per_s / truth.rate_per_s))
        widths.append((high - low) / truth.rate_per_s)
        held.append(low <= truth.rate_per_s <= high)
    size = float(np.quantile(np.abs(errors), 0.95))
    width = float(np.median(widths))
    return {
        "server": name,
        "service_s": service_s,
        "budget_s": budget_s,
        "seeds": seeds,
        "estimates": len(errors),
        "bias": float(np.median(errors)),
        "error_95": size,
        "error_over_oracle": size / float(np.quantile(np.abs(floor), 0.95)),
        "coverage": float(np.mean(held)),
        "width": width,
        "width_over_oracle": width / (2 * 1.96 * float(np.std(floor))),
        "ms_each": 1e3 * (time.perf_counter() - began_s) / seeds,
    }


def main() -> int:
    """Every server at every setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=int(os.environ.get("SEEDS", "100")))
    parser.add_argument("--json", action="store_true", help="a line of JSON for each")
    parser.add_argument("--only", help="servers whose name contains this")
    options = parser.parse_args()
    for service_s, budget_s in SETTINGS:
        for name in SERVERS:
            if options.only and options.only not in name:
                continue
            found = row(name, service_s, budget_s, options.seeds)
            if options.json:
                print(json.dumps(found), flush=True)
                continue
            print(
                f"{name:18} {1e3 * service_s:3.0f} ms {budget_s:4.0f} s: "
                f"bias {found['bias']:+6.1%}  error {found['error_95']:5.1%} "
                f"(x{found['error_over_oracle']:.2f})  covers {found['coverage']:5.1%}  "
                f"width {found['width']:5.1%} (x{found['width_over_oracle']:.2f})  "
                f"{found['estimates']}/{found['seeds']}  {found['ms_each']:.0f} ms each",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
