"""How right races are: simulated fleets whose true costs are known.

    python benchmarks/race_truth.py fleets|strategies|p_best|slow|equal|paired [--runs N] [--from N]
    python benchmarks/race_truth.py --json      all of them, SEEDS runs each (in the environment)

fleets: 60 candidates (three variables with interactions; 5 within 5 % of the best, 4 that run out
of memory), start-to-start sd of 0, 3 and 5 % in turn: how often the recommended one is within 2 %
of the best, and the traffic it took over that of measuring all 60 as precisely.
strategies: the same fleets; what uniform allocation and random search choose with as much traffic.
p_best: fleets of 6 within some 20 %: how often those given a probability are the best.
slow: p_best where a search sees few requests: services of 100 ms and of 300 ms, drawn by the
request or by the server, searches of 60 s and 30 s, starts that differ by up to 15 %.
equal: two equal candidates, sd 3 %: how often they are called different.
paired: the variance of the log ratio of two finals, of shared schedules and of own ones.

One line of JSON a run; several processes may share the runs by --from. `summary` of the lines on
standard input:  python benchmarks/race_truth.py p_best | python benchmarks/race_truth.py summary
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from rightsizer.instrument.laws import Law, bimodal, exponential, fixed, four_payloads, lognormal
from rightsizer.spec import LimitSpec
from rightsizer.standing import CONFIDENCE, INDIFFERENCE_RATIO, Standing, standing_of
from virtual_race import Fleet, VirtualRace, planned, true_log_maximum

Row = dict[str, Any]
STARTS_SD = (0.0, 0.03, 0.05)
BUDGET_S = 30.0
VALUES = {"A": 5, "B": 4, "C": 3}
BEST_SERVICE_S = 0.004
NEAR = 5
INFEASIBLE = 4
UNIFORM_FINAL_S = BUDGET_S / 3
SLOW = (
    (0.1, LimitSpec(percentile="P95", latency_ms=500.0), STARTS_SD),
    (0.3, LimitSpec(percentile="P95", latency_ms=1000.0), (0.0, 0.05, 0.15)),
)
"""Best mean service time, s, limit, and what starts differ by."""
LAWS: Mapping[str, Law] = {
    "four payloads": four_payloads,
    "fixed": fixed,
    "exponential": exponential,
    "bimodal": bimodal,
    "lognormal": lognormal,
}


def fleet_of_60(number: int, start_sd: float) -> Fleet:
    """Main effects and interactions on the log of the maximum; the best six are placed."""
    rng = np.random.default_rng([number, 60])
    cells = list(product(*(range(n) for n in VALUES.values())))
    mains = [rng.normal(0.0, 0.2, n) for n in VALUES.values()]
    cross = rng.normal(0.0, 0.1, (VALUES["A"], VALUES["B"]))
    cost = np.array(
        [sum(m[i] for m, i in zip(mains, c, strict=True)) + cross[c[:2]] for c in cells]
    )
    order = np.argsort(cost)
    # Five within 5 % of the best, and nobody else within 6 %: the best itself is one of the five.
    near = np.sort(np.concatenate([[0.0], rng.uniform(0.003, math.log(1.05), NEAR - 1)]))
    rest = cost[order[NEAR:]] - cost[order[NEAR]] + math.log(1.06)
    log_cost = np.empty(len(cells))
    log_cost[order] = np.concatenate([near, rest])
    names = ["".join(f"{k}{i}" for k, i in zip(VALUES, cell, strict=True)) for cell in cells]
    environments = {
        name: {k: str(i) for k, i in zip(VALUES, cell, strict=True)}
        for name, cell in zip(names, cells, strict=True)
    }
    out = rng.choice(order[NEAR:], INFEASIBLE, replace=False)
    return Fleet(
        four_payloads,
        dict(zip(names, map(_service_s, log_cost.tolist()), strict=True)),
        start_sd,
        frozenset(names[i] for i in out),
        environments=environments,
    )


def _service_s(
    log_cost: float, best_s: float = BEST_SERVICE_S, limit: LimitSpec = Fleet.limit
) -> float:
    """The mean service time of which the maximum is lower by that than the best's."""
    wanted = true_log_maximum(four_payloads, best_s, limit) - log_cost
    low, high = best_s / 2, best_s * 20
    for _ in range(50):
        middle = math.sqrt(low * high)
        above = true_log_maximum(four_payloads, middle, limit) > wanted
        low, high = (middle, high) if above else (low, middle)
    return low


def fleets(number: int) -> Row:
    """One race of a fleet of 60."""
    sd = STARTS_SD[number % len(STARTS_SD)]
    fleet = fleet_of_60(number, sd)
    race = VirtualRace(fleet, number, BUDGET_S)
    race.run()
    standing = _standing(race)
    starts = len(standing.entrants[standing.best].finals)
    each_s = race.traffic_s_of("scout") / len(fleet.feasible)
    # As precisely: everyone's scout, and as many finals as the recommended one had.
    all_s = len(fleet.feasible) * (each_s + starts * UNIFORM_FINAL_S)
    return {
        "sd": sd,
        "loss": fleet.true_log_cost(standing.best) - fleet.best_log_cost,
        "traffic_s": race.traffic_s,
        "all_s": all_s,
        "finals": sum(record.stage == "final" for record in race.records.values()),
        "p_good": standing.p_good[standing.best],
    }


