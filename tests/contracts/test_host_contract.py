"""What every host promises, held against the fake one and those that start real servers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from rightsizer.errors import Reason, TrialFailed
from rightsizer.hosts.base import Host, Launch, Server
from rightsizer.hosts.fake import FakeHost
from rightsizer.hosts.process import ProcessHost
from rightsizer.inventory import THIS_MACHINE

from tests.hosts.containers import container_launch, docker_host
from tests.hosts.images import address, make_image, require_engine
from tests.hosts.processes import GENERATOR_CPU, PYTHON, eventually, launch_of, of_folder

pytestmark = pytest.mark.shared_cpus


@dataclass
class Subject:
    """A host, and what a test must know to drive it."""

    host: Host
    launch: Launch
    broken: Launch
    """Of a server that ends before it is ready."""
    crash: Callable[[Server], None]
    """Makes the running server crash."""
    running: Callable[[], int]
    """How many servers run."""
    close: Callable[[], None] = lambda: None


def fake(folder: Path) -> Subject:
    good, broken = launch_of(folder), launch_of(folder, trial_id="broken")
    failed = TrialFailed(Reason.EXITED_AT_START, "it was told to fail", "fake server")
    host = FakeHost(outcome=lambda launch: failed if launch.trial_id == "broken" else None)

    def crash(server: Server) -> None:
        server.crashes_at_check = 0  # type: ignore[attr-defined]

    return Subject(host, good, broken, crash, lambda: len(host.running))


def processes(folder: Path) -> Subject:
    def crash(server: Server) -> None:
        for pid in of_folder(folder):
            os.kill(pid, 9)
        assert eventually(lambda: server.owner.exited("server"))

    return Subject(
        ProcessHost(THIS_MACHINE),
        launch_of(folder),
        launch_of(folder, "exit"),
        crash,
        lambda: len(of_folder(folder)),
    )


def containers(folder: Path) -> Subject:
    require_engine()
    client = docker.APIClient(base_url=address())
    image = client.inspect_image(make_image(client))["Id"]
    launch = container_launch(folder, image)

    def running() -> int:
        return len(client.containers(filters={"label": f"rightsizer.job={launch.job_id}"}))

    def crash(server: Server) -> None:
        [found] = client.containers(filters={"label": f"rightsizer.job={launch.job_id}"})
        client.kill(found["Id"])
        assert eventually(lambda: not running())

    return Subject(
        docker_host(),
        launch,
        container_launch(folder, image, "exit"),
        crash,
        running,
        client.close,
    )


@pytest.fixture(
    params=[
        pytest.param(fake, id="FakeHost"),
        pytest.param(processes, id="ProcessHost", marks=pytest.mark.server),
        pytest.param(containers, id="DockerHost", marks=pytest.mark.docker),
    ]
)
def subject(request, tmp_path) -> Iterator[Subject]:
    made = request.param(tmp_path)
    yield made
    assert made.running() == 0
    made.close()


def start(subject: Subject, tick: Callable[[], None] = lambda: None) -> AbstractContextManager:
    return subject.host.start(subject.launch, tick)


class TestHostContract:
    def test_a_host_has_a_name(self, subject):
        assert subject.host.name

    def test_a_host_that_is_there_answers(self, subject):
        assert subject.host.answers()

    def test_inside_a_server_runs_that_is_ready_and_after_none_does(self, subject):
        with start(subject) as server:
            assert subject.running() == 1
            assert server.endpoint.url.startswith("http://")
            assert not server.endpoint.url.endswith("/")
            assert 0 <= server.ready_s < 20
            server.check()
        assert subject.running() == 0

    def test_nothing_is_started_before_the_context_is_entered(self, subject):
        start(subject)
        assert subject.running() == 0

    def test_ticks_come_before_the_server_is_ready(self, subject):
        ticks = []
        with start(subject, lambda: ticks.append(1)):
            before = len(ticks)
            assert before >= 1
            time.sleep(0.05)
            assert len(ticks) == before

    def test_what_a_tick_raises_ends_the_start_and_leaves_nothing(self, subject):
        def stop():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), start(subject, stop):
            raise AssertionError("it started")
        assert subject.running() == 0

    def test_a_server_that_cannot_start_is_a_failed_trial_that_leaves_nothing(self, subject):
        with (
            pytest.raises(TrialFailed) as caught,
            subject.host.start(subject.broken, lambda: None),
        ):
            raise AssertionError("it started")
        assert caught.value.reason is Reason.EXITED_AT_START
        assert caught.value.detail
        assert caught.value.log_tail
        assert subject.running() == 0

    def test_a_failure_does_not_spoil_the_next_start(self, subject):
        with pytest.raises(TrialFailed), subject.host.start(subject.broken, lambda: None):
            pass
        with start(subject) as server:
            server.check()

    def test_an_error_inside_comes_out_and_ends_the_server(self, subject):
        with pytest.raises(ZeroDivisionError), start(subject):
            raise ZeroDivisionError
        assert subject.running() == 0

    def test_a_crash_is_told_by_every_check_after_it(self, subject):
        with start(subject) as server:
            server.check()
            subject.crash(server)
            for _ in range(2):
                with pytest.raises(TrialFailed) as caught:
                    server.check()
                assert caught.value.reason is Reason.CRASHED
                assert caught.value.log_tail == server.log_tail()

    def test_readings_come_oldest_first_and_only_grow(self, subject):
        with start(subject) as server:
            assert eventually(lambda: len(server.usage()) >= 2)
            readings = list(server.usage())
        assert [r.t_ns for r in readings] == sorted({r.t_ns for r in readings})
        assert [r.cpu_s for r in readings] == sorted(r.cpu_s for r in readings)
        assert all(r.memory_bytes > 0 for r in readings)
        waited = [r.run_delay_s for r in readings if r.run_delay_s is not None]
        assert waited == sorted(waited)  # none of a host that cannot tell

    def test_the_log_tail_is_as_long_as_it_is_asked_for(self, subject):
        with start(subject) as server:
            assert len(server.log_tail().splitlines()) >= 1
            assert len(server.log_tail(1).splitlines()) == 1

    def test_the_owner_starts_and_ends_a_generator_beside_the_server(self, subject):
        with start(subject) as server:
            pid = server.owner.spawn(
                "generator",
                [PYTHON, "-c", "import time; time.sleep(600)"],
                environment={},
                working_dir=subject.launch.working_dir,
                cpus=[GENERATOR_CPU],
                log=subject.launch.working_dir / "generator.log",
            )
            assert pid > 0
            assert server.owner.exited("generator") is None
            server.owner.end("generator", 5.0)
            assert server.owner.exited("generator")
            assert server.owner.exited("server") is None
            server.check()
