"""Scouts, then finals among those that may be the best: on fakes with known speeds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from rightsizer.analysis.maximum import queue_of
from rightsizer.entrants import curve_of
from rightsizer.errors import (
    ExitCode,
    Reason,
    TrialFailed,
    TrialInterrupted,
    TrialInvalid,
    TrialState,
)
from rightsizer.jobs import resume, run
from rightsizer.loading import load
from rightsizer.spec import LimitSpec
from rightsizer.stop_switch import StopSwitch
from rightsizer.traffic.fake import FakeServer
from rightsizer.what_ifs import what_if

from .fakes import JOB, fake_outside, write_job

RACE = (
    JOB.replace('["slow", "fast"]', "[{values}]")
    .replace(
        "{type: stairs, users_per_step: 1, steps: 3, duration_s: 60}",
        "{type: search, budget_s: 60}",
    )
    .replace("target: {invocations_per_min: 2000}\n", "")
    .replace("stop: {flat_invocations: continue}\n", "limits: {max_trials: {most}}\n")
)


def race(folder: Path, *times_ms: float, most: int = 40, **outside):
    """A job of candidates with these service times, ms; SPEED is the time."""
    values = ", ".join(f'"{time}"' for time in times_ms)
    text = RACE.replace("{values}", values).replace("{most}", str(most))
    given = {"behaviour": served, **outside}
    return run(write_job(folder, text), outside=fake_outside(**given))


def served(environment) -> FakeServer:
    return FakeServer(service_ms=[float(environment["SPEED"])])


def starts_once(*speeds: str):
    """An outcome of launches: these crash whenever they are started again."""
    started: set[str] = set()

    def outcome(launch):
        speed = launch.environment["SPEED"]
        if speed in speeds and speed in started:
            return TrialFailed(Reason.CRASHED, "it starts only once")
        started.add(speed)
        return None

    return outcome


def finals_of(job, speed: str):
    return [
        trial
        for trial in job.trials
        if trial.stage == "final" and trial.candidate.environment["SPEED"] == speed
    ]


def test_the_clear_winner_is_measured_on_three_fresh_starts_and_the_loser_dropped(tmp_path: Path):
    job = race(tmp_path, 20.0, 40.0)
    fast, slow = job.recommendations
    assert [row.environment["SPEED"] for row in job.recommendations] == ["20.0", "40.0"]
    assert (len(finals_of(job, "20.0")), len(finals_of(job, "40.0"))) == (3, 0)
    assert fast.p_best > 0.99
    assert slow.p_best < 0.01
    assert fast.tied_with_best is slow.tied_with_best is False
    assert (fast.starts, slow.starts) == (4, 1)
    assert "dropped" in {doubt.code for doubt in slow.doubts}
    assert "one-start" in {doubt.code for doubt in slow.doubts}
    assert "one-start" not in {doubt.code for doubt in fast.doubts}
    assert slow.max_invocations_per_min > 0
    assert job.exit_code is ExitCode.OK


def test_equal_candidates_meet_in_six_blocks_or_more_and_are_called_tied(tmp_path: Path):
    job = race(tmp_path, 20.0, 20.001, 45.0)
    first, second, last = job.recommendations
    assert first.tied_with_best is second.tied_with_best is True
    assert last.tied_with_best is False
    assert first.p_best + second.p_best == pytest.approx(1.0, abs=0.01)
    blocks = [trial.block for trial in finals_of(job, "20.0")]
    assert len(blocks) >= 6
    assert blocks == list(range(1, len(blocks) + 1))
    assert blocks == [trial.block for trial in finals_of(job, "20.001")]
    [doubt] = [d for d in first.doubts if d.code == "tied"]
    assert doubt.severity == "note"
    assert doubt.next_step.startswith("take either")


def test_finals_of_a_block_share_their_arrivals_and_blocks_do_not(tmp_path: Path):
    job = race(tmp_path, 20.0, 20.001)
    sent = {
        (trial.block, trial.candidate.environment["SPEED"]): trial.requests.attempted
        for trial in job.trials
        if trial.stage == "final"
    }
    for block in range(1, 7):
        assert sent[block, "20.0"] == pytest.approx(sent[block, "20.001"], rel=0.02)
    assert len({sent[block, "20.0"] for block in range(1, 7)}) > 1


def test_the_order_within_a_block_is_not_always_the_same(tmp_path: Path):
    job = race(tmp_path, 20.0, 20.001)
    finals = [trial for trial in job.trials if trial.stage == "final"]
    firsts = {pair[0].candidate.id for pair in zip(finals[::2], finals[1::2], strict=True)}
    assert len(firsts) == 2


def test_a_race_stops_at_max_trials_and_says_what_it_would_take_to_tell(tmp_path: Path):
    job = race(tmp_path, 20.0, 20.0005, most=4)
    assert len(job.trials) == 4
    assert {trial.block for trial in job.trials} == {0, 1}
    assert job.best.starts == 2
    assert job.best.tied_with_best is True
    [doubt] = [d for d in job.best.doubts if d.code == "not-separated"]
    assert "1 other may be as good" in doubt.message
    starts, minutes = doubt.figures["more_starts"], doubt.figures["more_min"]
    finals_s = [trial.wall_s for trial in job.trials if trial.stage == "final"]
    assert minutes == pytest.approx(starts * sum(finals_s) / 60)
    assert f"about {starts:.0f} more starts of each" in doubt.next_step


def test_a_candidate_that_fails_when_started_again_is_not_recommended(tmp_path: Path):
    job = race(tmp_path, 20.0, 20.4, outcome=starts_once("20.0"))
    assert job.best.environment["SPEED"] == "20.4"
    assert all(trial.reason is Reason.CRASHED for trial in finals_of(job, "20.0"))


def test_a_value_with_which_nothing_starts_is_given_up_after_two(tmp_path: Path):
    speeds = 'SPEED: ["20.0", "40.0", "60.0", "80.0"], MODE: [bad, good]'
    text = RACE.replace("SPEED: [{values}]", speeds)
    started = []

    def outcome(launch):
        started.append((launch.environment["MODE"], launch.environment["SPEED"]))
        if launch.environment["MODE"] == "bad":
            return TrialFailed(Reason.EXITED_AT_START, "exit code 1")
        return None

    path = write_job(tmp_path, text.replace("{most}", "12"))
    job = run(path, outside=fake_outside(outcome=outcome, behaviour=served))
    assert sum(mode == "bad" for mode, _ in started) == 2
    skipped = [trial for trial in job.trials if trial.reason is Reason.INFEASIBLE]
    assert [trial.candidate.environment["MODE"] for trial in skipped] == ["bad", "bad"]
    assert {trial.detail for trial in skipped} == {
        "2 candidates with MODE=bad ended with exited-at-start"
    }
    assert job.best.environment == {"MODE": "good", "SPEED": "20.0"}
    assert job.exit_code is ExitCode.PARTIAL


def test_a_variable_that_is_fixed_makes_no_candidate_infeasible(tmp_path: Path):
    text = RACE.replace("SPEED: [{values}]", 'SPEED: ["20.0", "40.0", "60.0"], MODE: fixed')

    def outcome(launch):
        if launch.environment["SPEED"] != "60.0":
            return TrialFailed(Reason.EXITED_AT_START, "exit code 1")
        return None

    path = write_job(tmp_path, text.replace("{most}", "12"))
    job = run(path, outside=fake_outside(outcome=outcome, behaviour=served))
    assert job.best.environment["SPEED"] == "60.0"
    assert Reason.INFEASIBLE not in {trial.reason for trial in job.trials}


def test_a_scout_that_is_lost_for_good_leaves_the_others_their_finals(tmp_path: Path):
    def outcome(launch):
        if launch.environment["SPEED"] == "21.0":
            return TrialInterrupted(Reason.ENGINE_LOST, "gone")
        return None

    job = race(tmp_path, 20.0, 21.0, 20.001, outcome=outcome)
    assert len(finals_of(job, "20.0")) == len(finals_of(job, "20.001")) >= 6
    [lost] = [t for t in job.trials if t.candidate.environment["SPEED"] == "21.0"]
    assert lost.state is TrialState.INTERRUPTED


def test_finals_that_the_machine_spoilt_do_not_speak_against_a_candidate(tmp_path: Path):
    starts: dict[str, int] = {}

    def outcome(launch):
        speed = launch.environment["SPEED"]
        starts[speed] = starts.get(speed, 0) + 1
        if speed == "20.0" and starts[speed] in (2, 3):
            return TrialInvalid(Reason.GENERATOR_LOST, "gone")
        return None

    job = race(tmp_path, 20.0, 20.001, outcome=outcome)
    assert {row.environment["SPEED"] for row in job.recommendations} == {"20.0", "20.001"}
    assert not job.rejected


def test_one_candidate_alone_has_nobody_to_race(tmp_path: Path):
    job = race(tmp_path, 20.0)
    assert len(job.trials) == 1
    assert job.best.p_best is None
    assert job.best.tied_with_best is None


def test_one_beside_another_that_told_no_maximum_has_its_three_finals(tmp_path: Path):
    job = race(tmp_path, 20.0, 70.0)
    [row] = job.recommendations
    assert [rejected.reason for rejected in job.rejected] == ["budget-too-short"]
    assert (len(job.trials), len(finals_of(job, "20.0"))) == (5, 3)
    assert row.p_best > 0.95
    assert "race-without" not in {doubt.code for doubt in row.doubts}


def test_a_scout_keeps_the_queue_of_its_closed_steps_and_a_final_has_none(tmp_path: Path):
    job = load(race(tmp_path, 20.0, 40.0).id)
    for trial in job.trials:
        made = queue_of(trial.steps, LimitSpec(percentile="P95", latency_ms=120.0))
        assert trial.figures.queue == (made if trial.stage == "scout" else None)
    assert curve_of(job.trials[0], LimitSpec(percentile="P95", latency_ms=120.0)) is not None


def test_a_kept_queue_is_not_made_again(tmp_path: Path):
    scout = race(tmp_path, 20.0).trials[0]
    kept = replace(scout.figures.queue, curve=None)
    limit = LimitSpec(percentile="P95", latency_ms=120.0)
    assert curve_of(replace(scout, figures=replace(scout.figures, queue=kept)), limit) is None
    # A trial of an older engine has none: it is made of its steps.
    older = replace(scout, figures=replace(scout.figures, queue=None))
    assert curve_of(older, limit) == curve_of(scout, limit) is not None


def test_traffic_that_is_given_beforehand_runs_each_candidate_once(tmp_path: Path):
    job = run(write_job(tmp_path), outside=fake_outside())
    assert [trial.stage for trial in job.trials] == ["scout", "scout"]
    assert all(row.p_best is None for row in job.recommendations)


def test_saturated_throughput_is_raced_too(tmp_path: Path):
    text = RACE.replace("type: search", "type: saturate").replace("{most}", "20")
    text = text.replace("limit: {percentile: P95, latency_ms: 120}\n", "")
    path = write_job(tmp_path, text.replace("{values}", '"20.0", "25.0"'))
    job = run(path, outside=fake_outside(behaviour=served))
    assert job.best.environment["SPEED"] == "20.0"
    assert job.best.p_best > 0.99
    assert job.best.max_invocations_per_min == pytest.approx(3000, rel=0.01)
    assert len(finals_of(job, "20.0")) == 3


def test_a_stopped_race_goes_on_where_it_was_and_ends_the_same(tmp_path: Path):
    whole = race(tmp_path, 20.0, 20.001)
    switch = StopSwitch()

    def stop_in_the_third_final(event) -> None:
        if type(event).__name__ == "TrialStarted" and "final 2" in event.label:
            switch.press()

    text = RACE.replace("{values}", '"20.0", "20.001"').replace("{most}", "40")
    path = write_job(tmp_path, text)
    outside = fake_outside(behaviour=served)
    part = run(path, outside=outside, on_event=stop_in_the_third_final, switch=switch)
    assert part.status == "stopped"
    todo = {d.code: d.next_step for d in part.best.doubts}
    assert todo["few-starts"] == f"rightsizer resume {part.id}"
    job = resume(part.id, outside=outside)
    assert job.status == "completed"
    assert len(job.trials) == len(whole.trials)
    assert job.best.p_best == whole.best.p_best
    assert load(job.id) == job


def test_candidates_that_all_fail_when_started_again_are_all_rejected(tmp_path: Path):
    job = race(tmp_path, 20.0, 20.4, outcome=starts_once("20.0", "20.4"))
    assert job.recommendations == ()
    assert [row.reason for row in job.rejected] == ["crashed", "crashed"]


def test_what_fails_when_started_again_is_not_recommended_under_another_limit(tmp_path: Path):
    job = race(tmp_path, 20.0, 20.4, outcome=starts_once("20.0"))
    answer = what_if(job.id, limit_ms=110)
    assert [row.environment["SPEED"] for row in answer.recommendations] == ["20.4"]


def test_behind_the_best_rows_come_in_the_order_of_the_costs_that_are_shown(tmp_path: Path):
    job = race(tmp_path, 20.0, 20.3, 20.6, 21.0, 24.0)
    costs = [row.cost_per_inference_usd for row in job.recommendations[1:]]
    assert costs == sorted(costs)


@pytest.mark.parametrize(("most", "scouts"), [(18, 18), (12, 12)])
def test_a_scout_that_a_part_of_the_budget_left_growing_gets_the_whole_while_trials_last(
    tmp_path: Path, most, scouts
):
    def wide(environment) -> FakeServer:
        return FakeServer(service_ms=[float(environment["SPEED"])], servers=10)

    times = ", ".join(f'"{20 + n}.0"' for n in range(9))
    text = RACE.replace("{values}", times).replace("{most}", str(most))
    text = text.replace("type: search", "type: saturate")
    text = re.sub("limit: .*\n", "", text)
    job = run(write_job(tmp_path, text), outside=fake_outside(behaviour=wide))
    kinds = [row.max_kind for row in job.recommendations]
    assert kinds.count("estimate") == scouts - 9
    assert sum(trial.stage == "scout" for trial in job.trials) == len(job.trials) == scouts
