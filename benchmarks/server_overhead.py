"""What containers/savedmodel-server costs over calling the same signature in a bare loop.

    python benchmarks/server_overhead.py [--rounds 7] [--json]

Server and bare loop run on one core in turns, this client on another. Two figures: throughput on
ResNet50 under JPEGs (at least 0.95 of the loop's), and the latency added to a model of about 1 ms
(at most 0.4 ms to the median, 1 ms to the P99). The exit status is 1 where one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from keep_alive_client import connect, post, saturate

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "containers" / "savedmodel-server" / "serve.py"
WORKER = Path(__file__).with_name("bare_loop.py")
RESNET50 = ROOT / "build" / "resnet50" / "model"
IMAGES = ROOT / "payloads" / "images.tar.gz"

LEAST_THROUGHPUT_RATIO = 0.95
MOST_ADDED_P50_MS = 0.4
MOST_ADDED_P99_MS = 1.0
# Short turns, so that both meet the same noise of the machine.
RESNET50_TURNS = 3
RESNET50_TURN_REQUESTS = 8  # twice each image
SMALL_TURNS = 10
SMALL_TURN_REQUESTS = 100
READY_TIMEOUT_S = 120.0

JSON = "application/json"

Figures = dict[str, Any]


def main() -> int:
    """Measure, print, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="%(default)s")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2 or not RESNET50.is_dir() or not IMAGES.is_file():
        print(
            "server_overhead.py: needs 2 CPUs and `make build/resnet50/model.tar.gz "
            "payloads/images.tar.gz`",
            file=sys.stderr,
        )
        return 2
    os.sched_setaffinity(0, {cpus[1]})
    with tempfile.TemporaryDirectory() as scratch:
        small_body = json.dumps({"instances": [[0.5] * 8]}).encode()
        build_small(Path(scratch), cpus[0])
        figures = {
            "resnet50": compare_throughput(options.rounds, cpus[0]),
            "small": compare_latency(options.rounds, cpus[0], Path(scratch), small_body),
        }
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 0 if all(figure["within_limits"] for figure in figures.values()) else 1


def compare_throughput(rounds: int, cpu: int) -> Figures:
    """ResNet50 under JPEGs: two connections, so that the next request is there when one ends."""
    bodies = read_images()
    with bare_loop(RESNET50, "image_bytes", bodies, cpu) as bare, server(RESNET50, cpu) as port:
        ratios, bare_rates, server_rates = [], [], []
        for number in range(rounds + 1):
            bare_s = server_s = 0.0
            for _ in range(RESNET50_TURNS):
                bare_s += sum(bare(RESNET50_TURN_REQUESTS))
                server_s += saturate(port, list(islice(cycle(bodies), RESNET50_TURN_REQUESTS)))
            if number:  # the first round warms both up
                ratios.append(bare_s / server_s)
                bare_rates.append(RESNET50_TURNS * RESNET50_TURN_REQUESTS / bare_s)
                server_rates.append(RESNET50_TURNS * RESNET50_TURN_REQUESTS / server_s)
    ratio = statistics.median(ratios)
    return {
        "throughput_ratio": round(ratio, 4),
        "throughput_ratio_by_round": [round(value, 3) for value in ratios],
        "bare_per_s": round(statistics.median(bare_rates), 2),
        "server_per_s": round(statistics.median(server_rates), 2),
        "within_limits": ratio >= LEAST_THROUGHPUT_RATIO,
    }


