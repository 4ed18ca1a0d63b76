"""A job's trials on several hosts at once, on fakes; hosts that are lost, and that come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from rightsizer.errors import EnvironmentFault, Reason, TrialEnded, TrialInterrupted, TrialState
from rightsizer.events import TrialEnded as Ended
from rightsizer.events import TrialStarted
from rightsizer.hosts.base import Endpoint, Launch
from rightsizer.hosts.fake import FakeHost
from rightsizer.jobs import Outside, run
from rightsizer.machines import Machine
from rightsizer.results import Job
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import Store, default_store
from rightsizer.traffic.fake import FakeServer, FakeTraffic

from .fakes import JOB, write_job

HOSTS = """\
hosts:
  - {name: a, server_cpus: "2", generator_cpus: "0"}
  - {name: b, server_cpus: "3", generator_cpus: "1"}
"""
FOUR = JOB.replace('["slow", "fast"]', '["1", "2", "3", "4"]')
TWO_AT_ONCE = FOUR + "hosts: hosts.yaml\nlimits: {max_parallel_trials: 2}\n"
MEET_S = 20.0

Outcome = Callable[[Launch], TrialEnded | None]


@pytest.fixture(autouse=True)
def _four_cpus(monkeypatch):
    machine = Machine(((0,), (1,), (2,), (3,)), 4, 8 << 30, "cpu", "x86_64")
    monkeypatch.setattr("rightsizer.preparation.this_machine", lambda: machine)
    monkeypatch.setattr("rightsizer.running.kept_to", lambda cpus: nullcontext())
    monkeypatch.setattr("rightsizer.runner.ASK_EVERY_S", 0.01)


def job_file(folder: Path, text: str = TWO_AT_ONCE) -> Path:
    (folder / "hosts.yaml").write_text(HOSTS)
    return write_job(folder, text)


def outside(a: FakeHost, b: FakeHost) -> Outside:
    def served(endpoint: Endpoint) -> FakeServer:
        return FakeServer(service_ms=[50.0])

    return Outside(lambda prepared: {"a": a, "b": b}, FakeTraffic(served), leases=False)


def hosts_of(job: Job) -> list[str]:
    return [trial.host for trial in job.trials]


def test_two_trials_run_at_the_same_time_each_on_a_host_of_its_own(tmp_path: Path):
    both = threading.Barrier(2, timeout=MEET_S)  # a trial alone would break it

    def meet(launch: Launch) -> None:
        both.wait()

    events: list[object] = []
    job = run(
        job_file(tmp_path),
        outside=outside(FakeHost("a", meet), FakeHost("b", meet)),
        on_event=events.append,
    )
    assert [trial.state for trial in job.trials] == [TrialState.SUCCEEDED] * 4
    assert sorted(hosts_of(job)) == ["a", "a", "b", "b"]
    assert sorted(e.number for e in events if isinstance(e, TrialStarted)) == [1, 2, 3, 4]
    assert len([e for e in events if isinstance(e, Ended)]) == 4


def test_by_default_one_trial_runs_at_a_time(tmp_path: Path):
    a, b = FakeHost("a"), FakeHost("b")
    text = TWO_AT_ONCE.replace("limits: {max_parallel_trials: 2}\n", "")
    assert hosts_of(run(job_file(tmp_path, text), outside=outside(a, b))) == ["a"] * 4


def lost(host: list[FakeHost], times: int) -> Outcome:
    """A host that goes away in the middle of its first trials."""

    def outcome(launch: Launch) -> TrialEnded | None:
        if len(tried) >= times:
            return None
        tried.append(launch.trial_id)
        host[0].is_away = True
        return TrialInterrupted(Reason.HOST_LOST, "its engine is gone")

    tried: list[str] = []
    return outcome


def test_a_trial_of_a_host_that_is_lost_is_measured_elsewhere(tmp_path: Path):
    going: list[FakeHost] = []
    going.append(FakeHost("a", lost(going, 1)))
    job = run(job_file(tmp_path), outside=outside(going[0], FakeHost("b")))
    assert [trial.state for trial in job.trials] == [TrialState.SUCCEEDED] * 4
    assert hosts_of(job) == ["b"] * 4
    assert job.trials[0].attempt == 2


def test_a_trial_that_only_the_lost_host_can_run_waits_for_it(tmp_path: Path, monkeypatch):
    going: list[FakeHost] = []
    going.append(FakeHost("a", lost(going, 1)))
    asked = []

    def returns() -> bool:
        asked.append(1)
        return len(asked) == 3

    monkeypatch.setattr(going[0], "answers", returns)
    (tmp_path / "hosts.yaml").write_text(HOSTS.splitlines()[0] + "\n" + HOSTS.splitlines()[1])
    path = write_job(tmp_path, TWO_AT_ONCE)
    job = run(path, outside=outside(going[0], FakeHost("b")))
    assert [trial.state for trial in job.trials] == [TrialState.SUCCEEDED] * 4
    assert hosts_of(job) == ["a"] * 4
    assert len(asked) == 3


def test_a_host_that_does_not_return_interrupts_its_trials_and_the_job_goes_on(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("rightsizer.runner.RETURN_S", 0.05)
    gone: list[FakeHost] = []
    gone.append(FakeHost("a", lost(gone, 100)))
    (tmp_path / "hosts.yaml").write_text(HOSTS.splitlines()[0] + "\n" + HOSTS.splitlines()[1])
    job = run(write_job(tmp_path, TWO_AT_ONCE), outside=outside(gone[0], FakeHost("b")))
    assert job.status == "completed"
    assert [trial.state for trial in job.trials] == [TrialState.INTERRUPTED] * 4
    assert {trial.reason for trial in job.trials} == {Reason.HOST_LOST}


def test_a_fault_of_this_machine_in_one_trial_ends_the_others(tmp_path: Path):
    running = threading.Event()

    def fault(launch: Launch) -> None:
        assert running.wait(MEET_S)
        raise EnvironmentFault("the disk is full", "no space left")

    def slow(launch: Launch) -> None:
        running.set()

    with pytest.raises(EnvironmentFault, match="the disk is full"):
        run(job_file(tmp_path), outside=outside(FakeHost("a", fault), FakeHost("b", slow)))
    with Store(default_store()) as store:
        [stored] = store.jobs()
        states = {record.state for record in store.trials(stored.id)}
    assert stored.status == "failed"
    assert TrialState.RUNNING not in states


def test_a_press_of_the_switch_ends_all_that_runs(tmp_path: Path):
    switch = StopSwitch()
    both = threading.Barrier(2, timeout=MEET_S)

    def meet(launch: Launch) -> None:
        both.wait()
        switch.press()

    job = run(
        job_file(tmp_path),
        outside=outside(FakeHost("a", meet), FakeHost("b", meet)),
        switch=switch,
    )
    assert job.status == "stopped"
    assert {trial.state for trial in job.trials} == {TrialState.STOPPED}
    assert len(job.trials) == 4
