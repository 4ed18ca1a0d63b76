"""A stored job's samples over time, and its page from Python and the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rightsizer.histories import MOST_SLICES, histories_of
from rightsizer.jobs import run
from rightsizer.results import Job

from tests.fakes import fake_outside, write_job


@pytest.fixture
def stored(tmp_path: Path) -> Job:
    return run(write_job(tmp_path), outside=fake_outside())


def report(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "rightsizer"), "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_slices_of_a_step_add_up_to_its_samples(stored):
    found = histories_of(stored)
    assert set(found) == {trial.id for trial in stored.trials}
    for trial in stored.trials:
        for step, record in zip(found[trial.id].steps, trial.measurement.records, strict=True):
            each_s = (record.end_ns - record.begin_ns) / 1e9 / len(step.moments)
            completed = sum(moment.per_s for moment in step.moments) * each_s
            # One in flight for each user at the step's end completes after it.
            assert len(step.moments) <= MOST_SLICES
            assert completed == pytest.approx(record.committed - _before(trial, record), abs=3.5)


def _before(trial, record):
    records = trial.measurement.records
    place = records.index(record)
    return records[place - 1].committed if place else 0


def test_samples_that_are_gone_or_cut_are_told(stored):
    first, second = stored.trials
    Path(stored.samples_dir, first.sample_files[0]).unlink()
    cut = Path(stored.samples_dir, second.sample_files[0])
    cut.write_bytes(cut.read_bytes()[:640])
    found = histories_of(stored)
    assert "No such file" in found[first.id].missing
    assert found[second.id].missing.startswith("10 of ")
    assert "not there any more" in stored.html()


def test_the_job_keeps_what_it_was_made_with_and_on(stored):
    origin = stored.origin
    assert origin.versions["rightsizer"]
    assert origin.versions["locust"]
    assert origin.machine["architecture"]
    assert set(origin.digests) == {"payload", "prices"}
    assert origin.digests["payload"] in stored.html()


def test_report_writes_the_page_of_a_stored_job(stored, tmp_path):
    target = tmp_path / "page.html"
    target.write_text("what was there before")
    done = report("demo", "-o", target)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"job {stored.id}: completed"
    assert target.read_text().startswith("<!doctype html>")
    assert "Run 2 x local.1cpu with SPEED=fast" in target.read_text()
    assert not list(tmp_path.glob(".rightsizer*"))


def test_a_job_that_is_not_there_leaves_the_file_as_it_was(stored, tmp_path):
    target = tmp_path / "page.html"
    target.write_text("kept")
    done = report("other", "-o", target)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no job other")
    assert target.read_text() == "kept"
    assert report("other", "-o", tmp_path / "new.html").returncode == 2
    assert not (tmp_path / "new.html").exists()


@pytest.mark.parametrize("name", ["none/page.html", ".", "store"])
def test_a_file_that_cannot_be_written_is_one_line_before_the_work(stored, tmp_path, name):
    done = report("no-such-job", "-o", tmp_path / name)
    assert done.returncode == 4
    assert done.stderr.startswith(f"error: cannot write {tmp_path / name}: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_device_is_written_to_and_stays_one(stored):
    assert report("demo", "-o", "/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device()
    assert "<!doctype html>" in report("demo", "-o", "/dev/stdout").stdout


def test_a_link_stays_a_link(stored, tmp_path):
    target, link = tmp_path / "target.html", tmp_path / "link.html"
    target.write_text("old")
    link.symlink_to(target)
    assert report("demo", "-o", link).returncode == 0
    assert link.is_symlink()
    assert target.read_text().startswith("<!doctype")