def strategies(number: int) -> Row:
    """The race beside uniform allocation and random search with as much traffic."""
    row = fleets(number)
    fleet = fleet_of_60(number, row["sd"])
    return {
        **row,
        "uniform_loss": _uniform(fleet, number, row["traffic_s"]),
        "random_loss": _random(fleet, number, row["traffic_s"]),
    }


def _uniform(fleet: Fleet, number: int, traffic_s: float) -> float:
    """Everyone as often: searches of all in turn until the traffic is used up; the best mean."""
    race = VirtualRace(fleet, number, BUDGET_S)
    return _by_mean(race, fleet.feasible, traffic_s)


def _random(fleet: Fleet, number: int, traffic_s: float) -> float:
    """As many candidates as six searches each leave room for, drawn by chance; the best mean."""
    rng = np.random.default_rng([number, 8])
    count = max(2, int(traffic_s / (6 * BUDGET_S / 2)))
    chosen = rng.permutation(fleet.feasible)[:count].tolist()
    return _by_mean(VirtualRace(fleet, number, BUDGET_S), chosen, traffic_s)


def _by_mean(race: VirtualRace, names: list[str], traffic_s: float) -> float:
    seen: dict[str, list[float]] = {name: [] for name in names}
    turn = 0
    while race.traffic_s < traffic_s:
        for name in names:
            trial = planned(name, {"N": name})
            trial = replace(trial, id=f"{name}-{turn}", block=turn, budget_s=BUDGET_S / 2)
            figures = race.run_trial(trial).figures
            if figures is not None and figures.max_invocations_per_min:
                seen[name].append(math.log(figures.max_invocations_per_min))
            if race.traffic_s >= traffic_s:
                break
        turn += 1
    means = {name: float(np.mean(values)) for name, values in seen.items() if values}
    best = max(means, key=lambda name: means[name])
    return race.fleet.true_log_cost(best) - race.fleet.best_log_cost


