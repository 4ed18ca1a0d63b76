"""Latencies of open traffic, held to what the server itself recorded.

    python benchmarks/server_record.py [--json]

True latency is the server's time of answering less the instant that the schedule intended: both
are known without the client. 2,000/s of 200 bytes, 100/s of 0.8 MB, and 200/s at a server that
stalls 1 s in every 20. The generator has the first CPU, the server the last. Under 2 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rightsizer.analysis.percentiles import nearest_rank
from rightsizer.hosts.base import Endpoint
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.protocols import Body, Request, ResponseCheck
from rightsizer.samples import Outcome, read_samples
from rightsizer.schedule import Step, arrivals
from rightsizer.traffic.driver import LocustTraffic

SEED = 1
ID_MASK = (1 << 40) - 1
WARMUP_S = 1.0
LOADS: Sequence[dict[str, Any]] = (
    {"name": "small", "body_bytes": 200, "rate_per_s": 2000.0, "length_s": 10.0, "server": []},
    {"name": "large", "body_bytes": 800_000, "rate_per_s": 100.0, "length_s": 10.0, "server": []},
    {
        "name": "stalls",
        "body_bytes": 200,
        "rate_per_s": 200.0,
        "length_s": 41.0,
        "server": ["--stall-every-s", "19", "--stall-s", "1"],
    },
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    found = [compare(**load) for load in LOADS]
    if options.json:
        print(json.dumps(found))
        return
    for figures in found:
        print("  ".join(f"{name} {value}" for name, value in figures.items()))


def compare(
    name: str, body_bytes: int, rate_per_s: float, length_s: float, server: Sequence[str]
) -> dict[str, Any]:
    """One load: the client's percentiles beside the true ones, ms."""
    cpus = sorted(os.sched_getaffinity(0))
    body = Body("body", os.urandom(body_bytes), "application/octet-stream")
    request = Request("POST", "/", {}, [body], 10.0, ResponseCheck())
    step = Step(0, "open", length_s, rate_per_s=rate_per_s)
    with tempfile.TemporaryDirectory() as folder:
        record_path = Path(folder) / "record.npy"
        with (
            recording(record_path, cpus[-1], server) as url,
            GuardedOwner([]) as owner,
            LocustTraffic().open(
                Endpoint(url),
                request,
                seed=SEED,
                trial_dir=Path(folder),
                owner=owner,
                cpus=cpus[:1],
            ) as session,
        ):
            for _ in session.drive(step):
                pass
            last = session.last
        samples = np.sort(read_samples(session.sample_files), order="intended_ns")
        recorded = np.load(record_path)
    assert (samples["outcome"] == Outcome.SUCCEEDED).all()
    assert len(samples) == len(recorded), "each request is in the server's record"
    instants_ns = np.array([int(at_s * 1e9) for at_s in arrivals(step, SEED)]) + last.begin_ns
    # The n-th id belongs to the n-th arrival.
    recorded = recorded[np.argsort(recorded[:, 0])]
    intended_ns = instants_ns[(recorded[:, 0] & ID_MASK) - 1]
    kept = intended_ns >= last.begin_ns + WARMUP_S * 1e9
    truth_ms = (recorded[:, 2] - intended_ns)[kept] / 1e6
    ours_ms = (samples["end_ns"] - samples["intended_ns"])[kept] / 1e6
    inside_ms = (recorded[:, 2] - recorded[:, 1])[kept] / 1e6
    slip_ms = (samples["start_ns"] - samples["intended_ns"])[kept] / 1e6
    figures: dict[str, Any] = {"name": name, "body_bytes": body_bytes, "rate_per_s": rate_per_s}
    for p in (0.5, 0.95, 0.99):
        ours, truth = nearest_rank(np.sort(ours_ms), p), nearest_rank(np.sort(truth_ms), p)
        figures[f"p{p * 100:.0f}_ms"] = round(ours, 3)
        figures[f"p{p * 100:.0f}_off_ms"] = round(ours - truth, 3)
        figures[f"p{p * 100:.0f}_off_ratio"] = round(ours / truth - 1, 4)
        figures[f"p{p * 100:.0f}_in_server_ms"] = round(nearest_rank(np.sort(inside_ms), p), 3)
    figures["slip_p99_ms"] = round(nearest_rank(np.sort(slip_ms), 0.99), 3)
    figures["run_delay_ratio"] = round(last.health.run_delay_ratio or 0.0, 4)
    figures["n"] = int(kept.sum())
    return figures


@contextmanager
def recording(record: Path, cpu: int, arguments: Sequence[str]) -> Iterator[str]:
    """The URL of a recording server held to a CPU; its record is there afterwards."""
    script = Path(__file__).with_name("recording_server.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(record), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()
        process.wait(30)
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    main()
