"""Two jobs in turn on one host, and two stored ones side by side: on fakes with known speeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rightsizer.ab_run import ab
from rightsizer.comparisons import compare
from rightsizer.errors import ExitCode, InputError, Reason, TrialFailed, UsageError
from rightsizer.events import JobStarted, TrialEnded
from rightsizer.hosts.records import Calibration
from rightsizer.jobs import resume, run
from rightsizer.loading import load
from rightsizer.report.comparison import comparison_text
from rightsizer.stop_switch import StopSwitch
from rightsizer.traffic.fake import FakeServer
from typer.testing import CliRunner

from .fakes import fake_outside, write_job

JOB = """\
name: {name}
server:
  command: ["{{python}}", "server.py", "{{port}}"]
  protocol: raw
payload: {{archive: body.txt, content_type: text/plain}}
candidates:
  - instance_type: local.1cpu
    environment: {{SPEED: {speed}}}
traffic: {traffic}
limit: {{percentile: P95, latency_ms: {limit_ms}}}
prices: prices.csv
"""
SEARCH = "{type: search, budget_s: 30}"


def job_file(folder: Path, name: str, speed: str, traffic: str = SEARCH, limit_ms: int = 120):
    text = JOB.format(name=name, speed=speed, traffic=traffic, limit_ms=limit_ms)
    folder.mkdir(exist_ok=True)
    made = write_job(folder, text)
    return made.rename(folder / f"{name}.yaml")


def outside(**given):
    def served(environment) -> FakeServer:
        return FakeServer(service_ms=[float(environment["SPEED"])])

    return fake_outside(behaviour=served, **given)


def measured(folder: Path, a: str, b: str, **options):
    files = job_file(folder, "a", a), job_file(folder, "b", b)
    return ab(*files, store=folder / "store", outside=outside(), **options)


def test_a_slower_server_costs_more_by_at_least_its_service_time(tmp_path: Path):
    found = measured(tmp_path, '"20"', '"22"', fail_on_regression_percent=5)
    [pair] = found.pairs
    assert found.verdict == "worse"
    # Within a limit capacity falls by more than service times rise: there is less room to queue.
    assert 1.10 < pair.comparison.ratio < 1.25
    assert pair.comparison.starts == 6
    assert found.exit_code is ExitCode.REGRESSION
    assert found.document()["pairs"][0]["cost_ratio"] == pair.comparison.ratio
    assert "B is worse: local.1cpu SPEED=20 -> local.1cpu SPEED=22 costs +" in found.markdown()


def test_the_same_job_twice_is_the_same_and_no_regression(tmp_path: Path):
    found = measured(tmp_path, '"20"', '"20"', fail_on_regression_percent=0)
    assert found.verdict == "same"
    assert found.exit_code is ExitCode.OK


def test_both_jobs_are_stored_each_with_its_own_trials_of_the_same_blocks(tmp_path: Path):
    found = measured(tmp_path, '"20"', '"30"')
    speeds = []
    for one in (found.job_a, found.job_b):
        stored = load(one.id, store=tmp_path / "store")
        assert stored.status == "completed"
        assert [t.block for t in stored.trials if t.stage == "final"] == [1, 2, 3, 4, 5, 6]
        [speed] = {trial.candidate.environment["SPEED"] for trial in stored.trials}
        speeds.append(speed)
    assert speeds == ["20", "30"]


def test_within_a_block_now_one_and_now_the_other_comes_first(tmp_path: Path):
    begun: list[str] = []

    def outcome(launch):
        begun.append(launch.environment["SPEED"])

    files = job_file(tmp_path, "a", '"20"'), job_file(tmp_path, "b", '"21"')
    ab(*files, store=tmp_path / "store", outside=outside(outcome=outcome))
    finals = begun[2:]
    assert {tuple(sorted(finals[i : i + 2])) for i in range(0, 12, 2)} == {("20", "21")}
    assert len({finals[i] for i in range(0, 12, 2)}) == 2


def test_events_of_two_jobs_tell_what_tells_them_apart(tmp_path: Path):
    seen: list[object] = []
    for name, speed in (("a", "20"), ("b", "21")):
        made = job_file(tmp_path, name, f'"{speed}", OWN: "{name}", FIXED: "1"')
        assert made.is_file()
    files = tmp_path / "a.yaml", tmp_path / "b.yaml"
    ab(*files, store=tmp_path / "store", outside=outside(), on_event=seen.append)
    assert [e.shared for e in seen if isinstance(e, JobStarted)] == [{"FIXED": "1"}] * 2
    briefs = {e.brief.partition(" (final")[0] for e in seen if isinstance(e, TrialEnded)}
    assert briefs == {"local.1cpu SPEED=20 OWN=a", "local.1cpu SPEED=21 OWN=b"}


def driven(found) -> list[tuple[float, float]]:
    """The rates of A and of B, block by block."""
    rates = [
        [trial.steps[-1].rate_per_s for trial in job.trials if trial.stage == "final"]
        for job in (found.job_a, found.job_b)
    ]
    return list(zip(*rates, strict=True))


def test_both_of_a_block_are_driven_at_one_rate(tmp_path: Path):
    assert all(a == b for a, b in driven(measured(tmp_path, '"20"', '"22"')))


def test_sides_known_to_be_far_apart_have_rates_of_their_own(tmp_path: Path):
    found = measured(tmp_path, '"20"', '"50"')
    (first_a, first_b), *further = driven(found)
    assert first_a == first_b
    assert all(a > 1.5 * b for a, b in further)
    assert found.verdict == "worse"
    assert found.pairs[0].comparison.ratio > 2.5


def test_several_candidates_meet_their_equals(tmp_path: Path):
    found = measured(tmp_path, '["20", "40"]', '["40", "20"]')
    assert [pair.comparison.verdict for pair in found.pairs] == ["same", "same"]


@pytest.mark.parametrize(
    ("b", "said"),
    [
        ({"traffic": "{type: search, budget_s: 31}"}, "differ in traffic"),
        ({"limit_ms": 121}, "differ in limit"),
        ({"speed": '["20", "30"]'}, "no partner"),
    ],
)
def test_jobs_under_other_conditions_are_refused_by_name(tmp_path: Path, b, said):
    speed = b.pop("speed", '"20"')
    files = job_file(tmp_path, "a", '"20"'), job_file(tmp_path, "b", speed, **b)
    with pytest.raises(InputError, match=said):
        ab(*files, store=tmp_path / "store", outside=outside())


def test_traffic_that_finds_no_maximum_cannot_be_paired(tmp_path: Path):
    users = "{type: users, users: 2, duration_s: 10}"
    files = [job_file(tmp_path, name, '"20"', traffic=users) for name in "ab"]
    with pytest.raises(InputError, match="use search or saturate"):
        ab(*files, store=tmp_path / "store", outside=outside())


def test_a_side_whose_throughput_was_still_growing_is_said(tmp_path: Path):
    saturate = "{type: saturate, budget_s: 10}"
    files = [job_file(tmp_path, name, '"20"', traffic=saturate) for name in "ab"]
    for file in files:
        file.write_text(file.read_text().replace("limit: {percentile: P95, latency_ms: 120}", ""))

    def served(environment) -> FakeServer:
        return FakeServer(service_ms=[20.0], servers=64)

    found = ab(*files, store=tmp_path / "store", outside=fake_outside(behaviour=served))
    [pair] = found.pairs
    assert found.verdict == "inconclusive"
    assert pair.comparison.why.startswith("A has no more than a lower bound")


def test_a_side_that_does_not_start_is_said_and_exits_as_no_measurement(tmp_path: Path):
    def outcome(launch):
        if launch.environment["SPEED"] == "30":
            return TrialFailed(Reason.EXITED_AT_START, "no")
        return None

    files = job_file(tmp_path, "a", '"20"'), job_file(tmp_path, "b", '"30"')
    found = ab(*files, store=tmp_path / "store", outside=outside(outcome=outcome))
    [pair] = found.pairs
    assert found.verdict == "inconclusive"
    assert pair.comparison.why == "B: exited-at-start"
    assert found.exit_code is ExitCode.NO_VALID_MEASUREMENT


def test_a_stopped_comparison_keeps_what_it_has_and_decides_nothing(tmp_path: Path):
    switch = StopSwitch()
    begun: list[str] = []

    def outcome(launch):
        begun.append(launch.trial_id)
        if len(begun) == 3:
            switch.press()

    files = job_file(tmp_path, "a", '"20"'), job_file(tmp_path, "b", '"30"')
    found = ab(*files, store=tmp_path / "store", switch=switch, outside=outside(outcome=outcome))
    assert found.verdict == "inconclusive"
    assert {found.job_a.status, found.job_b.status} == {"stopped"}
    assert len(begun) == 3
    # Resumed it would be measured alone, beside trials that were paired.
    with pytest.raises(UsageError, match="run `rightsizer ab` again"):
        resume(found.job_a.id, store=tmp_path / "store", outside=outside())


def test_both_get_the_seed_of_a_and_keep_the_rest_of_their_own_payload(tmp_path: Path):
    files = job_file(tmp_path, "a", '"20"'), job_file(tmp_path / "elsewhere", "b", '"20"')
    of_b = files[1].read_text()
    files[1].write_text(of_b.replace("body.txt,", "body.txt, seed: 99,"))
    found = ab(*files, store=tmp_path / "store", outside=outside())
    sent = [
        [trial.requests.attempted for trial in job.trials if trial.stage == "final"]
        for job in (found.job_a, found.job_b)
    ]
    assert sent[0] == pytest.approx(sent[1], rel=0.02)
    assert found.job_b.spec["payload"]["seed"] == found.job_a.spec["payload"]["seed"]
    files[1].write_text(of_b.replace("text/plain", "text/html"))
    with pytest.raises(InputError, match=r"differ in payload\.content_type"):
        ab(*files, store=tmp_path / "store", outside=outside())


# -- stored jobs -------------------------------------------------------------------------------


def not_starting(speed: str):
    """How a server of that speed fails."""

    def outcome(launch):
        failed = launch.environment["SPEED"] == speed
        return TrialFailed(Reason.EXITED_AT_START, "no") if failed else None

    return outcome


def stored(folder: Path, name: str, speed: str, hashed: float | None = 1e9, fails="", **given):
    def calibrate(placement, traffic_s):
        return None if hashed is None else Calibration(hashed, 5e9, 1.0)

    real = replace(outside(outcome=not_starting(fails)), calibrate=calibrate)
    job = run(job_file(folder, name, speed, **given), store=folder / "store", outside=real)
    return job.id


def compared(folder: Path, a: str, b: str, **options):
    return compare(a, b, store=folder / "store", **options)


def test_stored_jobs_are_compared_by_their_candidates(tmp_path: Path):
    a, b = stored(tmp_path, "a", '["20", "40"]'), stored(tmp_path, "b", '["20", "40"]')
    found = compared(tmp_path, a, b)
    assert [pair.environments[0]["SPEED"] for pair in found.pairs] == ["20", "40"]
    assert found.moved_ratio == 0.0
    assert found.exit_code is ExitCode.OK


def test_a_host_that_moved_makes_a_stored_difference_inconclusive(tmp_path: Path):
    a = stored(tmp_path, "a", '"20"')
    b = stored(tmp_path, "b", '"30"', hashed=1.9e9)
    found = compared(tmp_path, a, b, fail_on_regression_percent=0)
    [pair] = found.pairs
    assert 1.5 < pair.comparison.ratio < 1.9
    assert found.verdict == "inconclusive"
    assert "host moved 90%" in found.markdown()
    assert found.exit_code is ExitCode.OK


def test_a_stored_regression_fails_only_when_asked(tmp_path: Path):
    a, b = stored(tmp_path, "a", '"20"'), stored(tmp_path, "b", '"40"')
    assert compared(tmp_path, a, b).exit_code is ExitCode.OK
    found = compared(tmp_path, a, b, fail_on_regression_percent=10)
    assert found.exit_code is ExitCode.REGRESSION


def test_jobs_of_another_limit_are_refused_unless_told(tmp_path: Path):
    a, b = stored(tmp_path, "a", '"20"'), stored(tmp_path, "b", '"20"', limit_ms=200)
    with pytest.raises(InputError, match=r"basis differs.*--across basis"):
        compared(tmp_path, a, b)
    assert "basis differs" in compared(tmp_path, a, b, across=["basis"]).notes[0]
    with pytest.raises(UsageError, match="--across speed"):
        compared(tmp_path, a, b, across=["speed"])


def test_jobs_without_a_candidate_in_common_are_refused(tmp_path: Path):
    a, b = stored(tmp_path, "a", '["20", "21"]'), stored(tmp_path, "b", '["30", "31"]')
    with pytest.raises(InputError, match="no candidate in common"):
        compared(tmp_path, a, b)


def test_hosts_that_were_not_calibrated_are_said(tmp_path: Path):
    a, b = stored(tmp_path, "a", '"20"', hashed=None), stored(tmp_path, "b", '"20"')
    assert "not measured in both" in compared(tmp_path, a, b).notes[0]


def test_a_stored_job_without_any_result_exits_as_no_measurement_and_says_why(tmp_path: Path):
    from rightsizer.cli import app

    a, b = stored(tmp_path, "a", '"20"'), stored(tmp_path, "b", '"20"', fails="20")
    comment = tmp_path / "comment.md"
    given = ["--store", str(tmp_path / "store"), "--json", "-", "--markdown", str(comment)]
    done = CliRunner().invoke(app, ["compare", a, b, *given])
    assert done.exit_code == ExitCode.NO_VALID_MEASUREMENT
    assert "B: exited-at-start: no" in done.stdout
    assert "B: exited-at-start: no" in comment.read_text()


def test_a_candidate_that_no_longer_starts_is_not_passed_over(tmp_path: Path):
    a = stored(tmp_path, "a", '["20", "40"]')
    b = stored(tmp_path, "b", '["20", "40"]', fails="40")
    found = compared(tmp_path, a, b)
    assert [pair.comparison.why for pair in found.pairs[1:]] == ["B: exited-at-start: no"]
    assert found.exit_code is ExitCode.PARTIAL


def test_a_candidate_of_one_job_alone_is_named(tmp_path: Path):
    a, b = stored(tmp_path, "a", '["20", "21"]'), stored(tmp_path, "b", '["20", "40"]')
    notes = compared(tmp_path, a, b).notes
    assert notes[:2] == (
        "only A has local.1cpu SPEED=21: not compared",
        "only B has local.1cpu SPEED=40: not compared",
    )


def test_pairs_that_are_inconclusive_for_one_reason_are_told_together(tmp_path: Path):
    job = run(job_file(tmp_path, "a", '["20", "30"]'), store=tmp_path / "store", outside=outside())
    found = compare(job.id, job.id, store=tmp_path / "store")
    text = comparison_text(found)
    whys = {pair.comparison.why for pair in found.pairs}
    assert found.verdict == "inconclusive"
    for why in whys - {""}:
        assert f"inconclusive: {why} (" in text
    assert "of 2 pairs are inconclusive" in text
