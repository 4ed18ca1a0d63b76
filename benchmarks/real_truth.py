"""Servers of known maximum in real time, through the whole pipeline: six laws, three seeds.

    python benchmarks/real_truth.py [--seeds 3] [--budget-s 60] [--json]

Each server answers over HTTP by a queue of known law, mean service 5 ms; the limit is the P95 at
70% of its capacity, from a very long run in virtual time. A row is one `rightsizer.measure` with
the default search: is the maximum within 15% of the truth, does the interval hold it, and how long
did it take beyond its traffic and drain. The generator has the first CPU, the server the others.
20 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rightsizer
from rightsizer.samples import read_samples
from search_truth import truth_of
from truth_http import serving

LAWS = {
    "exponential": ["--law", "exponential"],
    "fixed": ["--law", "fixed"],
    "bimodal": ["--law", "bimodal"],
    "lognormal": ["--law", "lognormal"],
    "four payloads": ["--law", "four payloads"],
    "four servers": ["--law", "exponential", "--servers", "4"],
}
SERVICE_S = 0.005
WITHIN_RATIO = 0.15


def main() -> None:
    """A line for each law and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="%(default)s")
    parser.add_argument("--budget-s", type=float, default=60.0, help="%(default)s")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each")
    options = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cpus[:1])
    for seed in range(1, options.seeds + 1):
        for law in LAWS:
            found = row(law, seed, options.budget_s, cpus[1:] or cpus)
            print(json.dumps(found) if options.json else found, flush=True)


def row(law: str, seed: int, budget_s: float, cpus: list[int]) -> dict[str, Any]:
    """One measurement beside the truth."""
    truth = truth_of(law, SERVICE_S)
    arguments = [*LAWS[law], "--service-ms", str(1e3 * SERVICE_S), "--seed", str(seed)]
    with tempfile.TemporaryDirectory() as folder, serving(arguments, cpus) as url:
        payload = Path(folder) / "body"
        payload.write_bytes(b"x" * 200)
        measured = rightsizer.measure(
            url,
            payload,
            store=folder,
            limit_ms=1e3 * truth.limit_s,
            budget_s=budget_s,
            seed=seed,
        )
        traffic_s = traffic_time_s(Path(measured.samples))
    true_per_min = 60 * truth.rate_per_s
    maximum, ci = measured.max_invocations_per_min, measured.max_invocations_per_min_ci
    error = None if maximum is None else maximum / true_per_min - 1
    low, high = ci or (None, None)
    return {
        "law": law,
        "seed": seed,
        "limit_ms": 1e3 * truth.limit_s,
        "true_per_min": true_per_min,
        "verdict": measured.verdict,
        "max_per_min": maximum,
        "ci_per_min": ci,
        "error": error,
        "within": error is not None and abs(error) <= WITHIN_RATIO,
        "covered": ci is not None and (low or 0.0) <= true_per_min <= (high or float("inf")),
        "wall_s": measured.wall_s,
        "beyond_traffic_s": measured.wall_s - traffic_s,
        "doubts": [doubt.code for doubt in measured.doubts],
    }


def traffic_time_s(folder: Path) -> float:
    """From the first intended start to the last answer of each step, all together."""
    samples = read_samples([folder / "samples-0.bin"])
    total_ns = 0
    for step in np.unique(samples["step"]):
        own = samples[samples["step"] == step]
        total_ns += int(own["end_ns"].max() - own["intended_ns"].min())
    return total_ns / 1e9


if __name__ == "__main__":
    main()
