"""What is left of a job: as planned, until trials of this run have told."""

from __future__ import annotations

from pathlib import Path

import pytest
from rightsizer.events import JobStarted, TrialStarted
from rightsizer.hosts import fake
from rightsizer.jobs import run
from rightsizer.pace import Pace
from rightsizer.plan import Plan

from .fakes import JOB, fake_outside, write_job

PLAN = Plan((), (), (), 60.0, finals=12)
SEARCH = JOB.replace(
    "{type: stairs, users_per_step: 1, steps: 3, duration_s: 60}", "{type: search, budget_s: 60}"
)


def test_as_planned_a_start_takes_ten_seconds_and_finals_are_to_come():
    assert Pace(PLAN).left_s("scout", 0.0, ["scout", "scout"], 0) == pytest.approx(3 * 70 + 12 * 30)


def test_a_server_that_took_longer_to_start_is_reckoned_with_for_all_to_come():
    pace = Pace(PLAN, starts_s=[25.0, 35.0])
    assert pace.left_s("scout", 40.0, ["scout"], 0) == pytest.approx(50 + 90 + 12 * 50)


def test_trials_that_ended_tell_of_those_of_their_kind():
    pace = Pace(PLAN, starts_s=[30.0])
    pace.ended("scout", 100.0)
    assert pace.left_s("scout", 20.0, ["scout"], 0) == pytest.approx(80 + 100 + 12 * 50)
    pace.ended("final", 40.0)
    assert pace.left_s("final", 10.0, ["final"], 4) == pytest.approx(30 + 40 + 8 * 40)


def test_a_race_that_goes_on_beyond_what_is_usual_has_only_its_block_left():
    assert Pace(PLAN).left_s("final", 31.0, ["final"], 14) == pytest.approx(30)


def started(folder: Path, text: str) -> list[JobStarted | TrialStarted]:
    """What a run says as its job and its trials start."""
    said: list[JobStarted | TrialStarted] = []

    def hear(event: object) -> None:
        if isinstance(event, JobStarted | TrialStarted):
            said.append(event)

    run(write_job(folder, text), outside=fake_outside(), on_event=hear)
    return said


def test_the_first_scout_of_a_race_has_its_finals_still_before_it(tmp_path: Path):
    job, first, *_ = started(tmp_path, SEARCH)
    assert isinstance(job, JobStarted)
    assert isinstance(first, TrialStarted)
    assert first.left_s == pytest.approx(job.expected_s, abs=1) == pytest.approx(2 * 70 + 12 * 30)


def test_a_job_never_has_more_left_than_it_may_take(tmp_path: Path):
    _, first, *_ = started(tmp_path, SEARCH + "limits: {duration_s: 135}\n")
    assert isinstance(first, TrialStarted)
    assert 130 < first.left_s <= 135


def test_a_run_learns_from_the_first_server_that_was_ready(tmp_path: Path, monkeypatch):
    slow = fake.FakeServer.__init__

    def take_long(self: fake.FakeServer, *args: object) -> None:
        slow(self, *args)  # type: ignore[arg-type]
        self.ready_s = 40.0

    monkeypatch.setattr(fake.FakeServer, "__init__", take_long)
    monkeypatch.setattr(Pace, "ended", lambda self, stage, wall_s: None)
    _, _, second, *_ = started(tmp_path, SEARCH)
    assert isinstance(second, TrialStarted)
    assert second.left_s == pytest.approx((40 + 60) + 12 * (40 + 20), abs=1)
