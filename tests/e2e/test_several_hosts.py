"""One job on two real Docker engines of which each counts as another machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rightsizer.events import Event, StepStarted, TrialStarted
from rightsizer.jobs import run
from rightsizer.results import Job

from tests.hosts.engines import OwnEngine, own_engine, require_own_engines

from .conftest import wait_until_none

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two generators need two CPUs"),
]

JOB = """\
name: far
server:
  image: {image}
  command: ["python3", "-u", "/ready.py", "{{port}}"]
  protocol: raw
  request: {{path: /ping, method: GET}}
  ready_path: /ping
  environment: {{LISTEN: 0.0.0.0}}
  request_timeout_s: 2
payload: {{archive: body.txt, content_type: text/plain}}
candidates:
  - instance_type: local.1cpu
    environment: {{N: ["1", "2", "3", "4"]}}
traffic: {{type: rate, per_s: 20, arrivals: constant, duration_s: 4}}
limit: {{latency_ms: 500}}
limits: {{max_parallel_trials: 2}}
hosts: hosts.yaml
"""


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, OwnEngine]]:
    """Two for all tests: the one that kills one of them is the last."""
    require_own_engines()
    with ExitStack() as stack:
        yield {name: stack.enter_context(own_engine()) for name in ("a", "b")}


@pytest.fixture
def job_file(tmp_path: Path, engines: dict[str, OwnEngine]) -> Path:
    (tmp_path / "body.txt").write_text("hello")
    entries = [f"  - {{name: {name}, {e.hosts_entry}}}" for name, e in engines.items()]
    (tmp_path / "hosts.yaml").write_text("\n".join(["hosts:", *entries]))
    path = tmp_path / "job.yaml"
    path.write_text(JOB.format(image=engines["a"].image))
    return path


def measured(job: Job) -> list[str]:
    """The trials that were measured to their end. Two generators and two servers on few CPUs may
    be too noisy a measurement to be valid; that it was made is what is judged here."""
    ended = ("succeeded", "invalid")
    return [t.id for t in job.trials if t.state.value in ended and t.requests.succeeded]


def test_four_trials_run_two_at_a_time_on_two_machines(job_file, engines, tmp_path):
    began: list[Event] = []
    job = run(job_file, on_event=began.append)
    assert len(measured(job)) == 4
    assert sorted(trial.host for trial in job.trials) == ["a", "a", "b", "b"]
    order = [event for event in began if isinstance(event, TrialStarted | StepStarted)]
    # The second trial began before the first one's traffic did.
    assert [type(event) for event in order[:2]] == [TrialStarted, TrialStarted]
    document = json.dumps(job.document())
    assert "is another machine" in document
    for engine in engines.values():
        client = engine.client()
        assert client.containers(all=True) == []
        client.close()
    assert wait_until_none(tmp_path, 10.0) == []


def test_when_one_of_two_machines_dies_its_trial_is_measured_on_the_other(
    job_file, engines, tmp_path
):
    killed: list[str] = []

    def kill(event: Event) -> None:
        if isinstance(event, StepStarted) and not killed:
            killed.append(places[event.trial_id])
            engines[killed[0]].kill()
        if isinstance(event, TrialStarted):
            places[event.trial_id] = event.host

    places: dict[str, str] = {}
    job = run(job_file, on_event=kill)
    [dead] = killed
    assert job.status == "completed"
    assert len(measured(job)) == 4
    assert {trial.host for trial in job.trials} == {"a", "b"} - {dead}
    assert max(trial.attempt for trial in job.trials) == 2
    assert wait_until_none(tmp_path, 10.0) == []
