"""Stored jobs asked something else: nothing is measured, and nothing is made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rightsizer.errors import ExitCode, InputError, Reason, TrialFailed, UsageError
from rightsizer.jobs import run
from rightsizer.loading import load
from rightsizer.report.columns import price_basis
from rightsizer.stop_switch import StopSwitch
from rightsizer.traffic.fake import FakeServer
from rightsizer.what_ifs import what_if
from typer.testing import CliRunner

from .fakes import JOB, SERVICE_MS, fake_outside, write_job
from .test_racing import race


@pytest.fixture
def stairs(tmp_path: Path) -> str:
    """One to three users on 100 and 50 ms; the limit is 120 ms, the target 2,000."""
    return run(write_job(tmp_path), outside=fake_outside()).id


def maxima(job) -> dict[str, float]:
    return {row.environment["SPEED"]: row.max_invocations_per_min for row in job.recommendations}


def test_another_target_needs_another_fleet_of_the_same_maxima(stairs):
    answer = what_if(stairs, invocations_per_min=4000.0)
    assert maxima(answer) == maxima(load(stairs))
    assert [row.fleet.instance_count for row in answer.recommendations] == [4, 7]


def test_headroom_and_spares_are_added_to_the_jobs_own_target(stairs):
    answer = what_if(stairs, max_utilisation_ratio=0.5, spare_instances=2)
    assert [row.fleet.instance_count for row in answer.recommendations] == [6, 9]


def test_other_headroom_changes_what_a_machine_of_ones_own_draws(tmp_path):
    job = write_job(tmp_path)
    (tmp_path / "prices.csv").write_text(
        "instance_type,purchase_usd,lifetime_years,idle_watts,loaded_watts,usd_per_kwh\n"
        "local.1cpu,2000,4,100,300,0.2\n"
    )
    own = run(job, outside=fake_outside())
    half = what_if(own.id, max_utilisation_ratio=0.5).best
    again = what_if(own.id, max_utilisation_ratio=0.5, prices=tmp_path / "prices.csv").best
    assert half.price_per_hour_usd < own.best.price_per_hour_usd
    assert half.price_per_hour_usd == pytest.approx(again.price_per_hour_usd)


def test_another_price_changes_costs_and_keeps_the_maxima(stairs, tmp_path):
    (tmp_path / "other.csv").write_text("instance_type,price_per_hour\nlocal.1cpu,6.0\n")
    answer = what_if(stairs, prices=tmp_path / "other.csv")
    before, after = load(stairs).best, answer.best
    assert after.cost_per_million_inferences_usd == 1e6 * after.cost_per_inference_usd
    assert before.price_date is None
    assert after.cost_per_inference_usd == pytest.approx(10 * before.cost_per_inference_usd)
    assert after.max_invocations_per_min == before.max_invocations_per_min


def test_the_date_of_a_price_is_shown_beside_its_basis(stairs, tmp_path):
    head = "instance_type,price_per_hour,price_date\n"
    (tmp_path / "dated.csv").write_text(f"{head}local.1cpu,6.0,2026-01-31\n")
    best = what_if(stairs, prices=tmp_path / "dated.csv").best
    assert best.price_date == "2026-01-31"
    assert price_basis(best) == "yours, 2026-01-31"
    (tmp_path / "bad.csv").write_text(f"{head}local.1cpu,6.0,last May\n")
    with pytest.raises(InputError, match="price_date 'last May' is no date"):
        what_if(stairs, prices=tmp_path / "bad.csv")


def test_a_lower_closed_limit_takes_the_best_level_that_keeps_it(stairs):
    answer = what_if(stairs, limit_ms=60.0)
    # One user of the fast one has 50 ms; every level of the slow one has 100 or more.
    assert list(maxima(answer)) == ["fast"]
    assert answer.best.model_latency_ms == 50.0
    [rejected] = answer.rejected
    assert rejected.reason == "not-covered"
    [on_job] = answer.doubts
    assert on_job.message.startswith("1 candidate could not be ranked at P95 60.0 ms")
    assert "outside the closed latencies that were measured, 100 ms to 300 ms" in rejected.detail
    assert "interpolated" in {doubt.code for doubt in answer.best.doubts}


def test_a_limit_that_nothing_measured_covers_is_refused(stairs):
    with pytest.raises(InputError, match="ms lies outside the closed") as caught:
        what_if(stairs, limit_ms=20.0)
    assert "run the job with this one" in str(caught.value)


def test_an_open_limit_between_measured_latencies_is_interpolated(tmp_path):
    job = race(tmp_path, 20.0, 40.0)
    same = what_if(job.id, limit_ms=119.0)
    assert maxima(same)["20.0"] == pytest.approx(maxima(job)["20.0"], rel=0.1)
    lower = what_if(job.id, limit_ms=80.0)
    # Of the job's own maximum: at another rate they were not measured.
    assert lower.best.cpu_utilization_percent is None
    assert maxima(lower)["20.0"] < 0.95 * maxima(job)["20.0"]
    low, high = lower.best.max_invocations_per_min_ci
    assert low < lower.best.max_invocations_per_min < high
    with pytest.raises(InputError, match="open latencies that were measured"):
        what_if(job.id, limit_ms=1e6)


def test_another_percentile_is_read_off_the_same_steps(tmp_path):
    job = race(tmp_path, 20.0, 40.0)
    assert maxima(what_if(job.id, percentile="P99"))["20.0"] < maxima(job)["20.0"]


def test_a_raced_job_under_another_price_is_ranked_by_its_posterior(tmp_path):
    job = race(tmp_path, 20.0, 40.0)
    answer = what_if(job.id, invocations_per_min=1.0)
    assert answer.best.p_best is not None
    assert answer.best.fleet.instance_count == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nothing is asked"),
        ({"limit_ms": 0.0}, "--limit-ms cannot be 0"),
        ({"percentile": "P77"}, "--percentile cannot be P77.*'P90'"),
        ({"max_utilisation_ratio": 70.0}, "--max-utilisation cannot be 70:.*a share such as 0.7"),
        ({"spare_instances": -1}, "--spare cannot be -1"),
        ({"invocations_per_min": 0.0}, "--invocations-per-min cannot be 0"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(stairs, asked, said):
    with pytest.raises(UsageError, match=said):
        what_if(stairs, **asked)


def test_a_percentile_is_taken_in_any_case(stairs):
    lower, upper = (what_if(stairs, percentile=name) for name in ("p99", "P99"))
    assert lower == upper
    assert lower.spec["limit"]["percentile"] == "P99"


def test_a_limit_that_no_candidate_covers_is_told_with_what_all_of_them_cover(stairs):
    # Measured were 100 to 300 ms of the slow one, which is the first, and 50 to 150 of the fast.
    with pytest.raises(InputError, match=r"that were measured, 50\.0 ms to 300 ms;"):
        what_if(stairs, limit_ms=20.0)


def test_latencies_that_no_candidate_covers_between_others_are_left_out(tmp_path):
    job = run(write_job(tmp_path), outside=fake_outside(behaviour=far_apart))
    with pytest.raises(InputError, match=r"10\.0 ms to 30\.0 ms, 100 ms to 300 ms;"):
        what_if(job.id, limit_ms=5.0)


def far_apart(environment) -> FakeServer:
    return FakeServer(service_ms=[{"slow": 100.0, "fast": 10.0}[environment["SPEED"]]])


def said(*arguments: str) -> str:
    """What the command prints, on one line."""
    from rightsizer.cli import app

    done = CliRunner().invoke(app, ["what-if", *arguments])
    assert done.exit_code == 0
    return " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("asked", "settings"),
    [
        (["--limit-ms", "110"], "limit.latency_ms: 110"),
        (["--percentile", "p99"], "limit.percentile: P99"),
        (
            ["--limit-ms", "110.5", "--percentile", "P90", "--spare", "1"],
            "limit.percentile: P90 and limit.latency_ms: 110.5",
        ),
    ],
)
def test_what_was_not_measured_is_confirmed_by_a_job_that_asks_for_it(stairs, asked, settings):
    assert said(stairs, *asked).endswith(f"Next: run the job with {settings} to confirm")


@pytest.mark.parametrize("asked", [["--invocations-per-min", "4000"], ["--limit-ms", "120"]])
def test_where_only_measured_maxima_are_used_there_is_nothing_to_run(stairs, asked):
    assert "Next:" not in said(stairs, *asked)


@pytest.mark.parametrize("asked", [["--invocations-per-min", "4000"], ["--limit-ms", "110"]])
def test_an_answer_explains_itself_and_points_at_no_other_document(stairs, asked):
    text = said(stairs, *asked)
    assert "rightsizer show" not in text
    assert "also noted" not in text
    own = what_if(stairs, invocations_per_min=4000.0).best.doubts
    assert len(own) > 2
    assert all(f"{doubt.code} (" in text for doubt in own)


def test_an_answer_of_a_stopped_job_does_not_tell_to_finish_the_old_question(tmp_path):
    switch = StopSwitch()

    def stop_in_the_second(environment) -> FakeServer:
        if environment["SPEED"] == "fast":
            switch.press()
        return FakeServer(service_ms=[SERVICE_MS[environment["SPEED"]]])

    outside = fake_outside(behaviour=stop_in_the_second)
    job = run(write_job(tmp_path), outside=outside, switch=switch)
    assert (job.status, len(job.recommendations)) == ("stopped", 1)
    assert said(job.id, "--limit-ms", "110").endswith("limit.latency_ms: 110 to confirm")


def test_headroom_without_any_target_is_refused(tmp_path):
    text = JOB.replace("target: {invocations_per_min: 2000}\n", "")
    job = run(write_job(tmp_path, text), outside=fake_outside())
    with pytest.raises(UsageError, match="give --invocations-per-min"):
        what_if(job.id, spare_instances=1)


def test_the_command_prints_the_new_question_and_ranking(stairs, tmp_path):
    from rightsizer.cli import app

    out = tmp_path / "answer.json"
    done = CliRunner().invoke(
        app, ["what-if", stairs, "--invocations-per-min", "4000", "--json", str(out)]
    )
    assert done.exit_code == 0
    assert "P95 within 120 ms and at most 1 % errors, 4,000 invocations a minute" in done.stdout
    assert "nothing was measured" in done.stdout
    document = json.loads(out.read_text())
    assert document["job"]["spec"]["target"]["invocations_per_min"] == 4000.0
    assert document["recommendations"][0]["fleet"]["instance_count"] == 4


def test_a_job_that_measured_nothing_has_no_answer_and_the_command_says_so(tmp_path):
    def never(launch):
        return TrialFailed(Reason.EXITED_AT_START, "exit code 2")

    job = run(write_job(tmp_path), outside=fake_outside(outcome=never))
    from rightsizer.cli import app

    done = CliRunner().invoke(app, ["what-if", job.id, "--invocations-per-min", "4000"])
    assert done.exit_code == ExitCode.NO_VALID_MEASUREMENT
    assert "Nothing to recommend" in done.stdout
    assert f"Next: rightsizer show {job.id}" in done.stdout
