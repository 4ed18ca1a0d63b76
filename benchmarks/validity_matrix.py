"""Which faults of a measurement are found, and how often a clean one is suspected.

    python benchmarks/validity_matrix.py [--seeds 200] [--json]

Virtual time, the unmodified engine from the schedule to the verdict. Clean: searches of nine
servers on a quiet machine; how many raise each doubt, and how many lose the verdict `valid`.
Faults: twenty of each kind, planted in one step; in how many of those steps it is found, and in how
many measurements a maximum is called valid, rests on the step, and is off by more than 15%. The
same where the fault lasts. SEEDS in the environment sets the clean ones.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from faults import KINDS, Kind, between, planted
from rightsizer.analysis.figures import StepFigures
from rightsizer.hosts.base import Launch
from rightsizer.hosts.fake import FakeHost, FakeServer
from rightsizer.hosts.records import Usage
from rightsizer.measured import Measured
from rightsizer.measurement import Endpoints, measure
from rightsizer.spec import LimitSpec
from rightsizer.units import NS_PER_S
from truth_servers import SERVERS
from virtual_session import Fault, VirtualTraffic
from virtual_traffic import Case

SERVICE_S, BUDGET_S, RATE_S, USERS_S = 0.005, 60, 60, 20
BUSY, P = 0.7, 0.95
TRUTH_REQUESTS = 200_000
INJECTIONS = 20
OFF_RATIO = 0.15
URL = "http://10.0.0.5:8000/predict"
USAGE_S = 200


class QuietHost(FakeHost):
    """A server elsewhere; of one that a quota holds up, the host tells for how much of the time."""

    def __init__(self, throttled_ratio: float | None) -> None:
        super().__init__("local")
        self._ratio = throttled_ratio

    @contextmanager
    def start(self, launch: Launch, tick=lambda: None) -> Iterator[FakeServer]:
        """With what it is told to say of its usage."""
        with super().start(launch, tick) as server:
            server.usage = self._usage  # type: ignore[method-assign]
            yield server

    def _usage(self) -> list[Usage]:
        if self._ratio is None:
            return []
        return [Usage(s * NS_PER_S, 0.0, 0, self._ratio * s) for s in range(USAGE_S)]


def limit_ms(law: str) -> float:
    """The latency percentile at `BUSY` of the capacity: a limit whose maximum is known."""
    server, rng = SERVERS[law], np.random.default_rng(7)
    rate = BUSY * server.capacity / SERVICE_S
    starts = np.cumsum(rng.exponential(1 / rate, TRUTH_REQUESTS))
    return 1e3 * float(np.quantile(server.departures(starts, SERVICE_S, rng) - starts, P))


class Bench:
    """Measures in virtual time; keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "body.json").write_text("{}")

    def run(
        self, case: Case, traffic: str, fault: Fault, throttled_ratio: float | None = None
    ) -> tuple[Measured, list[int]]:
        """(the measurement, indices of the steps that the fault befell)."""
        through = VirtualTraffic(case, fault)
        lasts = {"budget_s": BUDGET_S} if traffic == "search" else {"duration_s": RATE_S}
        if traffic.startswith("users"):
            lasts = {"duration_s": USERS_S}
        with tempfile.TemporaryDirectory(dir=self._folder) as store:
            found = measure(
                URL,
                self._folder / "body.json",
                store=store,
                through=Endpoints(QuietHost(throttled_ratio), through),
                traffic=traffic,
                limit_ms=case.limit.latency_ms,
                seed=case.seed,
                **lasts,
            )
        return found, through.struck


def clean(bench: Bench, seeds: int) -> dict[str, Any]:
    """What is suspected where nothing is wrong."""
    laws = list(SERVERS)
    limits = {law: limit_ms(law) for law in laws}
    raised: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    count, lost = 0, []
    for seed in range(seeds):
        law = laws[seed % len(laws)]
        limit = LimitSpec(percentile="P95", latency_ms=limits[law])
        found, _ = bench.run(Case(SERVERS[law], SERVICE_S, limit, seed), "search", Fault())
        each = [{doubt.code for doubt in step.doubts} for step in found.steps]
        count += len(each)
        steps.update(code for codes in each for code in codes)
        raised.update(set().union(*each))
        if found.verdict != "valid":
            lost.append([law, seed, found.verdict, found.doubts[0].code])
    return {"measurements": seeds, "steps": count, "lost": lost, "raised": raised, "by_step": steps}


