"""Default jobs through the whole engine, on fakes: chosen once, stored, resumed as they were."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path

import pytest
from rightsizer.errors import ExitCode, ProblemsError
from rightsizer.events import TrialEnded
from rightsizer.jobs import resume, run
from rightsizer.loading import load
from rightsizer.machines import Machine
from rightsizer.preparation import prepare
from rightsizer.report.plan_document import plan_document
from rightsizer.report.plan_text import plan_table
from rightsizer.report.table import result_table
from rightsizer.stop_switch import StopSwitch
from rightsizer.units import BYTES_PER_GIB

from .fakes import fake_outside, write_job
from .report.jobs import assert_golden

JOB = """\
name: chosen
type: default
server:
  command: ["{python}", "server.py", "{port}"]
  protocol: raw
payload: {archive: body.txt, content_type: text/plain}
limit: {latency_ms: 400}
target: {invocations_per_min: 2000}
limits: {duration_s: 900}
"""
KNOBS = """\
knobs:
- {name: SPEED, meaning: how fast it is, texts: [fast, slow], default: slow}
- {name: WORKERS, meaning: processes, values: [1, cores]}
- {name: THREADS, meaning: threads of each, values: [cores, 1]}
require: ["WORKERS * THREADS <= cores"]
"""
MACHINE = Machine(
    cores=tuple((n,) for n in range(5)),
    cpu_count=5,
    memory_bytes=20 * BYTES_PER_GIB,
    processor="a chip",
    architecture="x86_64",
)


@pytest.fixture
def job_file(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr("rightsizer.preparation.this_machine", lambda: MACHINE)
    monkeypatch.setattr("rightsizer.preparation.leased_cpus", dict)
    monkeypatch.setattr("rightsizer.preparation.with_accelerators", lambda machine, _: machine)
    monkeypatch.setattr("rightsizer.running.kept_to", lambda cpus: nullcontext())
    (tmp_path / "server.py").write_text("")
    (tmp_path / "knobs.yaml").write_text(KNOBS)
    return write_job(tmp_path, JOB)


def plan_text(job_file: Path, width: int | None) -> str:
    prepared = prepare(job_file)
    text = plan_table(prepared.plan, prepared.spec, width, prepared.choice)
    return text.replace(f"{job_file.parent}/", "")


@pytest.mark.parametrize("width", [100, None])
def test_the_plan_says_what_was_chosen_and_why(job_file: Path, width):
    assert_golden(f"plan_default_{width or 'plain'}.txt", plan_text(job_file, width) + "\n")


def test_without_knobs_the_plan_says_that_types_alone_are_compared(job_file: Path):
    (job_file.parent / "knobs.yaml").unlink()
    text = plan_text(job_file, None)
    assert "3 candidates" in text
    assert "none: no knobs.yaml beside the server, none in its image" in text


def test_a_knob_of_one_value_is_said_not_to_be_swept(job_file: Path):
    one = KNOBS.replace("{name: WORKERS, meaning: processes, values: [1, cores]}", "{WORKERS}")
    written = '"min(1, cores)", "1"'.replace('"1"', "1")
    more = f"{{name: WORKERS, meaning: processes, values: [{written}], default: 1}}"
    (job_file.parent / "knobs.yaml").write_text(one.replace("{WORKERS}", more))
    text = plan_text(job_file, None)
    assert (
        "  WORKERS: processes: 1 on every type here, not swept (from min(1, cores), 1); "
        "left alone it is 1\n"
    ) in text
    assert "  SPEED: how fast it is: fast, slow; left alone it is slow\n" in text
    assert "\nEvery candidate has: WORKERS=1\n" in text


def test_the_choice_is_in_the_plans_document(job_file: Path):
    prepared = prepare(job_file)
    document = plan_document(prepared.plan, prepared.choice)["choice"]
    assert [kind["instance_type"] for kind in document["types"]] == [
        "local.1cpu",
        "local.2cpu",
        "local.4cpu",
    ]
    assert document["knobs"][1]["written"] == ["1", "cores"]
    assert document["candidates"] + document["left_out"] == 14
    assert plan_document(prepared.plan)["choice"] is None


def test_a_knobs_file_that_is_wrong_stores_nothing(job_file: Path):
    (job_file.parent / "knobs.yaml").write_text(KNOBS + "more: 1\n")
    with pytest.raises(ProblemsError, match=r"knobs\.yaml:6: more: unknown key") as caught:
        run(job_file, outside=fake_outside())
    assert caught.value.exit_code == ExitCode.INPUT


def test_a_default_job_keeps_its_choice_and_says_what_it_left_out(job_file: Path):
    job_file.write_text(JOB.replace("900", "300").replace("limit: {latency_ms: 400}\n", ""))
    job = run(job_file, outside=fake_outside())
    assert job.type == "default"
    assert job.choice["left_out"] == 14 - job.choice["candidates"] > 0
    assert len({trial.candidate.id for trial in job.trials}) == job.choice["candidates"]
    [doubt] = [doubt for doubt in job.doubts if doubt.code == "combinations-left-out"]
    [need] = job.choice["needs"]
    assert need["limit"] == "limits.duration_s"
    assert doubt.next_step.startswith(f"raise limits.duration_s to {need['wanted']}, or sweep")
    assert "combinations-left-out (the job)" in result_table(job, 100)
    assert load(job.id) == job
    assert job.document()["job"]["choice"]["cut"] == list(job.choice["cut"])


def test_a_changed_knobs_file_does_not_change_a_job_that_was_started(job_file: Path):
    job_file.write_text(JOB.replace("900", "300").replace("limit: {latency_ms: 400}\n", ""))
    switch = StopSwitch()

    def press_after_the_first(event: object) -> None:
        if isinstance(event, TrialEnded):
            switch.press()

    stopped = run(job_file, outside=fake_outside(), on_event=press_after_the_first, switch=switch)
    assert stopped.status == "stopped"
    before = hashlib.sha256((job_file.parent / "knobs.yaml").read_bytes()).hexdigest()
    planned = {repr(entry) for entry in stopped.spec["candidates"]}
    (job_file.parent / "knobs.yaml").write_text("not: knobs")
    done = resume(stopped.id, outside=fake_outside())
    assert done.status == "completed"
    assert {repr(entry) for entry in done.spec["candidates"]} == planned
    assert done.choice == stopped.choice
    assert done.origin.digests["knobs"] == before
    assert len({trial.candidate.id for trial in done.trials}) == len(planned)