def compare_latency(rounds: int, cpu: int, model: Path, body: bytes) -> Figures:
    """A model of about 1 ms: one connection, so that nothing waits in a queue.

    What is added includes this client and the waking of both sides. Whatever else runs on the
    machine meanwhile lengthens the P99 by whole time slices: the figures need a quiet machine.
    """
    with bare_loop(model, "x", [], cpu) as bare, server(model, cpu) as port, connect(port) as line:
        added_p50, added_p99, bare_p50, bare_p99 = [], [], [], []
        for number in range(rounds + 1):
            loop_s, served_s = [], []
            for _ in range(SMALL_TURNS):
                loop_s += bare(SMALL_TURN_REQUESTS)
                served_s += [post(line, body, JSON) for _ in range(SMALL_TURN_REQUESTS)]
            loop_s.sort()
            served_s.sort()
            if number:
                added_p50.append(1000 * (rank(served_s, 0.5) - rank(loop_s, 0.5)))
                added_p99.append(1000 * (rank(served_s, 0.99) - rank(loop_s, 0.99)))
                bare_p50.append(1000 * rank(loop_s, 0.5))
                bare_p99.append(1000 * rank(loop_s, 0.99))
    p50, p99 = statistics.median(added_p50), statistics.median(added_p99)
    return {
        "added_p50_ms": round(p50, 3),
        "added_p99_ms": round(p99, 3),
        "added_p50_ms_by_round": [round(value, 3) for value in added_p50],
        "added_p99_ms_by_round": [round(value, 3) for value in added_p99],
        "bare_p50_ms": round(statistics.median(bare_p50), 3),
        "bare_p99_ms": round(statistics.median(bare_p99), 3),
        "within_limits": p50 <= MOST_ADDED_P50_MS and p99 <= MOST_ADDED_P99_MS,
    }


def as_text(figures: dict[str, Figures]) -> str:
    """Both figures and their limits, a line each."""
    resnet50, small = figures["resnet50"], figures["small"]
    return (
        f"ResNet50, JPEGs: {resnet50['server_per_s']}/s served, {resnet50['bare_per_s']}/s in a "
        f"bare loop: ratio {resnet50['throughput_ratio']} (at least {LEAST_THROUGHPUT_RATIO})\n"
        f"{small['bare_p50_ms']} ms model: {small['added_p50_ms']} ms added to the median (at most "
        f"{MOST_ADDED_P50_MS}), {small['added_p99_ms']} ms to the P99 (at most {MOST_ADDED_P99_MS})"
    )


def rank(ordered: Sequence[float], quantile: float) -> float:
    """The nearest-rank percentile."""
    return ordered[max(0, -(-round(quantile * 1000) * len(ordered) // 1000) - 1)]


def read_images() -> list[bytes]:
    """The four JPEGs of the demo, 0.2 to 2 MB."""
    with tarfile.open(IMAGES) as archive:
        files = [archive.extractfile(member) for member in archive if member.isfile()]
        return [file.read() for file in files if file]


def build_small(folder: Path, cpu: int) -> None:
    """A model that takes about 1 ms on this core."""
    command = [sys.executable, str(WORKER), "build", str(folder)]
    subprocess.run(command, check=True, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))


@contextmanager
def started(command: list[str], cpu: int, **pipes: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core, ended on the way out."""
    process = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}), **pipes)
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


@contextmanager
def bare_loop(
    model: Path, name: str, bodies: list[bytes], cpu: int
) -> Iterator[Callable[[int], list[float]]]:
    """The rival: calls the signature that many times, and tells the seconds of each call."""
    with tempfile.TemporaryDirectory() as folder:
        for number, body in enumerate(bodies):
            (Path(folder) / f"{number}.bin").write_bytes(body)
        command = [sys.executable, str(WORKER), "loop", str(model), name, folder]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with started(command, cpu, **pipes) as process:

            def run(count: int) -> list[float]:
                assert process.stdin
                assert process.stdout
                process.stdin.write(f"{count}\n".encode())
                process.stdin.flush()
                seconds: list[float] = json.loads(process.stdout.readline())
                return seconds

            yield run


@contextmanager
def server(model: Path, cpu: int) -> Iterator[int]:
    """The server under test on a free port, ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, str(SERVER), "--port", str(port), "--model-dir", str(model)]
    with started(command, cpu, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: run {' '.join(command)}")
            time.sleep(0.1)
        yield port


if __name__ == "__main__":
    sys.exit(main())
