"""How long answers about a stored job take: its page, and `what-if`.

    python benchmarks/answers.py [--times 7] [--json]

A job of 40 candidates is raced on the shipped fakes, hosts and traffic without processes; then it
is asked about, each question `--times` times, medians. Another job's servers answer four at once:
their queues take longest to make. A command is the whole process. Its answer
is the same verb in a process that has answered before, with nothing kept of it: reading the store,
judging, printing. What the command takes beyond that is mostly the interpreter's start and imports.
The limits are the answers', 0.5 s for `what-if` and 3 s for the page, and 2 MB for the page's size;
the exit status is 1 where one is missed. A minute.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from rightsizer.analysis import queue_model
from rightsizer.cli import run_verb
from rightsizer.hosts.base import Endpoint
from rightsizer.hosts.fake import FakeHost
from rightsizer.jobs import Outside, run
from rightsizer.results import Job
from rightsizer.traffic.fake import FakeServer, FakeTraffic
from rightsizer.units import size

MOST_S = {"report": 3.0, "what-if target": 0.5, "what-if limit": 0.5}
"""Of an answer."""
AT_ONCE = (1, 4)
"""Requests that a server works on."""
MOST_PAGE_BYTES = 2_000_000
JOB = """\
name: forty
server:
  command: ["{python}", "server.py", "{port}"]
  protocol: raw
payload: {archive: body.txt, content_type: text/plain}
candidates:
  - instance_type: local.1cpu
    environment: {A: ["0", "1", "2", "3", "4"], B: ["0", "1", "2", "3"], C: ["0", "1"]}
traffic: {type: search, budget_s: 60}
limit: {percentile: P95, latency_ms: 120}
target: {invocations_per_min: 5000}
prices: prices.csv
limits: {max_trials: 200, duration_s: 100000}
"""
GAIN = {"A": 0.03, "B": 0.02, "C": 0.01}
"""How much slower each step of a variable makes the server."""

READINGS = 120
"""Of what a server uses: a real trial of a minute keeps as many, the fake an hour of them."""


def main() -> int:
    """Race, ask, print, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for at_once in AT_ONCE:
        with tempfile.TemporaryDirectory() as made:
            rows.append(asked(Path(made), at_once, options.times))
    missed = any(row["page_bytes"] > MOST_PAGE_BYTES for row in rows)
    missed |= any(row["took"][name]["answer_s"] > MOST_S[name] for row in rows for name in MOST_S)
    if options.json:
        print(json.dumps({"jobs": rows, "times": options.times, "missed": missed}))
        return int(missed)
    for row in rows:
        print(f"{row['candidates']} candidates, {row['trials']} trials, {row['at_once']} at once")
        for name, of in row["took"].items():
            print(
                f"{name}: answer {of['answer_s']:.2f} s (at most {MOST_S[name]:g}), start and "
                f"imports {of['start_s']:.2f} s, command {of['command_s']:.2f} s"
            )
        print(f"page: {size(row['page_bytes'])} (at most {size(MOST_PAGE_BYTES)})")
    return int(missed)


def asked(folder: Path, at_once: int, times_each: int) -> dict[str, Any]:
    """How long the answers about one job take."""
    job = raced(folder, at_once)
    page = folder / "page.html"
    store = ["--store", str(folder / "store")]
    questions = {
        "report": ["report", job.id, "-o", str(page), *store],
        "what-if target": ["what-if", job.id, "--invocations-per-min", "9000", *store],
        "what-if limit": ["what-if", job.id, "--limit-ms", "100", *store],
    }
    took = {name: times(arguments, times_each) for name, arguments in questions.items()}
    return {
        "at_once": at_once,
        "candidates": len({trial.candidate.id for trial in job.trials}),
        "trials": len(job.trials),
        "page_bytes": page.stat().st_size,
        "took": took,
    }


def raced(folder: Path, at_once: int = 1) -> Job:
    """A job whose every candidate was measured, and the best ones again and again."""
    (folder / "body.txt").write_text("hello")
    (folder / "prices.csv").write_text("instance_type,price_per_hour\nlocal.1cpu,0.6\n")
    (folder / "job.yaml").write_text(JOB)
    return run(folder / "job.yaml", store=folder / "store", outside=fakes(at_once))


def fakes(at_once: int) -> Outside:
    """Hosts and traffic without processes; a candidate's variables set its service time."""
    host = FakeHost("local", usage_s=READINGS)

    def served(endpoint: Endpoint) -> FakeServer:
        environment = host.environment_at(endpoint)
        return FakeServer(
            service_ms=[10 * math.prod(1 + GAIN[name] * int(environment[name]) for name in GAIN)],
            servers=at_once,
        )

    return Outside(
        hosts=lambda prepared: {"local": host}, traffic=FakeTraffic(served), leases=False
    )


def times(arguments: list[str], count: int) -> dict[str, float]:
    """Medians, s, of a command, of its answer, and what is left of the one without the other."""
    program = str(Path(sys.executable).parent / "rightsizer")

    def command() -> None:
        subprocess.run([program, *arguments], stdout=subprocess.DEVNULL, check=True)

    def answer() -> None:
        for kept in vars(queue_model).values():  # else only the first answer would make the queues
            if hasattr(kept, "cache_clear"):
                kept.cache_clear()
        with redirect_stdout(StringIO()):
            run_verb(arguments)

    command_s = median_s(command, count)
    answer_s = median_s(answer, count)
    return {"command_s": command_s, "answer_s": answer_s, "start_s": command_s - answer_s}


def median_s(act: Callable[[], Any], count: int) -> float:
    """Of so many times, after one that loads what is loaded once."""
    act()
    took_s = []
    for _ in range(count):
        began_s = time.perf_counter()
        act()
        took_s.append(time.perf_counter() - began_s)
    return statistics.median(took_s)


if __name__ == "__main__":
    sys.exit(main())
