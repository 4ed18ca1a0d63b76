"""Why a job that ran to its end has nothing: in words, and by its sample files."""

from __future__ import annotations

from pathlib import Path

import pytest
from rightsizer.errors import Reason, TrialFailed
from rightsizer.events import TrialEnded
from rightsizer.failures import failure_of
from rightsizer.jobs import run
from rightsizer.loading import load
from rightsizer.results import Job
from rightsizer.samples import DTYPE
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import Store

from .fakes import fake_outside, write_job


def stored_failure(job: Job, folder: Path) -> str:
    with Store(folder / "store") as store:
        return store.job(job.id).failure


def refused(detail: str = "HTTP 500: no such layer", log: str = "loading\n\nKeyError: 'conv1'\n"):
    return TrialFailed(Reason.PROBE_REFUSED, detail, log)


def test_a_job_with_recommendations_and_its_samples_has_no_failure(tmp_path: Path):
    job = run(write_job(tmp_path), outside=fake_outside())
    assert failure_of(job, Path(job.samples_dir)) == ""
    assert stored_failure(job, tmp_path) == ""


def test_one_candidate_that_failed_is_no_failure_of_the_job(tmp_path: Path):
    def outcome(launch):
        return refused() if launch.environment["SPEED"] == "slow" else None

    job = run(write_job(tmp_path), outside=fake_outside(outcome=outcome))
    assert len(job.rejected) == 1
    assert stored_failure(job, tmp_path) == ""


def test_candidates_that_failed_alike_are_told_once_with_the_server_s_log(tmp_path: Path):
    job = run(write_job(tmp_path), outside=fake_outside(outcome=lambda _: refused()))
    assert len(job.rejected) == 2
    assert stored_failure(job, tmp_path) == (
        "no candidate can be recommended: local.1cpu SPEED=slow: probe-refused: "
        "HTTP 500: no such layer; the server's log ends: loading | KeyError: 'conv1'"
    )


def test_candidates_that_failed_otherwise_are_each_told(tmp_path: Path):
    def outcome(launch):
        return refused(f"HTTP 500: {launch.environment['SPEED']}", log="")

    why = stored_failure(run(write_job(tmp_path), outside=fake_outside(outcome=outcome)), tmp_path)
    assert "SPEED=slow: probe-refused: HTTP 500: slow; local.1cpu SPEED=fast: " in why
    assert "log ends" not in why


def test_the_last_line_of_a_log_of_long_lines_is_among_the_first_thousand_characters(
    tmp_path: Path,
):
    log = "\n".join([*("x" * 5000 for _ in range(9)), "KeyError: 'conv1'"])
    outside = fake_outside(outcome=lambda _: refused(log=log))
    why = stored_failure(run(write_job(tmp_path), outside=outside), tmp_path)
    assert "KeyError: 'conv1'" in why[:1024]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: -DTYPE.itemsize])


@pytest.mark.parametrize("spoil", [Path.unlink, cut], ids=["gone", "short"])
def test_a_job_whose_samples_are_not_all_there_has_failed(tmp_path: Path, spoil):
    def lose(event):
        if isinstance(event, TrialEnded) and event.number == 1:
            spoil(next((tmp_path / "store" / "jobs").glob(f"*/{event.trial_id}-1/samples-0.bin")))

    job = run(write_job(tmp_path), outside=fake_outside(), on_event=lose)
    why = stored_failure(job, tmp_path)
    [trial] = [one for one in job.trials if one.candidate.environment["SPEED"] == "slow"]
    stored = 0 if spoil is Path.unlink else trial.requests.attempted - 1
    assert why.endswith(
        f"made {trial.requests.attempted} requests and {stored} samples of them are stored"
    )
    assert "SPEED=slow" in why


def test_a_bug_of_ours_is_told_where_the_job_is_shown(tmp_path: Path):
    def outcome(launch):
        raise RuntimeError("as nobody thought")

    with pytest.raises(RuntimeError):
        run(write_job(tmp_path), outside=fake_outside(outcome=outcome))
    with Store(tmp_path / "store") as store:
        [stored] = store.jobs()
    assert stored.status == "failed"
    assert stored.cut_short == "the engine failed: RuntimeError: as nobody thought"


def test_a_job_that_is_handed_over_waits_and_says_nothing_of_how_it_ended(tmp_path: Path):
    switch = StopSwitch()

    def end(event):
        if isinstance(event, TrialEnded):
            switch.hand_over()

    job = run(write_job(tmp_path), outside=fake_outside(), on_event=end, switch=switch)
    with Store(tmp_path / "store") as store:
        stored = store.job(job.id)
    assert (stored.status, stored.cut_short, stored.failure) == ("pending", "", "")


def test_a_job_that_its_user_stopped_before_it_was_handed_over_is_stopped(tmp_path: Path):
    switch = StopSwitch()

    def end(event):
        if isinstance(event, TrialEnded):
            with Store(tmp_path / "store") as store:
                store.request_stop(store.jobs()[0].id)
            switch.hand_over()

    job = run(write_job(tmp_path), outside=fake_outside(), on_event=end, switch=switch)
    assert load(job.id, store=tmp_path / "store").status == "stopped"