def p_best(number: int) -> Row:
    """A race of 6; every candidate's probability, and whether it is the best."""
    rng = np.random.default_rng([number, 6])
    spread = (0.01, 0.03, 0.1)[number % 3]
    costs = rng.normal(0.0, spread, 6)
    service = {f"c{i}": _service_s(float(cost)) for i, cost in enumerate(costs)}
    fleet = Fleet(four_payloads, service, STARTS_SD[number // 3 % 3])
    return _told(VirtualRace(fleet, number, BUDGET_S, most=40))


def slow(number: int) -> Row:
    """A race of 4 or 6 that sees few requests, and is cut short after 14 trials or after 40."""
    best_s, limit, starts_sd = SLOW[number // 72 % 2]
    rng = np.random.default_rng([number, 6])
    costs = rng.normal(0.0, (0.03, 0.1, 0.3)[number % 3], (6, 4)[number % 2])
    service = {f"c{i}": _service_s(float(c), best_s, limit) for i, c in enumerate(costs)}
    own_draws, most = bool(number // 9 % 2), (14, 40)[number // 18 % 2]
    fleet = Fleet(
        four_payloads, service, starts_sd[number // 3 % 3], limit=limit, own_draws=own_draws
    )
    return _told(VirtualRace(fleet, number, (60.0, 30.0)[number // 36 % 2], most))


def _told(race: VirtualRace) -> Row:
    """What the race says of each candidate, and whether it is the best of all."""
    race.run()
    standing = _standing_if_any(race)
    best = min(race.fleet.feasible, key=race.fleet.true_log_cost)
    # A race that told no maximum of any claims nothing.
    if standing is None:
        return {"p": [], "promise": []}
    loss = race.fleet.true_log_cost(standing.best) - race.fleet.best_log_cost
    whole = sum(standing.p_unknown) < 1 - CONFIDENCE
    return {
        "p": [[p, name == best] for name, p in standing.p_best.items()],
        # As it is told: where `race-without` does not speak of others.
        "promise": [_is_good(loss)] if standing.keeps_promise and whole else [],
    }


def equal(number: int) -> Row:
    """Two candidates that are the same."""
    law = list(LAWS.values())[number % 2]
    fleet = Fleet(law, {"a": BEST_SERVICE_S, "b": BEST_SERVICE_S}, 0.03)
    race = VirtualRace(fleet, number, BUDGET_S, most=100)
    race.run()
    standing = _standing_if_any(race)
    # A budget that tells no maximum of either claims nothing.
    return {"different": standing is not None and not standing.tied}


def paired(number: int) -> Row:
    """For each law: log ratios of two finals, sharing the schedule or not."""
    row: Row = {}
    for name, law in LAWS.items():
        for own_draws in (False, True):
            row[f"{name}, {'drawn by the server' if own_draws else 'of the request'}"] = [
                _log_ratio(law, own_draws, number, shared) for shared in (True, False)
            ]
    return row


def _log_ratio(law: Law, own_draws: bool, number: int, shared: bool) -> float:
    service = {"a": BEST_SERVICE_S, "b": BEST_SERVICE_S * 1.05}
    fleet = Fleet(law, service, 0.0, own_draws=own_draws)
    race = VirtualRace(fleet, 1, BUDGET_S)
    for name in service:
        race.run_trial(planned(name, {"N": name}))
    standing = _standing(race)
    logs = []
    for place, name in enumerate(service):
        block = 2 * number + 10 + (0 if shared else place)
        [final] = race.finals(block, [name], standing)
        logs.append(race.observed(final))
    return logs[0] - logs[1]


def _standing(race: VirtualRace) -> Standing:
    found = _standing_if_any(race)
    assert found is not None
    return found


def _standing_if_any(race: VirtualRace) -> Standing | None:
    return standing_of(list(race.records.values()), lambda name: 1.0, race.fleet.limit, None)


# -- summaries ---------------------------------------------------------------------------------


def summary(rows: list[Row]) -> Iterator[str]:
    """The rows of one experiment in words."""
    if "loss" in rows[0]:
        for sd in (*STARTS_SD, None):
            some = [row for row in rows if sd is None or row["sd"] == sd]
            if some:
                yield _of_fleets(some, sd)
    if "uniform_loss" in rows[0]:
        for name in ("uniform_loss", "random_loss"):
            yield f"{name}: within 2 % {_share([_is_good(row[name]) for row in rows])}"
    if "p" in rows[0]:
        pairs = np.array([pair for row in rows for pair in row["p"]], dtype=float)
        for low in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
            high = {0.9: 0.95, 0.95: 1.01}.get(low, low + 0.1)
            inside = pairs[(pairs[:, 0] >= low) & (pairs[:, 0] < high)]
            if len(inside):
                mean, seen = inside.mean(axis=0)
                yield f"p_best {low} to {high:g}: {len(inside)} of mean {mean:.3f}, true {seen:.3f}"
    if promises := [kept for row in rows for kept in row.get("promise", [])]:
        yield f"within 2 % where so promised {_share(promises)}"
    if "different" in rows[0]:
        yield f"called different {_share([row['different'] for row in rows])}"
    if "exponential, of the request" in rows[0]:
        for name in rows[0]:
            logs = np.array([row[name] for row in rows])
            together, apart = logs.var(axis=0, ddof=1)
            yield f"{name}: variance apart / paired {apart / together:.1f} ({len(rows)} pairs)"


def _of_fleets(rows: list[Row], sd: float | None) -> str:
    good = _share([_is_good(row["loss"]) for row in rows])
    traffic = np.median([row["traffic_s"] / row["all_s"] for row in rows])
    finals = np.mean([row["finals"] for row in rows])
    which = "every sd" if sd is None else f"sd {sd:g}"
    return (
        f"{which}: within 2 % {good}; traffic {traffic:.1%} of measuring all; {finals:.0f} finals"
    )


def _is_good(loss: float) -> bool:
    return loss <= math.log1p(INDIFFERENCE_RATIO) + 1e-9


def _share(held: list[bool]) -> str:
    """With the lower end of Wilson's one-sided 95 % interval."""
    n, p, z = len(held), float(np.mean(held)), 1.645
    centre = p + z * z / (2 * n)
    low = (centre - z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    return f"{p:.1%} of {n} (at least {low:.1%})"


EXPERIMENTS: Mapping[str, tuple[Callable[[int], Row], int]] = {
    "fleets": (fleets, 400),
    "strategies": (strategies, 50),
    "p_best": (p_best, 2000),
    "slow": (slow, 2000),
    "equal": (equal, 1000),
    "paired": (paired, 100),
}


def main() -> int:
    """The experiment's rows, the summary of rows, or all experiments in short."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=[*EXPERIMENTS, "summary"])
    parser.add_argument("--runs", type=int)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.json:
        seeds = int(os.environ.get("SEEDS", "20"))
        print(
            json.dumps(
                {name: in_short(name, min(seeds, EXPERIMENTS[name][1])) for name in EXPERIMENTS}
            )
        )
        return 0
    if options.what is None:
        parser.error("name an experiment, or give --json")
    if options.what == "summary":
        print("\n".join(summary([json.loads(line) for line in sys.stdin])))
        return 0
    run, usual = EXPERIMENTS[options.what]
    for number in range(options.first, options.first + (options.runs or usual)):
        print(json.dumps(run(number)), flush=True)
    return 0


def in_short(name: str, runs: int) -> list[str]:
    """The summary of so many runs."""
    run, _ = EXPERIMENTS[name]
    return list(summary([run(number) for number in range(runs)]))


if __name__ == "__main__":
    sys.exit(main())
