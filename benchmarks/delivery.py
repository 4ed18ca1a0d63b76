"""Request heads that the server read against samples: equal, whatever happens in between.

    python benchmarks/delivery.py [--runs 100] [--json]

Each run is a step drawn at random, closed with a ramp or open, on a path that answers, fails, times
out or resets, sometimes with a stall in the middle and sometimes stopped or abandoned early. What
never reached the server must be classed so: no connection, or a time-out before it was sent. About
3 minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rightsizer.hosts.base import Endpoint
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.protocols import Body, Request, ResponseCheck
from rightsizer.samples import Outcome, read_samples
from rightsizer.schedule import Level, Step
from rightsizer.traffic.driver import LocustTraffic

SCRIPTED = Path(__file__).parents[1] / "tests" / "traffic" / "servers" / "scripted.py"
PATHS = ("/slow?ms=20", "/slow?ms=200", "/status?code=503", "/reset", "/close", "/never", "/drip")
TIMEOUT_S = 0.5
STALL_S = 0.7
NOT_DELIVERED = (Outcome.CONNECT, Outcome.DROPPED)


def main() -> int:
    """All runs; 1 where one of them differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="%(default)s")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    equal, requests, outcomes, off = 0, 0, Counter[str](), []
    for seed in range(options.runs):
        heads, found = run(seed)
        delivered = sum(n for kind, n in found.items() if kind not in NOT_DELIVERED)
        equal += heads == delivered
        requests += heads
        outcomes.update({kind.name.lower(): n for kind, n in found.items()})
        if heads != delivered:
            off.append({"seed": seed, "heads": heads, "delivered": delivered})
    figures = {"runs": options.runs, "equal": equal, "heads": requests, "outcomes": outcomes}
    print(json.dumps({**figures, "off": off}) if options.json else figures)
    return 0 if equal == options.runs else 1


def run(seed: int) -> tuple[int, dict[Outcome, int]]:
    """Heads that the server read, and the samples by outcome."""
    rng = random.Random(seed)
    step = drawn_step(rng)
    body = Body("body", b"x" * rng.choice((10, 5000)), "text/plain")
    request = Request("POST", rng.choice(PATHS), {}, [body], TIMEOUT_S, ResponseCheck())
    stop = rng.choice((None, None, "stop_step", "abandon"))
    stalls = rng.random() < 0.3
    with (
        tempfile.TemporaryDirectory() as folder,
        scripted() as url,
        GuardedOwner([]) as owner,
        LocustTraffic().open(
            Endpoint(url), request, seed=seed, trial_dir=Path(folder), owner=owner, cpus=[]
        ) as session,
    ):
        for number, progress in enumerate(session.drive(step)):
            if number == 0 and stalls:
                get(f"{url}/stall?s={STALL_S}")
            if stop is not None and progress.elapsed_s > step.duration_s / 2:
                getattr(session, stop)()
                stop = None
        samples = read_samples(session.sample_files)
        time.sleep(0.05)  # a head that was sent last may still be read
        heads = get(f"{url}/count")["heads"]
    return heads, {Outcome(kind): n for kind, n in Counter(samples["outcome"].tolist()).items()}


def drawn_step(rng: random.Random) -> Step:
    """Users that come and go, or arrivals; a second or two."""
    length_s = rng.choice((1.0, 2.0))
    if rng.random() < 0.4:
        return Step(0, "open", length_s, rate_per_s=rng.choice((20.0, 150.0)))
    users = [rng.randint(1, 12) for _ in range(3)]
    levels = tuple(Level(i * length_s / 3, count) for i, count in enumerate(users))
    return Step(0, "closed", length_s, levels=levels)


@contextmanager
def scripted() -> Iterator[str]:
    """The URL of a server that counts heads."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen([sys.executable, str(SCRIPTED), str(port)])
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                get(f"{url}/count")
                break
            except OSError:
                time.sleep(0.02)
        yield url
    finally:
        process.kill()
        process.wait()


def get(url: str) -> dict[str, int]:
    """A reply of the server."""
    with urllib.request.urlopen(url, timeout=10) as reply:
        found: dict[str, int] = json.loads(reply.read())
        return found


if __name__ == "__main__":
    sys.exit(main())
