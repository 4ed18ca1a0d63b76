"""The bench: what counts of a step, and what ends it."""

from __future__ import annotations

from pathlib import Path

import pytest
from rightsizer.errors import Reason, TrialFailed, TrialInvalid, TrialStopped
from rightsizer.hosts.fake import FakeHost
from rightsizer.machines import Placement
from rightsizer.measurement import Endpoints
from rightsizer.samples import Outcome
from rightsizer.schedule import Step, closed_step
from rightsizer.selftesting.bench import NULL_SERVER, Bench
from rightsizer.stop_switch import StopSwitch
from rightsizer.traffic.fake import FakeServer, FakeTraffic
from rightsizer.traffic.recorder import Recorder

OPEN = Step(1, "open", 5.0, rate_per_s=40.0)


@pytest.fixture
def switch() -> StopSwitch:
    return StopSwitch()


@pytest.fixture
def make(tmp_path: Path, switch: StopSwitch):
    def made(host: FakeHost) -> Bench:
        traffic = FakeTraffic(lambda endpoint: FakeServer(service_ms=[5.0]))
        placement = Placement((1,), (0,), "native", 1 << 30)
        return Bench(placement, tmp_path, switch, Endpoints(host, traffic))

    return made


@pytest.fixture
def bench(make) -> Bench:
    return make(FakeHost("local"))


def driven(bench: Bench, step: Step, **options):
    with (
        bench.serving("x", NULL_SERVER) as server,
        bench.generator("x", server, [b"body"]) as session,
    ):
        bench.drive(session, closed_step(0, 2, 1.0))
        return bench.drive(session, step, **options)


def test_a_steps_own_samples_count_and_its_beginning_may_be_left_out(bench):
    whole = driven(bench, OPEN)
    assert set(whole.samples["step"].tolist()) == {1}
    assert (whole.failed, whole.dropped) == (0, 0)
    assert whole.length_s == 5.0
    rest = driven(bench, OPEN, cut_s=2.0)
    assert 0 < len(rest.samples) < len(whole.samples)
    assert len(bench.healths) == 4


def test_arrivals_too_late_to_be_sent_are_no_latency_and_no_failure(bench, monkeypatch):
    record, count = Recorder.record, iter(range(10_000))

    def every_tenth_is_dropped(self, **values):
        if next(count) % 10 == 0:
            values |= {"outcome": Outcome.DROPPED, "end_ns": values["start_ns"]}
        record(self, **values)

    monkeypatch.setattr(Recorder, "record", every_tenth_is_dropped)
    found = driven(bench, OPEN)
    assert found.dropped > 10
    assert found.failed == 0
    assert found.latency_ms.min() >= 5.0


def test_a_step_of_which_nothing_was_sent_is_no_measurement(bench):
    with pytest.raises(TrialInvalid, match="the generator sent nothing at 40/s"):
        driven(bench, OPEN, cut_s=99.0)


def test_a_pressed_switch_ends_it(bench, switch):
    switch.press()
    with pytest.raises(TrialStopped, match="the self-test was stopped"):
        driven(bench, OPEN)


def test_a_measurement_without_a_step_is_none_and_says_why(make):
    def breaks(launch):
        # `measure` names its trial itself; the server is there by then
        return None if launch.trial_id == "x" else TrialFailed(Reason.CRASHED, "it broke")

    bench = make(FakeHost("local", breaks))
    with (
        bench.serving("x", NULL_SERVER) as server,
        pytest.raises(TrialInvalid, match="it broke"),
    ):
        bench.measure("x", server, b"body", traffic="users:1", duration_s=2.0)
