"""The queue with real parts: workers, model servers, generators, and what is killed of them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from rightsizer.api.jobs.journal import GROUP
from rightsizer.api.settings import EndpointSpec, S3Spec
from rightsizer.errors import Reason, TrialState
from rightsizer.hosts.lease import lease
from rightsizer.hosts.probe import this_machine
from rightsizer.samples import DTYPE

from tests.api.jobs.queues import (
    LONG,
    SERVER,
    TIME_SCALE,
    Queue,
    left_running,
    queue_in,
    wait_for,
    workers_of,
)
from tests.noise import until_quiet

pytestmark = pytest.mark.server

MISSING = "file://{}/files/none.tar.gz"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with queue_in(tmp_path) as made:
        yield made


@pytest.mark.shared_cpus
def test_jobs_wait_for_their_turn_and_are_stopped_while_they_wait_and_while_they_run(queue: Queue):
    queue.create("one")
    assert queue.status("one") == "PENDING"
    with queue.running():
        queue.until("one", "IN_PROGRESS")
        queue.create("two", TrafficPattern=LONG)
        queue.create("three")
        queue.wait_for_traffic()
        assert [queue.status(name) for name in ("two", "three")] == ["PENDING", "PENDING"]
        queue.stop("three")
        queue.until("three", "STOPPED", within_s=3.0)
        assert queue.status("one") == "IN_PROGRESS"
        assert queue.trials("three") == []

        assert queue.is_measured("one")
        [trial] = queue.trials("one")
        if (done := queue.describe("one"))["Status"] == "COMPLETED":
            [row] = done["InferenceRecommendations"]
            assert row["EndpointConfiguration"]["InstanceType"] == "ml.c5.xlarge"
            assert row["Metrics"]["MaxInvocations"] > 60
        [file] = [queue.job_dir("one") / name for name in trial.sample_files]
        sent = queue.requests()
        assert len(sent) == trial.requests.attempted == file.stat().st_size / DTYPE.itemsize

        queue.until("two", "IN_PROGRESS")
        queue.wait_for_traffic(50)
        queue.stop("two")
        assert queue.status("two") == "STOPPING"
        stopped = queue.until("two", "STOPPED", within_s=15.0)
        assert "FailureReason" not in stopped
        [trial] = queue.trials("two")
        assert (trial.state, trial.reason) == (TrialState.STOPPED, Reason.BY_USER)
        assert trial.requests.succeeded == len(queue.requests()) - len(sent) >= 50
        queue.stop("two")  # it has ended: nothing happens
        assert queue.status("two") == "STOPPED"


@pytest.mark.shared_cpus
def test_a_job_whose_worker_is_killed_goes_on_and_leaves_nothing_of_the_first_one(queue: Queue):
    queue.create("one")
    with queue.running():
        queue.wait_for_traffic()
        [worker] = workers_of(queue.folder)
        started = worker.children(recursive=True)
        assert len(started) >= 3  # guardian, server, generator
        worker.kill()
        assert psutil.wait_procs(started, timeout=5.0)[1] == []
        assert queue.status("one") == "IN_PROGRESS"
        assert queue.is_measured("one")
        [trial] = queue.trials("one")
        assert trial.attempt == 2


@pytest.mark.shared_cpus
def test_a_job_whose_worker_dies_twice_has_failed_and_says_how(queue: Queue):
    queue.create("one", TrafficPattern=LONG)
    with queue.running():
        queue.wait_for_traffic()
        [first] = workers_of(queue.folder)
        first.kill()  # never waited for: its exit code is the supervisor's
        found: set[psutil.Process] = set()

        def is_replaced() -> bool:
            found.update(set(workers_of(queue.folder)) - {first})
            return bool(found)

        wait_for(is_replaced, 10.0, lambda: "no other worker came")
        found.pop().kill()
        failed = queue.until("one", "FAILED")
    assert "worker process died 2 times" in failed["FailureReason"]
    assert "SIGKILL" in failed["FailureReason"]
    assert [trial.reason for trial in queue.trials("one")] == [Reason.ENGINE_LOST]


@contextmanager
def served(queue: Queue) -> Iterator[subprocess.Popen[bytes]]:
    """`rightsizer serve` over the queue's store; the test ends it."""
    (queue.folder / "serve.yaml").write_text("hosts: hosts.yaml\nfolders: [files]\n")
    command = [str(Path(sys.executable).parent / "rightsizer"), "serve", "--port", "0"]
    command += ["--store", str(queue.context.store.folder), "--time-scale", str(TIME_SCALE)]
    with (queue.folder / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--config", str(queue.folder / "serve.yaml")],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        yield server
    finally:
        server.kill()
        server.wait(10.0)


@pytest.mark.shared_cpus
def test_what_a_killed_and_a_closed_server_leave_is_finished_by_the_next_one(queue: Queue):
    queue.create("one", values=("1", "2"))
    with served(queue) as server:
        # Off the CPUs of model servers, as a generator is.
        cores = this_machine().cores
        wait_for(
            lambda: tuple(psutil.Process(server.pid).cpu_affinity()) == cores[0],
            30.0,
            lambda: (queue.folder / "serve.log").read_text(),
        )
        wait_for(
            lambda: [trial.state.is_final for trial in queue.trials("one")] == [True, False],
            60.0,
            lambda: (queue.folder / "serve.log").read_text() + queue.log("one"),
        )
        queue.wait_for_traffic()
        os.kill(server.pid, signal.SIGKILL)
        server.wait(5.0)
    assert left_running(queue.folder, within_s=10.0) == []
    # Its worker gave the job back by itself, or was ended in the middle: both go on.
    assert queue.status("one") in ("PENDING", "IN_PROGRESS")

    seen: set[str] = set()
    with queue.running():
        queue.wait_for_traffic()
        seen.add(queue.status("one"))
    seen.add(queue.status("one"))
    assert seen == {"IN_PROGRESS", "PENDING"}

    with queue.running():
        assert queue.is_measured("one")
    first, second = queue.trials("one")
    assert (first.attempt, second.attempt) == (1, 3)


@pytest.mark.shared_cpus
def test_failed_jobs_say_what_happened_and_what_the_server_said(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rightsizer.api.jobs.specs.READY_S", 2.0)
    evil = queue.folder / "files" / "evil.tar.gz"
    with tarfile.open(evil, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../escaped"))
    queue.create("broken", "broken", values=("1", "2"))
    queue.create("never", "never")
    queue.create("no-payload", payload=MISSING.format(queue.folder))
    queue.create("hostile", model={"ModelDataUrl": f"file://{evil}"})
    with queue.running():
        why = {
            name: queue.until(name, "FAILED")["FailureReason"]
            for name in ("broken", "never", "no-payload", "hostile")
        }
    for reason in why.values():
        assert len(reason) <= 1024
        assert "\n" not in reason
    for part in ("probe-refused", "500", "no such layer: conv1", "KeyError: 'conv1'"):
        assert part in why["broken"]
    assert why["broken"].count("KeyError") == 1, "two candidates that fail alike are told once"
    assert "never-ready" in why["never"]
    assert "the model is loading" in why["never"]
    assert why["no-payload"].startswith("PayloadError: cannot fetch file://")
    assert "../../escaped" in why["hostile"]
    assert not list(queue.folder.rglob("escaped"))
    assert queue.requests() == []


def said_of(queue: Queue, name: str) -> list[str]:
    """The lines of its execution stream."""
    stream = {"logGroupName": GROUP, "logStreamName": f"{name}/execution", "startFromHead": True}
    return [event["message"] for event in queue("GetLogEvents", **stream)["events"]]


@pytest.mark.shared_cpus
def test_a_job_waits_while_the_command_line_holds_the_cpus(queue: Queue):
    queue.create("one", payload=MISSING.format(queue.folder))
    shutil.rmtree(queue.job_dir("one"))  # which is no reason for others to wait
    with queue.running():
        queue.until("one", "FAILED")
        with lease(this_machine().cpus, "job of somebody"):
            queue.create("two", payload=MISSING.format(queue.folder))
            time.sleep(3.0)
            assert queue.status("two") == "PENDING"
            assert not (queue.job_dir("two") / "worker.log").exists(), "a worker was started"
            said = said_of(queue, "two")
            [line] = said[1:]  # once, in 3 s
            assert line.startswith("waits: CPUs are held by job of somebody")
        queue.until("two", "FAILED")
        assert said_of(queue, "two")[: len(said)] == said


def test_a_job_whose_inputs_do_not_come_is_stopped_at_once(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        s3 = S3Spec(endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}", anonymous=True)
        with queue_in(tmp_path, s3=s3) as queue:
            queue.create("one", payload="s3://bucket/payload.tar.gz")
            with queue.running():
                silent.settimeout(30.0)
                connection, _ = silent.accept()  # and nothing is ever answered
                assert queue.status("one") == "PENDING"
                queue.stop("one")
                assert queue.status("one") == "STOPPING"
                queue.until("one", "STOPPED", within_s=5.0)
                connection.close()
            assert not list(queue.job_dir("one").glob("inputs/*")), "half a payload"


def test_an_endpoint_that_runs_is_measured_as_it_is(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(SERVER), str(port), "ok"],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        stdout=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},  # nothing that marks it as of the queue
    )
    here = EndpointSpec(name="here", url=f"http://127.0.0.1:{port}")
    try:
        with queue_in(tmp_path, endpoints=(here,)) as queue:
            numbers = iter(range(10))

            def measure() -> dict[str, Any]:
                name, endpoints = f"job-{next(numbers)}", [{"EndpointName": "here"}]
                queue.create(name, Endpoints=endpoints, EndpointConfigurations=None)
                return queue.ended(name)

            with queue.running():
                done = until_quiet(measure, lambda ended: ended["Status"] != "COMPLETED")
        assert done["Status"] == "COMPLETED", done
        [row] = done["EndpointPerformances"]
        assert row["EndpointInfo"] == {"EndpointName": "here"}
        assert row["Metrics"]["MaxInvocations"] > 60
        assert "InferenceRecommendations" not in done
        assert server.poll() is None
    finally:
        server.kill()
        server.wait(5.0)
