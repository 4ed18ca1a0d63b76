"""What any traffic must do: one class, run over the fake and over Locust against a real server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from rightsizer.hosts.base import Endpoint
from rightsizer.hosts.fake import FakeOwner
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.payloads import payload_sequence
from rightsizer.protocols import Body, Request, ResponseCheck
from rightsizer.samples import Outcome, read_samples
from rightsizer.schedule import Step, closed_step
from rightsizer.traffic.base import Session, Traffic
from rightsizer.traffic.driver import LocustTraffic
from rightsizer.traffic.fake import FakeServer, FakeTraffic

from tests.traffic.conftest import scripted as scripted_server

pytestmark = pytest.mark.shared_cpus

SEED = 11
REQUEST = Request(
    "POST",
    "/slow?ms=20",
    {},
    [Body("a", b"one", "text/plain"), Body("b", b"three", "text/plain", weight=2.0)],
    5.0,
    ResponseCheck(),
)

scripted = scripted_server


class TrafficContract:
    """Needs the fixtures `traffic`, `endpoint` and `opened`: a session at a 20 ms server."""

    def test_a_probe_has_a_latency_for_each_body(self, traffic: Traffic, endpoint: Endpoint):
        ticks: list[int] = []
        latency_ms = traffic.probe(endpoint, REQUEST, lambda: ticks.append(1))
        assert list(latency_ms) == ["a", "b"]
        assert all(20.0 <= value < 1000 for value in latency_ms.values())
        assert ticks

    def test_a_closed_step_leaves_its_samples_committed(self, opened: Session):
        progress = list(opened.drive(closed_step(0, 2, 2.0)))
        assert progress
        record = opened.last
        samples = read_samples(opened.sample_files)
        assert record.committed == len(samples) > 20
        assert record.complete
        assert record.begin_ns < record.end_ns <= record.drained_ns
        assert record.end_ns - record.begin_ns == pytest.approx(2e9, rel=0.05)
        assert (samples["outcome"] == Outcome.SUCCEEDED).all()
        assert (samples["status"] == 200).all()
        assert (samples["start_ns"] < record.end_ns).all()
        assert np.median(samples["end_ns"] - samples["start_ns"]) >= 20e6

    def test_steps_follow_each_other_and_are_told_apart(self, opened: Session):
        for index in (0, 1):
            for _ in opened.drive(closed_step(index, 1, 1.0)):
                pass
        samples = read_samples(opened.sample_files)
        assert set(samples["step"].tolist()) == {0, 1}
        first, second = (samples[samples["step"] == index] for index in (0, 1))
        assert first["end_ns"].max() <= second["start_ns"].min()

    def test_payloads_are_those_of_the_seeded_sequence(self, opened: Session):
        for _ in opened.drive(closed_step(3, 1, 1.0)):
            pass
        sent = read_samples(opened.sample_files)["payload"].tolist()
        wanted = payload_sequence([1.0, 2.0], SEED, 3)
        assert sent == list(itertools.islice(wanted, len(sent)))

    def test_a_stopped_step_is_not_complete_and_shorter(self, opened: Session):
        for _ in opened.drive(closed_step(0, 1, 30.0)):
            opened.stop_step()
        record = opened.last
        assert not record.complete
        assert record.end_ns - record.begin_ns < 10e9
        assert record.committed == len(read_samples(opened.sample_files))

    def test_open_arrivals_come_at_their_rate(self, opened: Session):
        step = Step(0, "open", 2.0, rate_per_s=30.0, arrivals="constant")
        for _ in opened.drive(step):
            pass
        samples = read_samples(opened.sample_files)
        assert len(samples) == 60
        gaps_ms = np.diff(np.sort(samples["intended_ns"])) / 1e6
        assert gaps_ms == pytest.approx(np.full(59, 1000 / 30), abs=0.01)

    @pytest.mark.parametrize("users", [1, 3])
    def test_an_open_step_after_a_closed_one_has_its_arrivals_alone(
        self, opened: Session, users: int
    ):
        open_step = Step(1, "open", 2.0, rate_per_s=30.0, arrivals="constant")
        for step in (closed_step(0, users, 1.0), open_step, closed_step(2, users, 1.0)):
            for _ in opened.drive(step):
                pass
        samples = read_samples(opened.sample_files)
        first, arrived, last = (samples[samples["step"] == index] for index in range(3))
        assert len(arrived) == 60
        for closed in (first, last):
            assert len(set(closed["user"].tolist())) == users

    def test_a_trace_is_replayed_at_its_instants(self, opened: Session):
        instants_s = (0.1, 0.25, 0.25, 0.7)
        step = Step(0, "open", 1.0, rate_per_s=4.0, arrivals="trace", instants_s=instants_s)
        for _ in opened.drive(step):
            pass
        assert opened.last.step == step
        samples = read_samples(opened.sample_files)
        at_s = (np.sort(samples["intended_ns"]) - opened.last.begin_ns) / 1e9
        assert at_s == pytest.approx(instants_s, abs=1e-6)


class TestFakeTraffic(TrafficContract):
    @pytest.fixture
    def traffic(self) -> Traffic:
        return FakeTraffic(lambda endpoint: FakeServer(service_ms=[20.0], servers=2))

    @pytest.fixture
    def endpoint(self) -> Endpoint:
        return Endpoint("http://fake")

    @pytest.fixture
    def opened(self, traffic: Traffic, endpoint: Endpoint, tmp_path: Path) -> Iterator[Session]:
        with opening(traffic, endpoint, tmp_path, FakeOwner()) as session:
            yield session


@pytest.mark.server
class TestLocustTraffic(TrafficContract):
    @pytest.fixture
    def traffic(self) -> Traffic:
        return LocustTraffic()

    @pytest.fixture
    def endpoint(self, scripted) -> Endpoint:
        return Endpoint(scripted.url)

    @pytest.fixture
    def opened(self, traffic: Traffic, endpoint: Endpoint, tmp_path: Path) -> Iterator[Session]:
        with GuardedOwner([]) as owner, opening(traffic, endpoint, tmp_path, owner) as session:
            yield session


@pytest.mark.server
class TestLocustTrafficOfTwoWorkers(TestLocustTraffic):
    @pytest.fixture
    def traffic(self) -> Traffic:
        return LocustTraffic(workers=2)


def opening(
    traffic: Traffic, endpoint: Endpoint, folder: Path, owner: FakeOwner | GuardedOwner
) -> AbstractContextManager[Session]:
    return traffic.open(endpoint, REQUEST, seed=SEED, trial_dir=folder, owner=owner, cpus=[])
