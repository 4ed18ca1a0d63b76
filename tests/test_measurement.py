"""`rightsizer.measure` over the fakes: what it returns, what it keeps, how it ends."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rightsizer
from rightsizer.errors import (
    EnvironmentFault,
    ExitCode,
    InputError,
    Reason,
    TrialFailed,
    TrialInvalid,
    UsageError,
)
from rightsizer.events import Event, JobStarted, StepProgress, TrialEnded, TrialStarted
from rightsizer.hosts.base import Launch
from rightsizer.hosts.fake import FakeHost
from rightsizer.measured import Measured
from rightsizer.measurement import Endpoints, measure
from rightsizer.stop_switch import StopSwitch
from rightsizer.traffic.fake import FakeServer, FakeTraffic

URL = "http://10.0.0.5:8000/predict"
SERVICE_MS = 50.0


class FarHost(FakeHost):
    """Goes to a server of others: what that uses cannot be read."""

    @contextmanager
    def start(self, launch, tick=lambda: None):
        with super().start(launch, tick) as server:
            server.usage = list
            yield server


def endpoints(
    service_ms: float = SERVICE_MS,
    fails_every: int = 0,
    outcome: Callable[[Launch], TrialFailed | None] = lambda launch: None,
) -> Endpoints:
    server = FakeServer(service_ms=[service_ms], fails_every=fails_every)
    return Endpoints(FarHost("local", outcome), FakeTraffic(lambda endpoint: server))


@pytest.fixture
def run(tmp_path: Path):
    """Measure a fake endpoint of one worker that takes 50 ms."""
    (tmp_path / "body.json").write_text("{}")

    def measured(through: Endpoints | None = None, url: str = URL, **options) -> Measured:
        return measure(url, tmp_path / "body.json", through=through or endpoints(), **options)

    return measured


def codes(measured: Measured) -> list[str]:
    return [doubt.code for doubt in measured.doubts]


def test_it_is_public_and_leaves_no_job_behind(run, tmp_path):
    assert rightsizer.measure is measure
    assert rightsizer.Measured is Measured
    measured = run(traffic="users:1", duration_s=20)
    assert isinstance(measured, Measured)
    store = tmp_path / "store"
    assert [path.name for path in store.iterdir()] == ["measurements"]
    assert Path(measured.samples).parent == store / "measurements"
    assert Path(measured.samples, "samples-0.bin").stat().st_size == 64 * 400


def test_users_have_a_rate_and_a_latency_but_no_maximum(run):
    measured = run(traffic="users:2", duration_s=100, limit_ms=250)
    assert (measured.verdict, measured.exit_code) == ("valid", ExitCode.OK)
    assert (measured.basis, measured.traffic) == ("closed", "users")
    assert measured.max_invocations_per_min is None
    assert measured.max_invocations_per_min_ci is None
    assert measured.max_kind is None
    assert measured.invocations_per_min == pytest.approx(1200.0)
    assert measured.latency_ms == 100.0
    assert measured.unloaded_latency_ms == SERVICE_MS
    assert [step.users for step in measured.steps] == [2]
    assert measured.requests.attempted == measured.requests.succeeded == 2001
    assert "at-least" not in codes(measured)


def test_a_rate_is_open_and_counts_from_the_intended_start(run):
    measured = run(traffic="rate:10:constant", duration_s=60)
    assert (measured.verdict, measured.basis) == ("valid", "open")
    assert measured.invocations_per_min == pytest.approx(600.0)
    assert measured.latency_ms == SERVICE_MS
    assert measured.steps[0].rate_per_s == 10.0
    assert measured.max_invocations_per_min is None


def test_saturation_gives_a_closed_maximum_and_a_fleet_without_costs(run):
    measured = run(traffic="saturate", budget_s=60, target_per_min=3000)
    assert (measured.verdict, measured.basis, measured.max_kind) == ("valid", "closed", "estimate")
    assert measured.max_invocations_per_min == pytest.approx(1200.0)
    assert measured.invocations_per_min == pytest.approx(1200.0)
    assert measured.fleet is not None
    assert measured.fleet.instance_count == 3
    assert measured.fleet.utilisation_at_target_ratio == pytest.approx(3000 / 3600)
    assert measured.fleet.cost_per_hour_usd is None
    assert not {"no-price", "server-elsewhere", "stand-in", "not-pinned"} & set(codes(measured))


def test_without_a_limit_the_default_traffic_finds_the_saturated_throughput(run):
    measured = run(budget_s=60)
    assert (measured.verdict, measured.traffic) == ("valid", "search")
    assert measured.max_invocations_per_min == pytest.approx(1200.0)
    assert measured.basis == "closed"
    assert "no-limit" in codes(measured)


def test_a_target_with_traffic_that_finds_no_maximum_says_that_no_fleet_can_be_sized(run):
    measured = run(traffic="users:1", duration_s=20, target_per_min=300)
    assert measured.fleet is None
    assert "no-fleet" in codes(measured)


def test_a_load_over_the_limit_is_unmet_and_keeps_its_figures(run):
    measured = run(traffic="users:8", duration_s=60, limit_ms=250)
    assert (measured.verdict, measured.exit_code) == ("limit-unmet", ExitCode.LIMIT_UNMET)
    assert measured.doubts[0].code == "limit-unmet"
    assert measured.latency_ms == 400.0
    assert measured.latency_ms_ci is None
    assert measured.invocations_per_min == pytest.approx(1200.0)


def test_a_limit_below_what_the_server_takes_alone_is_told_with_a_sensible_one(run):
    measured = run(traffic="users:1", duration_s=60, limit_ms=20)
    assert measured.verdict == "limit-unmet"
    assert measured.doubts[0].code == "limit-below-floor"
    assert measured.doubts[0].figures["floor_ms"] == 50.0
    assert measured.doubts[0].figures["smallest_sensible_limit_ms"] == 75.0


def test_too_many_errors_at_every_level_are_a_limit_unmet(run):
    measured = run(endpoints(fails_every=10), traffic="users:1", duration_s=60)
    assert measured.verdict == "limit-unmet"
    assert "10 % errors" in measured.doubts[0].message
    assert measured.requests.failed > 0


@pytest.mark.parametrize("traffic", ["users:2", "saturate"])
def test_nothing_but_errors_is_invalid(run, traffic):
    measured = run(endpoints(fails_every=1), traffic=traffic)
    assert (measured.verdict, measured.exit_code) == ("invalid", ExitCode.NO_VALID_MEASUREMENT)
    assert measured.doubts[0].code == "errors"
    assert len(measured.steps) == 1
    assert measured.max_invocations_per_min is None


def test_an_endpoint_that_is_not_there_is_a_result(run):
    gone = TrialFailed(Reason.NEVER_READY, "no connection within 5 s; last: refused")
    measured = run(endpoints(outcome=lambda launch: gone), traffic="rate:5", limit_ms=9)
    assert (measured.verdict, measured.exit_code) == ("invalid", ExitCode.NO_VALID_MEASUREMENT)
    assert measured.doubts[0].code == "unreachable"
    assert measured.steps == ()
    assert measured.requests.attempted == 0
    assert measured.invocations_per_min == 0.0
    assert measured.latency_ms is None
    assert Path(measured.samples).is_dir()


class Refusing(FakeTraffic):
    """Refuses the probe with what it was sent."""

    def probe(self, endpoint, request, tick):
        token = request.headers["Authorization"].split()[1]
        said = f"status 401, {token} of {dict(request.headers)}"
        raise TrialFailed(Reason.PROBE_REFUSED, said)


def test_a_header_that_the_server_answers_is_told_nobody(run):
    through = Endpoints(FarHost("local"), Refusing(lambda endpoint: FakeServer([1.0])))
    headers = {"Authorization": "Bearer hunter2", "X-Api-Key": "swordfish", "X-Plain": "told"}
    measured = run(through, traffic="users:1", headers=headers)
    assert measured.doubts[0].code == "probe-refused"
    text = str(measured.document())
    assert "hunter2" not in text
    assert "swordfish" not in text
    assert "told" in text


class Losing(FakeTraffic):
    """Writes a step's samples, and then the generator is lost."""

    @contextmanager
    def open(self, *arguments, **keywords) -> Iterator[object]:
        with super().open(*arguments, **keywords) as session:
            inner = session.drive

            def drive(step):
                yield from inner(step)
                raise TrialInvalid(Reason.GENERATOR_LOST, "the generator was lost")

            session.drive = drive  # type: ignore[method-assign]
            yield session


