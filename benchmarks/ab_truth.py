"""How often `ab` is right: two simulated servers whose true ratio of costs is known.

    python benchmarks/ab_truth.py [--runs N] [--from N] [--budget-s S]
    ... | python benchmarks/ab_truth.py --summary

Each run is an A/B comparison of the engine's own, in virtual time: scouts, six blocks of finals,
verdict. Starts differ by 3 % (sd). In turn the two are equal, 5 % and 10 % apart in service time,
with costs that belong to the request and with service times that the server draws by itself. One
line of JSON a comparison; several processes may share the runs by --from.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from rightsizer.comparing import is_regression
from rightsizer.instrument.laws import Law, exponential, four_payloads
from rightsizer.paired_race import Pair, PairedRace, figures_of
from rightsizer.plan import USUAL_STARTS
from virtual_race import LONG_S, Fleet, VirtualRace

Row = dict[str, Any]
SERVICE_S = 0.004
START_SD = 0.03
SLOWER = (1.0, 1.05, 1.10)
"""B's mean service time over A's."""
LAWS: tuple[tuple[str, Law], ...] = (("of the request", four_payloads), ("own draws", exponential))
ALLOWED_RATIO = 0.05
"""Of the regressions that are counted."""


def comparison(number: int, slower: float, name: str, law: Law, budget_s: float) -> Row:
    """One A/B comparison."""
    service_s = {"a": SERVICE_S, "b": SERVICE_S * slower}
    fleet = Fleet(law, service_s, START_SD, own_draws=name == "own draws")
    virtual = VirtualRace(fleet, number, budget_s)
    pair = Pair("a", "b")
    policy = PairedRace(virtual.race, [pair], USUAL_STARTS)
    while trials := policy.next_trials(virtual.records, LONG_S):
        for trial in trials:
            virtual.run_trial(trial)
    records = list(virtual.records.values())
    found = figures_of(records, pair, lambda name: 1.0, fleet.limit, 1).comparison
    truth = math.exp(fleet.true_log_cost("b") - fleet.true_log_cost("a"))
    low, high = found.ratio_ci or (None, None)
    return {
        "law": name,
        "slower": slower,
        "truth": truth,
        "verdict": found.verdict,
        "ratio": found.ratio,
        "holds": low is not None and high is not None and low <= truth <= high,
        "detectable": found.detectable_ratio,
        "regression": is_regression(found, ALLOWED_RATIO),
        "traffic_s": virtual.traffic_s,
    }


def rows(first: int, runs: int, budget_s: float) -> Iterator[Row]:
    """Every law and difference, so many times."""
    for number in range(first, first + runs):
        for name, law in LAWS:
            for slower in SLOWER:
                yield comparison(number, slower, name, law, budget_s)


def summary(found: list[Row]) -> Iterator[str]:
    """Each law and difference in a line."""
    for name, _ in LAWS:
        for slower in SLOWER:
            some = [row for row in found if row["law"] == name and row["slower"] == slower]
            if not some:
                continue
            said = {
                verdict: float(np.mean([row["verdict"] == verdict for row in some]))
                for verdict in ("better", "worse", "same", "inconclusive")
            }
            detectable = np.median([row["detectable"] for row in some if row["detectable"]])
            yield (
                f"{name}, service x{slower:g}, cost x{some[0]['truth']:.3f}: "
                + ", ".join(f"{verdict} {share:.1%}" for verdict, share in said.items())
                + f"; interval holds {np.mean([row['holds'] for row in some]):.1%}"
                + f"; regression over {ALLOWED_RATIO:.0%} "
                + f"{np.mean([row['regression'] for row in some]):.1%}"
                + f"; could see {detectable - 1:.1%}; {len(some)} runs of "
                + f"{np.median([row['traffic_s'] for row in some]):.0f} s of traffic"
            )


def main() -> int:
    """The rows, or their summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--budget-s", type=float, default=30.0)
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args()
    if options.summary:
        print("\n".join(summary([json.loads(line) for line in sys.stdin])))
        return 0
    for row in rows(options.first, options.runs, options.budget_s):
        print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
