"""A whole engine on fakes: job files in a folder, hosts and traffic with known answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rightsizer.errors import TrialFailed
from rightsizer.hosts.base import Endpoint, Launch
from rightsizer.hosts.fake import FakeHost
from rightsizer.jobs import Outside
from rightsizer.traffic.fake import FakeServer, FakeTraffic

JOB = """\
name: demo
server:
  command: ["{python}", "server.py", "{port}"]
  protocol: raw
payload: {archive: body.txt, content_type: text/plain}
candidates:
  - instance_type: local.1cpu
    environment: {SPEED: ["slow", "fast"]}
traffic: {type: stairs, users_per_step: 1, steps: 3, duration_s: 60}
limit: {percentile: P95, latency_ms: 120}
target: {invocations_per_min: 2000}
stop: {flat_invocations: continue}
prices: prices.csv
"""

PRICES = "instance_type,price_per_hour\nlocal.1cpu,0.6\n"

SERVICE_MS = {"slow": 100.0, "fast": 50.0}


def write_job(folder: Path, text: str = JOB) -> Path:
    """The job file and what it names."""
    (folder / "body.txt").write_text("hello")
    (folder / "prices.csv").write_text(PRICES)
    path = folder / "job.yaml"
    path.write_text(text)
    return path


def fake_outside(
    *,
    outcome: Callable[[Launch], TrialFailed | None] = lambda launch: None,
    crashes: Callable[[Launch], int | None] = lambda launch: None,
    behaviour: Callable[[Mapping[str, str]], FakeServer] | None = None,
) -> Outside:
    """Hosts and traffic without processes. A candidate's SPEED sets its service time."""
    host = FakeHost("local", outcome, crashes)

    def served(endpoint: Endpoint) -> FakeServer:
        environment = host.environment_at(endpoint)
        if behaviour is not None:
            return behaviour(environment)
        return FakeServer(service_ms=[SERVICE_MS[environment["SPEED"]]])

    return Outside(
        hosts=lambda prepared: {"local": host}, traffic=FakeTraffic(served), leases=False
    )