def test_a_lost_generator_leaves_the_count_of_what_was_sent(run):
    through = Endpoints(FarHost("local"), Losing(lambda endpoint: FakeServer([SERVICE_MS])))
    measured = run(through, traffic="users:1", duration_s=20)
    assert measured.verdict == "invalid"
    assert measured.doubts[0].code == "generator-lost"
    assert measured.requests.succeeded == 400
    assert measured.steps == ()


class FullDisk(FakeTraffic):
    """Cannot write."""

    def open(self, *arguments, **keywords):
        raise EnvironmentFault("the samples cannot be written", "No space left", "free space")


def test_a_fault_of_this_machine_is_told_with_the_whole_document_and_its_own_exit_code(run):
    through = Endpoints(FarHost("local"), FullDisk(lambda endpoint: FakeServer([SERVICE_MS])))
    measured = run(through, traffic="users:1")
    assert (measured.verdict, measured.exit_code) == ("invalid", ExitCode.ENVIRONMENT)
    assert measured.doubts[0].code == "environment"
    assert measured.document()["verdict"] == "invalid"


def test_an_interrupted_measurement_counts_by_what_it_has(run):
    switch = StopSwitch()

    def press(event: Event) -> None:
        if isinstance(event, StepProgress) and event.progress.elapsed_s == 50.0:
            switch.press()

    measured = run(traffic="users:1", duration_s=60, switch=switch, on_event=press)
    assert measured.verdict == "valid"
    assert "cut-short" in codes(measured)
    assert measured.invocations_per_min == pytest.approx(1200.0)


