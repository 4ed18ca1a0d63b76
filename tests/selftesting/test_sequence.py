"""The self-test over the fakes: which checks there are, how it ends, what it keeps and holds."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
import rightsizer
from rightsizer.errors import EnvironmentFault, ExitCode, Reason, StoreError, TrialFailed
from rightsizer.events import CheckEnded, ChecksStarted, SelftestStarted
from rightsizer.hosts.fake import FakeHost
from rightsizer.hosts.lease import lease, leased_cpus
from rightsizer.measurement import Endpoints
from rightsizer.selftesting.extent import FULL, QUICK
from rightsizer.selftesting.outcome import SelfTest
from rightsizer.selftesting.sequence import plan, selftest
from rightsizer.stop_switch import StopSwitch
from rightsizer.traffic.fake import FakeServer, FakeTraffic


class UnreadHost(FakeHost):
    """What its servers use cannot be read, as that of an endpoint of others."""

    @contextmanager
    def start(self, launch, tick=lambda: None):
        with super().start(launch, tick) as server:
            server.usage = list
            yield server


def endpoints(service_ms: float = 5.0, fails_every: int = 0, refused: str = "stall") -> Endpoints:
    """Servers of fixed service; one is not started: the fake leaves no record of a stall."""

    def outcome(launch):
        if launch.trial_id == refused:
            return TrialFailed(Reason.EXITED_AT_START, "the server ended before it was ready")
        return None

    server = FakeServer(service_ms=[service_ms], fails_every=fails_every)
    return Endpoints(UnreadHost("local", outcome), FakeTraffic(lambda endpoint: server))


@pytest.fixture
def run():
    def started(through: Endpoints | None = None, **options) -> SelfTest:
        return selftest(quick=True, through=through or endpoints(), **options)

    return started


def by_name(found: SelfTest) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for check in found.checks:
        names.setdefault(check.name, []).append(check.judgement)
    return names


def test_it_is_public():
    assert rightsizer.selftest is selftest
    assert rightsizer.SelfTest is SelfTest


def test_every_check_is_there_and_one_that_could_not_be_run_fails_alone(run):
    found = run()
    names = by_name(found)
    assert list(names) == ["ceiling", "floor", "truth", "stall", "caching", "noise"]
    assert (len(names["ceiling"]), len(names["floor"])) == (2, 5)
    [stalled] = [check for check in found.checks if check.name == "stall"]
    assert stalled.says == "it could not be run: the server ended before it was ready"
    assert (found.judgement, found.exit_code) == ("fail", ExitCode.NO_VALID_MEASUREMENT)
    assert found.stopped is False
    # a server without a cache, where one should have been
    assert names["caching"] == ["fail"]


def test_users_in_a_loop_and_open_arrivals_see_the_fakes_own_times(run):
    found = run()
    ceiling = found.checks[0].figures
    assert ceiling.per_s == pytest.approx(200, rel=0.05)
    assert ceiling.cpu_ms_per_request == pytest.approx(0.5, rel=0.05)
    # at a fifth of the ceiling most find nobody before them
    floors = [check.figures for check in found.checks if check.name == "floor"]
    assert floors[1].rate_per_s == round(0.2 * ceiling.per_s)
    assert floors[1].p50_ms == pytest.approx(5.0, rel=0.01)


def test_answers_that_fail_on_a_server_that_does_nothing_fail_the_check(run):
    found = run(endpoints(fails_every=3))
    assert set(by_name(found)["ceiling"]) == {"fail"}
    assert found.exit_code == ExitCode.NO_VALID_MEASUREMENT


def test_everything_is_said_as_it_happens(run, tmp_path):
    heard = []
    found = run(on_event=heard.append, store=tmp_path / "own")
    assert isinstance(heard[0], SelftestStarted)
    assert heard[0].folder == found.samples
    assert Path(found.samples).parent == tmp_path / "own" / "selftests"
    started = [event for event in heard if isinstance(event, ChecksStarted)]
    assert [event.number for event in started] == list(range(1, heard[0].groups + 1))
    ended = [event.check for event in heard if isinstance(event, CheckEnded)]
    # the noise is judged when all is over
    assert tuple(ended) == found.checks[:-1]


def test_a_pressed_switch_ends_it_with_what_was_done(run):
    switch = StopSwitch()

    def press_at_the_second_group(event):
        if isinstance(event, ChecksStarted) and event.number == 2:
            switch.press()

    found = run(switch=switch, on_event=press_at_the_second_group)
    assert found.stopped
    assert set(by_name(found)) == {"ceiling", "floor"}
    assert {claim.about for claim in found.claims} <= {"rates", "latencies", "placement"}


def test_the_cpus_are_leased_while_it_runs_and_free_after_it(run):
    held = []
    run(on_event=lambda event: held.append(set(leased_cpus())))
    assert held[0]
    assert leased_cpus() == {}


def test_without_a_free_cpu_it_is_the_machines_fault(run):
    with (
        lease(sorted(os.sched_getaffinity(0)), "job x"),
        pytest.raises(EnvironmentFault, match="the self-test finds no CPU: every CPU here is"),
    ):
        run()


def test_a_folder_that_cannot_be_made_is_told_before_anything_starts(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="give another with --store"):
        run(store=tmp_path / "file")


def test_the_whole_takes_two_minutes_and_the_quick_one_half_of_one():
    assert sum(group.expected_s for group in plan(FULL)) < 120
    assert sum(group.expected_s for group in plan(QUICK)) < 40
    assert {name for group in plan(FULL) for name in group.names} == {
        "ceiling",
        "floor",
        "truth",
        "stall",
        "caching",
        "repeat",
    }
