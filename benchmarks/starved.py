"""A generator that is kept from its CPU must not report its own maximum as the server's.

    python benchmarks/starved.py [--runs 20] [--json]

A null server answers faster than any generator can ask. The generator shares its one CPU with
processes that spin for a share of their time, drawn for each run. Whatever the search then says,
it must not be a valid maximum: that would be the generator's. About 5 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import rightsizer
from generator_ceiling import null_server

LIMIT_MS = 25.0
BUDGET_S = 10.0
SPIN = """
import sys, time
busy_s = 0.02 * float(sys.argv[1])
while True:
    end_s = time.perf_counter() + busy_s
    while time.perf_counter() < end_s:
        pass
    time.sleep(0.02 - busy_s)
"""


def main() -> int:
    """All runs; 1 where one of them reports a maximum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="%(default)s")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    found = []
    with null_server(cpus[-1]) as url, tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, {cpus[0]})
        for seed in range(options.runs):
            found.append(run(url, Path(folder), seed, cpus[0]))
            if not options.json:
                print(found[-1], flush=True)
    reported = sum(row["reported"] for row in found)
    verdicts = Counter(row["verdict"] for row in found)
    figures = {"runs": options.runs, "reported": reported, "verdicts": verdicts, "each": found}
    if options.json:
        print(json.dumps(figures))
    return 1 if reported else 0


def run(url: str, folder: Path, seed: int, cpu: int) -> dict[str, Any]:
    """One search beside spinning processes."""
    rng = random.Random(seed)
    shares = [rng.uniform(0.3, 1.0) for _ in range(rng.randint(1, 3))]
    payload = folder / "body"
    payload.write_bytes(b"x" * 200)
    kind = rng.choice(("search", "saturate"))
    with spinning(shares, cpu):
        measured = rightsizer.measure(
            url,
            payload,
            store=folder,
            traffic=kind,
            limit_ms=LIMIT_MS if kind == "search" else None,
            budget_s=BUDGET_S,
            seed=seed,
        )
    return {
        "spinning": [round(share, 2) for share in shares],
        "traffic": kind,
        "verdict": measured.verdict,
        "max_per_min": measured.max_invocations_per_min,
        "max_kind": measured.max_kind,
        # A lower bound claims nothing that the server could not do.
        "reported": measured.verdict == "valid" and measured.max_kind != "at_least",
        "doubts": [doubt.code for doubt in measured.doubts],
    }


@contextmanager
def spinning(shares: Sequence[float], cpu: int) -> Iterator[None]:
    """Processes that are busy for so much of their time, on that CPU."""
    with ExitStack() as stack:
        for share in shares:
            process = subprocess.Popen(
                [sys.executable, "-c", SPIN, str(share)],
                preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


if __name__ == "__main__":
    sys.exit(main())
