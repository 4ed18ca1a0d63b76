"""How often the rule that ends a step early is wrong: nine servers, in virtual time.

    python benchmarks/step_rule.py [--seeds 100] [--json]

A server at 1.10 of its maximum must hardly ever pass, one at 0.90 of it hardly ever fail, from an
empty queue and from a backlog (that of a second's overload). Beside that, how soon the rule settles
far from the maximum: at 1.4 and 0.6 of it. SEEDS in the environment sets the seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

import numpy as np
from rightsizer.analysis.excess import excess_of, settled
from search_truth import P, truth_of
from truth_servers import SERVERS

SETTINGS = ((0.005, 20.0), (0.07, 100.0))
"""(mean service, longest step), s."""
LOOK_RATIO, LOOK_FROM_RATIO = 1.3, 0.3
BACKLOG_LIMITS = 1.0
"""The backlog takes so many latency limits to serve."""
SETTLING_COMPLETIONS = 40


def step(
    name: str, service_s: float, longest_s: float, factor: float, backlog: bool, seed: int
) -> tuple[str | None, float]:
    """(verdict, when) of one step at `factor` of the maximum."""
    server, truth = SERVERS[name], truth_of(name, service_s)
    rng = np.random.default_rng([seed, 3])
    begin_s = 20 * rng.random()
    rate = factor * truth.rate_per_s
    arrivals = begin_s + np.sort(rng.random(rng.poisson(rate * longest_s))) * longest_s
    waiting = int(BACKLOG_LIMITS * truth.limit_s * server.capacity / service_s) if backlog else 0
    arrivals = np.concatenate([np.full(waiting, begin_s), arrivals])
    latency = (server.departures(arrivals, service_s, rng) - arrivals)[waiting:]
    since_s = arrivals[waiting:] - begin_s
    settling_s = max(SETTLING_COMPLETIONS * service_s / server.capacity, truth.limit_s)
    cut_s = min(0.25 * longest_s, max(0.02 * longest_s, settling_s))
    at_s = max(1.0, 2 * cut_s, LOOK_FROM_RATIO * longest_s)
    while True:
        at_s = min(at_s, longest_s)
        until_s = at_s - 2 * truth.limit_s if at_s < longest_s else longest_s
        seen = latency[(since_s > cut_s) & (since_s < until_s)]
        excess = excess_of(seen * 1e3, truth.limit_s * 1e3)
        verdict = None if excess is None else settled(excess, P)
        if verdict is not None or at_s >= longest_s:
            return verdict, at_s
        at_s *= LOOK_RATIO


def row(name: str, service_s: float, longest_s: float, seeds: int) -> dict[str, float | str]:
    """One server's figures."""
    found: dict[str, float | str] = {"server": name, "service_s": service_s, "seeds": seeds}
    for factor, wrong in ((1.1, "within"), (0.9, "over")):
        for backlog in (False, True):
            runs = [step(name, service_s, longest_s, factor, backlog, s) for s in range(seeds)]
            share = float(np.mean([verdict == wrong for verdict, _ in runs]))
            found[f"wrong_{factor}_{'backlog' if backlog else 'empty'}"] = share
    for factor in (1.4, 0.6):
        runs = [step(name, service_s, longest_s, factor, False, s) for s in range(seeds)]
        found[f"settled_{factor}"] = float(np.mean([verdict is not None for verdict, _ in runs]))
        found[f"median_s_{factor}"] = float(np.median([at_s for _, at_s in runs]))
    return found


def main() -> int:
    """Every server at every setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=int(os.environ.get("SEEDS", "100")))
    parser.add_argument("--json", action="store_true", help="a line of JSON for each")
    options = parser.parse_args()
    for service_s, longest_s in SETTINGS:
        for name in SERVERS:
            found = row(name, service_s, longest_s, options.seeds)
            if options.json:
                print(json.dumps(found), flush=True)
                continue
            print(
                f"{name:18} {1e3 * service_s:3.0f} ms: passes at 1.10 "
                f"{found['wrong_1.1_empty']:.1%}, {found['wrong_1.1_backlog']:.1%} from a backlog; "
                f"fails at 0.90 {found['wrong_0.9_empty']:.1%}, {found['wrong_0.9_backlog']:.1%}; "
                f"settles {found['settled_1.4']:.0%} at 1.4 after {found['median_s_1.4']:.1f} s, "
                f"{found['settled_0.6']:.0%} at 0.6 after {found['median_s_0.6']:.1f} s",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