def test_one_that_is_stopped_before_its_traffic_is_a_result_too(run):
    switch = StopSwitch()
    switch.press()
    measured = run(traffic="users:1", switch=switch)
    assert (measured.verdict, measured.doubts[0].code) == ("invalid", "by-user")


def test_the_first_event_names_the_folder_and_no_server_is_said_to_start(run):
    events: list[Event] = []
    measured = run(traffic="users:1", duration_s=20, on_event=events.append)
    assert isinstance(events[0], JobStarted)
    assert events[0].folder == measured.samples
    [started] = [event for event in events if isinstance(event, TrialStarted)]
    assert started.starts_server is False
    assert started.label == URL
    assert isinstance(events[-1], TrialEnded)


def test_each_measurement_has_a_folder_of_its_own(run, tmp_path):
    folders = {run(traffic="users:1", duration_s=2, store=tmp_path / "s").samples for _ in "ab"}
    assert len(folders) == 2
    assert all(Path(folder).parent == tmp_path / "s" / "measurements" for folder in folders)


def test_no_cpu_affinity_is_changed(run):
    cpus: list[tuple[int, ...]] = []
    before = os.sched_getaffinity(0)

    def remember(launch: Launch) -> None:
        cpus.append((*launch.placement.generator_cpus, -1, *launch.placement.server_cpus))

    run(endpoints(outcome=remember), traffic="users:1", duration_s=2)
    assert os.sched_getaffinity(0) == before
    assert cpus == [(*sorted(before), -1)]


def test_an_endpoint_on_this_machine_may_share_cpus_with_the_generator(run, monkeypatch):
    every = set(range(os.cpu_count() or 1))
    for cpus, said in ((every, True), ({0}, len(every) == 1)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, cpus=cpus: set(cpus))
        measured = run(url="http://127.0.0.1:8000/", traffic="users:1", duration_s=20)
        assert "loopback" in codes(measured)
        assert ("co-located" in codes(measured)) is said
    assert "co-located" not in codes(run(traffic="users:1", duration_s=20))


def test_wrong_arguments_and_payloads_raise_before_anything_is_made(run, tmp_path):
    with pytest.raises(UsageError):
        run(traffic="users:none")
    with pytest.raises(InputError, match=re.escape("nothing.tar.gz does not exist")):
        measure(URL, tmp_path / "nothing.tar.gz", through=endpoints())
    assert not (tmp_path / "store").exists()


def test_a_folder_that_cannot_be_made_is_this_machines_fault(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="--store"):
        run(store=tmp_path / "file")
