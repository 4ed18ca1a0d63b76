"""How fast one generator process is, and how well it keeps a schedule, against a null server.

    python benchmarks/generator_ceiling.py [--rounds 3] [--json]

Closed: 8 connections, POSTs of 200 bytes and of 250 kB; ours, Locust's own FastHttpUser and (where
it is installed) wrk in turns, so that all meet the same noise of the machine; medians of rounds.
Open: 2,000/s of 200 bytes and 100/s of 0.8 MB, Poisson; by how much requests left late. The
generator has the first CPU, the null server the last. Under 2 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rightsizer.hosts.base import Endpoint
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.protocols import Body, Request, ResponseCheck
from rightsizer.samples import Outcome, Samples, read_samples
from rightsizer.schedule import Step, closed_step
from rightsizer.traffic.base import Session
from rightsizer.traffic.driver import LocustTraffic
from rightsizer.traffic.records import StepRecord

HERE = Path(__file__).parent
CONNECTIONS = 8
CLOSED_BYTES = (200, 250_000)
OPEN = ((200, 2000.0), (800_000, 100.0))
CLOSED_S, STOCK_S, OPEN_S = 2.0, 3, 4.0
WARMUP_S = 0.5
WRK = shutil.which("wrk")

Figures = dict[str, Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="%(default)s")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    with null_server(cpus[-1]) as url:
        closed = [closed_ceiling(url, cpus[0], size, options.rounds) for size in CLOSED_BYTES]
        opened = [schedule_slip(url, cpus[0], *load, options.rounds) for load in OPEN]
    figures = {"rounds": options.rounds, "cpus": len(cpus), "closed": closed, "open": opened}
    if options.json:
        print(json.dumps(figures))
        return
    for found in (*closed, *opened):
        print("  ".join(f"{name} {value}" for name, value in found.items()))


def closed_ceiling(url: str, cpu: int, size: int, rounds: int) -> Figures:
    """Requests per second of each generator, in turns, and their ratios."""
    ours, stock, wrk = [], [], []
    costs_ms, delays = [], []
    with generator(url, cpu, size) as session:
        for number in range(rounds):
            record, samples = drive(session, closed_step(number, CONNECTIONS, CLOSED_S))
            length_s = (record.end_ns - record.begin_ns) / 1e9
            ours.append(len(samples) / length_s)
            costs_ms.append(record.generator_cpu_ratio * length_s * 1e3 / len(samples))
            delays.append(record.health.run_delay_ratio or 0.0)
            stock.append(stock_per_s(url, cpu, size))
            if WRK is not None:
                wrk.append(wrk_per_s(url, cpu, size))
    figures: Figures = {
        "body_bytes": size,
        "connections": CONNECTIONS,
        "ours_per_s": round(statistics.median(ours)),
        "stock_per_s": round(statistics.median(stock)),
        "wrk_per_s": round(statistics.median(wrk)) if wrk else None,
        "of_stock": ratio(ours, stock),
        "of_wrk": ratio(ours, wrk),
        "cpu_ms_per_request": round(statistics.median(costs_ms), 4),
        "run_delay_ratio": round(statistics.median(delays), 4),
    }
    return figures


def schedule_slip(url: str, cpu: int, size: int, rate_per_s: float, rounds: int) -> Figures:
    """By how much requests left after their instants; the median round, and the best."""
    found = []
    with generator(url, cpu, size) as session:
        for number in range(rounds):
            step = Step(number, "open", OPEN_S, rate_per_s=rate_per_s)
            record, samples = drive(session, step)
            late_ms = (samples["start_ns"] - samples["intended_ns"]) / 1e6
            length_s = (record.end_ns - record.begin_ns) / 1e9
            p50, p99 = np.percentile(late_ms, [50, 99]).tolist()
            cost_ms = record.generator_cpu_ratio * length_s * 1e3 / len(samples)
            found.append((p99, p50, cost_ms, record.health.run_delay_ratio or 0.0))
    p99, p50, cost_ms, delay = (statistics.median(column) for column in zip(*found, strict=True))
    return {
        "body_bytes": size,
        "rate_per_s": rate_per_s,
        "slip_p50_ms": round(p50, 3),
        "slip_p99_ms": round(p99, 3),
        "slip_p99_best_ms": round(min(found)[0], 3),
        "cpu_ms_per_request": round(cost_ms, 4),
        "run_delay_ratio": round(delay, 4),
    }


def ratio(ours: Sequence[float], others: Sequence[float]) -> float | None:
    """The median of the rounds' ratios; None where the other was not run."""
    if not others:
        return None
    return round(statistics.median(a / b for a, b in zip(ours, others, strict=True)), 2)


@contextmanager
def null_server(cpu: int) -> Iterator[str]:
    """The URL of a null server held to a CPU."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rightsizer.instrument.null_server"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


@contextmanager
def generator(url: str, cpu: int, size: int) -> Iterator[Session]:
    """Our generator, held to a CPU, its connections warm."""
    body = Body("body", os.urandom(size), "application/octet-stream")
    request = Request("POST", "/", {}, [body], 10.0, ResponseCheck())
    with (
        tempfile.TemporaryDirectory() as folder,
        GuardedOwner([]) as owner,
        LocustTraffic().open(
            Endpoint(url), request, seed=1, trial_dir=Path(folder), owner=owner, cpus=[cpu]
        ) as session,
    ):
        drive(session, closed_step(99, CONNECTIONS, WARMUP_S))
        yield session


def drive(session: Session, step: Step) -> tuple[StepRecord, Samples]:
    """A step's record and its samples, all of them answered."""
    for _ in session.drive(step):
        pass
    samples = read_samples(session.sample_files)[: session.last.committed]
    samples = samples[samples["step"] == step.index]
    assert (samples["outcome"] == Outcome.SUCCEEDED).all()
    return session.last, samples


def stock_per_s(url: str, cpu: int, size: int) -> float:
    """Requests per second of Locust's FastHttpUser, by its own count."""
    command = ["-m", "locust", "-f", str(HERE / "stock_user.py"), "--host", url, "--headless"]
    command += ["-u", str(CONNECTIONS), "-r", str(CONNECTIONS), "-t", f"{STOCK_S}s", "--json"]
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "BODY_BYTES": str(size)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
        check=True,
    )
    [found] = json.loads(done.stdout)
    assert not found["num_failures"]
    length_s = found["last_request_timestamp"] - found["start_time"]
    return float(found["num_requests"] / length_s)


def wrk_per_s(url: str, cpu: int, size: int) -> float:
    """Requests per second of wrk, by its own count."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "POST"\nwrk.body = string.rep("x", {size})\n')
        script.flush()
        command = [str(WRK), "-t1", f"-c{CONNECTIONS}", f"-d{STOCK_S}s", "-s", script.name, url]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
            check=True,
        )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("Requests/sec:")]
    return float(line.split()[1])


if __name__ == "__main__":
    main()
