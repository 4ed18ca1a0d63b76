"""What must hold whatever happens to the engine: nothing left running, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import rightsizer
from rightsizer.errors import Reason

from .conftest import command, started_for, wait_until_none

pytestmark = pytest.mark.server

LONG = "{type: stairs, users_per_step: 1, steps: 3, duration_s: 36}"


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command(), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_line(process: subprocess.Popen[str], part: str) -> None:
    """Read standard error until a line holds `part`."""
    assert process.stderr is not None
    for line in process.stderr:
        if part in line:
            return
    raise AssertionError(f"{part!r} never came")


@pytest.mark.shared_cpus
@pytest.mark.parametrize("moment", ["at once", "while starting", "server ready", "step 1"])
def test_nothing_is_left_within_five_seconds_of_a_kill_9(tmp_path: Path, write_job, moment: str):
    process = start("run", write_job(traffic=LONG))
    with process:
        if moment == "at once":
            time.sleep(0.7)
        else:
            wait_for_line(process, "starting the server" if "starting" in moment else "ready")
        if moment == "step 1":
            time.sleep(4.0)
            assert len(started_for(tmp_path)) >= 3
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert wait_until_none(tmp_path, 5.0) == []


def test_a_killed_job_is_resumed_without_repeating_what_was_finished(
    tmp_path: Path, write_job, rightsizer
):
    process = start("run", write_job(values='"1", "2"'))
    with process:
        wait_for_line(process, "trial 2/2  server ready")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert wait_until_none(tmp_path, 5.0) == []
    listed = rightsizer("list")
    assert "stopped" in listed.stdout
    done = rightsizer("resume", "e2e", "--json", "-")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["job"]["status"] == "completed"
    assert [trial["state"] for trial in document["trials"]] == ["succeeded"] * 2
    assert [trial["attempt"] for trial in document["trials"]] == [1, 2]
    assert "trial 1/1" in done.stderr
    assert rightsizer("gc").stdout == "nothing to clean up\n"


@pytest.mark.shared_cpus
def test_the_first_interrupt_ends_the_step_saves_and_says_so(tmp_path: Path, write_job):
    process = start("run", write_job(traffic="{type: users, users: 2, duration_s: 20}"))
    with process:
        wait_for_line(process, "server ready")
        time.sleep(15.0)
        begin_s = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert time.monotonic() - begin_s < 10
    assert process.returncode == 130
    assert "ending the step; again to stop at once" in err
    assert "cut-short" in out
    # Whether what was saved is worth a number depends on how quiet this machine was.
    [trial] = rightsizer.load("e2e", store=tmp_path / "store").trials
    assert trial.reason is Reason.BY_USER
    [step] = trial.steps
    assert step.requests.succeeded > 10
    assert wait_until_none(tmp_path, 2.0) == []


@pytest.mark.shared_cpus
def test_three_interrupts_abandon_the_run_and_leave_nothing(tmp_path: Path, write_job):
    process = start("run", write_job(path="/never", traffic=LONG))
    with process:
        wait_for_line(process, "starting the server")
        time.sleep(1.0)
        for _ in range(3):
            os.kill(process.pid, signal.SIGINT)
            time.sleep(0.1)
        process.communicate(timeout=10)
    assert process.returncode == 130
    assert wait_until_none(tmp_path, 5.0) == []


@pytest.mark.shared_cpus
def test_stop_from_another_shell_ends_the_step_and_saves(tmp_path: Path, write_job, rightsizer):
    process = start("run", write_job(traffic="{type: users, users: 2, duration_s: 60}"))
    with process:
        wait_for_line(process, "server ready")
        time.sleep(3.0)
        said = rightsizer("stop", "e2e")
        assert "is stopping" in said.stdout
        process.communicate(timeout=30)
    assert "stopped" in rightsizer("list").stdout
    again = rightsizer("stop", "e2e")
    assert again.returncode == 2
    assert "is not running" in again.stderr


@pytest.mark.shared_cpus
def test_a_second_job_on_the_same_cpus_is_refused_and_names_the_first(
    tmp_path: Path, write_job, rightsizer
):
    process = start("run", write_job(traffic=LONG))
    with process:
        wait_for_line(process, "server ready")
        refused = rightsizer("run", tmp_path / "job.yaml")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    if len(os.sched_getaffinity(0)) <= 3:
        assert refused.returncode == 4
        assert "leased to other jobs" in refused.stderr
    assert wait_until_none(tmp_path, 5.0) == []
