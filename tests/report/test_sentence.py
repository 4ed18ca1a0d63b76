"""The closing sentence: each way a job can end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rightsizer.analysis import doubts
from rightsizer.errors import TrialState
from rightsizer.fleets import Price
from rightsizer.report.sentence import closing_sentence

from .jobs import (
    LIMIT,
    TARGET,
    failed,
    make_job,
    measured,
    over_limit,
    step,
    usual_doubts,
    variables,
)

SHOW = "Next: rightsizer show resnet50-threads-1a2b3c4d --format markdown"
UNKNOWN = Price(None, "")


def test_with_target_and_price_it_says_what_how_many_how_busy_how_much_and_how_sure():
    assert closing_sentence(make_job()) == (
        "Run 1 x local.1cpu with OMP_NUM_THREADS=1 TF_ENABLE_ONEDNN_OPTS=1: it carries 300 "
        "invocations a minute at 36 % of its maximum for $12.40 a month (price: cost model); "
        "maximum 834/min (95 % interval 801 to 868, closed basis), P95 212 ms of 250 ms allowed. "
        + SHOW
    )


def test_a_fleet_of_several_is_spoken_of_as_several():
    job = make_job((measured(1, {}, 100.0),), target={**TARGET, "invocations_per_min": 250.0})
    text = closing_sentence(job)
    assert text.startswith("Run 3 x local.1cpu: they carry 250 invocations a minute at 83 % of ")
    assert "of their maximum for $37.20 a month" in text
    assert "maximum 100/min each (" in text


def test_one_invocation_is_singular():
    job = make_job(target={**TARGET, "invocations_per_min": 1.0})
    assert "it carries 1 invocation a minute" in closing_sentence(job)


def test_without_a_target_it_is_one_instance_at_full_load():
    text = closing_sentence(make_job(target=None))
    assert text.startswith(
        "Run local.1cpu with OMP_NUM_THREADS=1 TF_ENABLE_ONEDNN_OPTS=1: one instance carries 834 "
        "invocations a minute (95 % interval 801 to 868, closed basis) for $12.40 a month "
    )
    assert "$3.394e-07 an inference at full load; P95 212 ms of 250 ms allowed. " in text


@pytest.mark.parametrize("target", [TARGET, None])
def test_without_a_price_the_cost_is_unknown(target):
    text = closing_sentence(make_job(price=UNKNOWN, target=target))
    assert ", cost unknown as local.1cpu has no price; " in text
    assert "$" not in text


def test_without_a_latency_limit_nothing_is_allowed_or_not():
    text = closing_sentence(make_job(limit={**LIMIT, "latency_ms": None}))
    assert ", P95 212 ms. Next" in text


def test_a_lower_bound_is_said_to_be_one():
    trial = measured(
        1,
        {},
        834.2,
        max_kind="at_least",
        max_invocations_per_min_ci=(801.0, None),
        doubts=(doubts.at_least(False),),
    )
    text = closing_sentence(make_job((trial,)))
    assert "at no more than 36 % of its maximum" in text
    assert "maximum at least 834/min (95 % interval 801 or more, closed basis)" in text
    assert "weakened" not in text
    alone = closing_sentence(make_job((trial,), target=None))
    assert "one instance carries at least 834 invocations a minute" in alone


def test_a_bracket_is_said_to_be_a_cliff():
    trial = measured(1, {}, 834.2, max_kind="bracket", max_invocations_per_min_ci=(834.2, 900.0))
    assert "(a cliff, 95 % interval 834 to 900, closed" in closing_sentence(make_job((trial,)))


def test_without_an_interval_it_does_not_pretend_to_one():
    trial = measured(1, {}, 834.2, max_invocations_per_min_ci=None)
    assert "(no honest 95 % interval, closed basis)" in closing_sentence(make_job((trial,)))


def test_an_uncertain_count_says_to_plan_for_more():
    job = make_job((measured(1, {}, 834.2),), target={**TARGET, "invocations_per_min": 1650.0})
    assert closing_sentence(job).endswith(
        "; the maximum's interval allows 2 to 3 instances: plan for the higher count. " + SHOW
    )


def test_what_weakens_the_numbers_is_named_and_notes_are_not():
    trial = measured(
        1, {}, 834.2, doubts=(*usual_doubts(), doubts.stand_in("ml.c5.large", "rack1"))
    )
    assert "; weakened by: stand-in. Next" in closing_sentence(make_job((trial,)))


def test_what_blocks_a_number_is_said_outright():
    refused = (doubts.co_located(), doubts.content_refused(2, 10))
    trial = measured(1, {}, 834.2, doubts=refused)
    text = closing_sentence(make_job((trial,)))
    assert "; not to be relied on: content-refused, co-located. Next" in text


def test_when_nothing_meets_the_limits_it_names_the_nearest_and_what_to_try():
    job = make_job(
        (
            over_limit(1, variables("1", "0"), 390.0),
            over_limit(2, variables("1", "1"), 312.0),
            failed(3, {}),
        )
    )
    assert closing_sentence(job) == (
        "Nothing measured keeps P95 within 250 ms and at most 1 % errors; nearest was local.1cpu "
        "OMP_NUM_THREADS=1 TF_ENABLE_ONEDNN_OPTS=1: P95 312 ms at 1 user, over the limit of 250 "
        "ms; try a larger instance type or a higher latency limit. " + SHOW
    )


def test_a_limit_that_no_load_can_meet_is_said_to_be_one():
    trial = over_limit(1, {})
    assert trial.figures is not None
    floor = (doubts.below_floor(118.2, 50.0),)
    trial = replace(trial, figures=replace(trial.figures, doubts=floor))
    assert "no load can meet it; raise the limit. " in closing_sentence(make_job((trial,)))


def test_when_errors_are_the_trouble_it_points_to_the_servers_log():
    trial = measured(
        1,
        {},
        100.0,
        max_invocations_per_min=None,
        max_kind=None,
        limit_detail="4 % errors at 1 user, over the limit of 0.1 %",
    )
    trial = replace(trial, steps=(step(1, 1.0, 100.0, "over-errors"),))
    job = make_job((trial,), limit={**LIMIT, "latency_ms": None, "max_error_ratio": 0.001})
    text = closing_sentence(job)
    assert text.startswith("Nothing measured keeps at most 0.1 % errors; nearest was local.1cpu: ")
    assert f"see what the server answers in {job.samples_dir}/1f0c93a41b7e-1/server.log" in text


def test_without_any_valid_measurement_it_says_why_and_which_log():
    job = make_job((failed(1, variables("1", "0")), failed(2, {})))
    text = closing_sentence(job)
    assert text.startswith(
        "Nothing to recommend: none of 2 trials gave a valid measurement; local.1cpu "
        "OMP_NUM_THREADS=1 TF_ENABLE_ONEDNN_OPTS=0: crashed: the server ended with signal SIGSEGV"
    )
    log = f"{job.samples_dir}/1f0c93a41b7e-1/server.log"
    assert text.endswith(f"Next: tail -n 40 {log}, mend it, and run the job again")


def test_one_trial_without_a_measurement_is_singular():
    text = closing_sentence(make_job((failed(1, {}),)))
    assert "the trial gave no valid measurement; local.1cpu: crashed" in text


def test_steps_that_could_not_be_judged_are_no_measurement():
    trial = over_limit(1, {})
    trial = replace(trial, steps=(step(1, 1.0, 9.0, "invalid"),))
    assert closing_sentence(make_job((trial,))).startswith("Nothing to recommend: the trial gave")


@pytest.mark.parametrize(
    ("status", "start", "command"),
    [
        ("running", "The job is still running, and", "rightsizer show resnet50-threads-1a2b3c4d"),
        ("stopped", "The job was stopped, and", "rightsizer resume resnet50-threads-1a2b3c4d"),
        ("failed", "The job failed, and", "rightsizer resume resnet50-threads-1a2b3c4d"),
    ],
)
def test_a_job_that_is_not_complete_says_so_first_and_how_to_go_on(status, start, command):
    text = closing_sentence(make_job(status=status))
    assert text.startswith(start)
    assert ". Run 1 x local.1cpu" in text
    assert text.endswith(f"Next: {command}")


def test_a_job_stopped_before_its_first_figure_is_resumed():
    job = make_job((failed(1, {}, TrialState.STOPPED),), status="stopped")
    assert closing_sentence(job).endswith("Next: rightsizer resume resnet50-threads-1a2b3c4d")


def test_a_job_without_trials_has_measured_nothing_yet():
    assert "Nothing is measured yet. " in closing_sentence(make_job((), status="running"))


def test_it_is_one_line_or_filled_to_a_terminal():
    assert "\n" not in closing_sentence(make_job())
    lines = closing_sentence(make_job(), 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines) == closing_sentence(make_job())