def positives(bench: Bench, kind: Kind) -> dict[str, Any]:
    """Twenty faults of a kind, each in one step; and, of a search, in all of them."""
    missed, verdicts, lasting = [], Counter[str](), Counter[str]()
    once_wrong, lasting_wrong = [], []
    for seed in range(INJECTIONS):
        measured, steps = faulty(bench, kind, seed, lasting=False)
        verdicts[measured.verdict] += 1
        if not any(doubt.code == kind.code for step in steps for doubt in step.doubts):
            missed.append(seed)
        counts = any(step.verdict != "invalid" for step in steps)
        if counts and _is_wrong(measured, kind):
            once_wrong.append(seed)
        if kind.traffic == "search" and kind.shows:
            measured, _ = faulty(bench, kind, seed, lasting=True)
            lasting[measured.verdict] += 1
            if _is_wrong(measured, kind):
                lasting_wrong.append(seed)
    return {
        "check": kind.name,
        "code": kind.code,
        "of": INJECTIONS,
        "found": INJECTIONS - len(missed),
        "must_find": kind.shows,
        "missed": missed,
        "wrong": once_wrong,
        "verdicts": dict(verdicts),
        "lasting_wrong": lasting_wrong,
        "lasting_verdicts": dict(lasting),
    }


def faulty(
    bench: Bench, kind: Kind, seed: int, *, lasting: bool
) -> tuple[Measured, list[StepFigures]]:
    """(a measurement with the fault, the steps that it befell)."""
    rng = np.random.default_rng([seed, 4])
    # M/M/1: times in the system are exponential.
    limit = -math.log(1 - P) * 1e3 * kind.service_s / (1 - BUSY)
    limits = LimitSpec(percentile="P95", latency_ms=limit)
    case = Case(SERVERS["exponential"], kind.service_s, limits, seed)
    throttled = between(rng, 0.02, 0.5) if kind.throttles_server else None
    measured, struck = bench.run(case, _traffic(kind), planted(kind, rng, lasting), throttled)
    return measured, [measured.steps[i] for i in struck if i < len(measured.steps)]


def _traffic(kind: Kind) -> str:
    rate = f"rate:{kind.busy / kind.service_s:g}"
    return {"rate": rate, "users": "users:8"}.get(kind.traffic, "search")


def _is_wrong(measured: Measured, kind: Kind) -> bool:
    """Whether a maximum is claimed, and far from the true one."""
    claimed = measured.max_invocations_per_min
    truth_per_min = 60 * BUSY / kind.service_s
    return claimed is not None and abs(claimed / truth_per_min - 1) > OFF_RATIO


def main() -> int:
    """The whole matrix."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=int(os.environ.get("SEEDS", "200")))
    parser.add_argument("--only", default="", help="checks whose code contains this")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        quiet = clean(bench, options.seeds)
        for kind in KINDS:
            if options.only not in kind.code:
                continue
            row = positives(bench, kind)
            row["false_alarms"] = quiet["raised"].get(kind.code, 0)
            print(json.dumps(row) if options.json else _line(row, options.seeds), flush=True)
    if options.json:
        print(json.dumps({"check": "clean", **quiet}))
        return 0
    steps = quiet["by_step"].get("no-steady-state", 0)
    print(f"clean: {len(quiet['lost'])} of {options.seeds} lost the verdict valid {quiet['lost']}")
    print(f"clean: {steps} of {quiet['steps']} steps were called unsteady")
    return 0


def _line(row: dict[str, Any], seeds: int) -> str:
    found = f"found {row['found']:2} of {row['of']}" if row["must_find"] else "by all steps  "
    line = (
        f"{row['check']:27} {found}  false alarms {row['false_alarms']:2} of {seeds}  "
        f"wrong maxima {len(row['wrong'])} ({_counts(row['verdicts'])})"
    )
    if not row["lasting_verdicts"]:
        return line
    lasting = _counts(row["lasting_verdicts"])
    return f"{line}; lasting {len(row['lasting_wrong'])} ({lasting})"


def _counts(verdicts: dict[str, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())


if __name__ == "__main__":
    sys.exit(main())
