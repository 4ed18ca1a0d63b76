"""How long the analysis of a million samples takes, and what memory.

python benchmarks/analysis_speed.py [--samples 1000000]
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np
from rightsizer.analysis.steps import Conditions, judge_steps
from rightsizer.samples import DTYPE
from rightsizer.schedule import closed_step
from rightsizer.spec import LimitSpec
from rightsizer.traffic.records import StepRecord

STEPS = 5


def main() -> None:
    """Make samples, judge them, print seconds and peak memory as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="that is all it prints, in any case")
    count: int = parser.parse_args().samples
    each = count // STEPS
    random = np.random.default_rng(1)
    samples = np.zeros(each * STEPS, dtype=DTYPE)
    gaps_ns = random.exponential(1e6, len(samples)).astype(np.int64)
    samples["intended_ns"] = samples["start_ns"] = np.cumsum(gaps_ns)
    samples["end_ns"] = samples["start_ns"] + random.exponential(5e6, len(samples)).astype(np.int64)
    samples["step"] = np.repeat(np.arange(STEPS), each)
    samples["payload"] = random.integers(0, 4, len(samples))
    records = []
    for index in range(STEPS):
        begin_ns = int(samples["start_ns"][index * each])
        end_ns = int(samples["start_ns"][(index + 1) * each - 1])
        step = closed_step(index, 8, (end_ns - begin_ns) / 1e9)
        records.append(StepRecord(step, begin_ns, end_ns, end_ns, 0, True, (), 0.1))
    conditions = Conditions(LimitSpec(latency_ms=50.0), 10.0, ["a", "b", "c", "d"], 1, 1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin_s = time.perf_counter()
    steps = judge_steps(samples, records, [], conditions)
    seconds = time.perf_counter() - begin_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "samples": len(samples),
                "steps": len(steps),
                "seconds": round(seconds, 3),
                "peak_mib": round(peak / 1024),
                "above_before_mib": round((peak - before) / 1024),
            }
        )
    )


if __name__ == "__main__":
    main()
