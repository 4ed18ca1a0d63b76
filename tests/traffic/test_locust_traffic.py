"""The real generator against a server that counts and misbehaves."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rightsizer.errors import Reason, TrialFailed, TrialInvalid
from rightsizer.hosts.base import Endpoint
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.protocols import Body, Request, ResponseCheck
from rightsizer.samples import Outcome, Samples, read_samples
from rightsizer.schedule import Level, Step, closed_step
from rightsizer.traffic.base import Session
from rightsizer.traffic.driver import LocustTraffic
from rightsizer.traffic.records import StepRecord

from .conftest import Scripted

pytestmark = pytest.mark.server

NS = 1_000_000_000


def request_to(path: str, timeout_s: float = 5.0, check: ResponseCheck | None = None) -> Request:
    bodies = [Body("a", b"x" * 200, "text/plain"), Body("b", b"y" * 300_000, "text/plain")]
    return Request("POST", path, {"X-Test": "1"}, bodies, timeout_s, check or ResponseCheck())


def open_step(rate: float, duration_s: float, index: int = 0) -> Step:
    return Step(index, "open", duration_s, rate_per_s=rate)


def drive(
    server: Scripted,
    owner: GuardedOwner,
    folder: Path,
    request: Request,
    *steps: Step,
    stall_s: float = 0.0,
) -> tuple[Samples, list[StepRecord]]:
    """Drive the steps; `stall_s`: have the server stall for so long half a second into each."""
    records = []
    with LocustTraffic().open(
        Endpoint(server.url), request, seed=3, trial_dir=folder, owner=owner, cpus=[]
    ) as session:
        for step in steps:
            for number, progress in enumerate(session.drive(step)):
                assert progress.elapsed_s > 0
                if number == 0 and stall_s:
                    server.get(f"/stall?s={stall_s}")
            records.append(session.last)
    samples = read_samples(session.sample_files)
    assert len(samples) == records[-1].committed
    return samples, records


def outcomes(samples: Samples) -> dict[Outcome, int]:
    return {Outcome(key): n for key, n in Counter(samples["outcome"].tolist()).items()}


def test_every_request_the_server_read_is_a_sample_over_ramps_and_timeouts(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    ramp = Step(0, "closed", 3.0, levels=(Level(0.0, 4), Level(1.0, 8), Level(2.0, 2)))
    down = closed_step(1, 1, 1.0)
    slow = request_to("/slow?ms=120", timeout_s=1.0)
    samples, records = drive(scripted, owner, tmp_path, slow, ramp, down)
    assert scripted.heads() == len(samples) > 50
    assert records[0].journal[-1][1] == 2
    more, _ = drive(scripted, owner, tmp_path, slow, closed_step(0, 6, 2.5), stall_s=1.3)
    assert scripted.heads() == len(samples) + len(more)
    assert outcomes(more)[Outcome.TIMED_OUT] == 6
    assert outcomes(more)[Outcome.SUCCEEDED] > 6


def test_a_closed_step_ends_drained_and_its_times_are_in_order(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    samples, [record] = drive(
        scripted, owner, tmp_path, request_to("/slow?ms=50"), closed_step(0, 3, 2.0)
    )
    assert outcomes(samples) == {Outcome.SUCCEEDED: len(samples)}
    for before, after in (
        ("intended_ns", "start_ns"),
        ("start_ns", "sent_ns"),
        ("sent_ns", "first_byte_ns"),
        ("first_byte_ns", "end_ns"),
    ):
        assert (samples[before] <= samples[after]).all()
    assert (samples["intended_ns"] == samples["start_ns"]).all()
    assert (samples["start_ns"] < record.end_ns).all()
    assert (samples["end_ns"] <= record.drained_ns).all()
    assert record.complete
    assert set(samples["user"].tolist()) == {1, 2, 3}
    assert set(samples["bytes_out"].tolist()) == {200, 300_000}
    assert set(samples["bytes_in"].tolist()) == {2}
    latency_ms = (samples["end_ns"] - samples["start_ns"]) / 1e6
    assert 50 <= np.median(latency_ms) < 80


def test_the_same_seed_sends_the_same_payloads_in_the_same_order(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        step = closed_step(0, 1, 1.0)
        samples, _ = drive(scripted, owner, tmp_path / name, request_to("/slow?ms=20"), step)
        runs.append(samples["payload"].tolist())
    shorter = min(len(run) for run in runs)
    assert shorter > 20
    assert runs[0][:shorter] == runs[1][:shorter]
    assert set(runs[0]) == {0, 1}


def test_open_traffic_keeps_its_schedule_whatever_the_server_does(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    step = replace(open_step(100, 4.0), arrivals="constant")
    samples, [record] = drive(scripted, owner, tmp_path, request_to("/ok"), step, stall_s=1.0)
    assert len(samples) == 400
    assert outcomes(samples) == {Outcome.SUCCEEDED: 400}
    due_ns = record.begin_ns + ((np.arange(400) + 0.5) * NS / 100).astype(np.int64)
    assert np.abs(np.sort(samples["intended_ns"]) - due_ns).max() < 1000
    slip_ms = (samples["start_ns"] - samples["intended_ns"]) / 1e6
    assert np.median(slip_ms) < 20
    # The stall is in the latencies of all who came during its first half, not of one.
    late = np.count_nonzero(samples["end_ns"] - samples["intended_ns"] > 0.5 * NS)
    assert 40 <= late <= 60


def test_arrivals_over_the_cap_in_flight_are_dropped_and_counted(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, _ = drive(
        scripted, owner, tmp_path, request_to("/never", timeout_s=4.0), open_step(600, 2.5)
    )
    found = outcomes(samples)
    assert found[Outcome.TIMED_OUT] == 1000
    assert found[Outcome.DROPPED] == len(samples) - 1000 > 300
    dropped = samples[samples["outcome"] == Outcome.DROPPED]
    assert (dropped["sent_ns"] == 0).all()


@pytest.mark.parametrize(
    ("path", "outcome", "status"),
    [
        ("/status?code=503", Outcome.STATUS, 503),
        ("/status?code=302", Outcome.STATUS, 302),
        ("/reset", Outcome.RESET, 0),
        ("/never", Outcome.TIMED_OUT, 0),
        ("/drip", Outcome.TIMED_OUT, 0),
        ("/empty", Outcome.REJECTED, 200),
        ("/close", Outcome.SUCCEEDED, 200),
        ("/ended", Outcome.SUCCEEDED, 200),
        ("/garbage", Outcome.PROTOCOL, 0),
        ("/upgrade", Outcome.PROTOCOL, 0),
    ],
)
def test_each_way_to_fail_has_its_outcome(
    scripted: Scripted,
    owner: GuardedOwner,
    tmp_path: Path,
    path: str,
    outcome: Outcome,
    status: int,
) -> None:
    request = request_to(path, timeout_s=0.5, check=ResponseCheck(min_bytes=1))
    samples, _ = drive(scripted, owner, tmp_path, request, closed_step(0, 2, 1.0))
    assert set(outcomes(samples)) == {outcome}
    assert set(samples["status"].tolist()) == {status}
    assert scripted.heads() == len(samples)
    if path in ("/reset", "/never"):
        assert set(samples["first_byte_ns"].tolist()) == {0}


def test_an_idle_connection_that_the_server_closed_is_reopened_and_counted_not_failed(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    step = replace(open_step(10, 2.0), arrivals="constant")
    samples, [record] = drive(scripted, owner, tmp_path, request_to("/hangup"), step)
    assert outcomes(samples) == {Outcome.SUCCEEDED: 20}
    assert record.health.reopened + len(set(samples["user"].tolist())) == 20
    assert record.health.reopened > 0


def test_a_server_that_is_not_there_is_a_connect_failure_not_a_flood(
    owner: GuardedOwner, tmp_path: Path
) -> None:
    nobody = Scripted("http://127.0.0.1:9")
    samples, _ = drive(nobody, owner, tmp_path, request_to("/ok"), closed_step(0, 1, 1.0))
    assert set(outcomes(samples)) == {Outcome.CONNECT}
    assert 3 <= len(samples) <= 11


@pytest.mark.shared_cpus
def test_a_stopped_step_drains_and_an_abandoned_one_records_what_was_in_flight(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    with LocustTraffic().open(
        Endpoint(scripted.url),
        request_to("/slow?ms=300"),
        seed=3,
        trial_dir=tmp_path,
        owner=owner,
        cpus=[],
    ) as session:
        for number, stop in enumerate((session.stop_step, session.abandon)):
            for progress in session.drive(closed_step(number, 5, 30.0)):
                if progress.elapsed_s > 1:
                    stop()
            assert not session.last.complete
            assert session.last.drained_ns - session.last.begin_ns < 5 * NS
    samples = read_samples(session.sample_files)
    first, second = (samples[samples["step"] == number] for number in (0, 1))
    assert outcomes(first) == {Outcome.SUCCEEDED: len(first)}
    assert outcomes(second)[Outcome.UNFINISHED] == 5
    assert scripted.heads() == len(samples)


@pytest.mark.shared_cpus
def test_samples_can_be_read_while_the_step_runs(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    with LocustTraffic().open(
        Endpoint(scripted.url),
        request_to("/slow?ms=20"),
        seed=3,
        trial_dir=tmp_path,
        owner=owner,
        cpus=[],
    ) as session:
        before = 0
        for number in (0, 1):
            for progress in session.drive(closed_step(number, 2, 1.8)):
                assert progress.committed - before == progress.attempted > 0
                assert len(read_samples(session.sample_files)) >= progress.committed
            before = session.last.committed


def test_a_step_tells_how_the_generator_fared(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    steps = [closed_step(0, 3, 1.0), closed_step(1, 1, 1.0), open_step(50, 1.0, 2)]
    _, kept = drive(scripted, owner, tmp_path, request_to("/slow?ms=20"), *steps)
    assert [record.health.reopened for record in kept] == [0, 0, 0]
    assert [record.health.connections for record in kept[:2]] == [3, 1]
    assert kept[2].health.connections >= 1
    for health in (record.health for record in kept):
        assert 0 <= health.loop_lag_p99_ms <= health.loop_lag_max_ms
        assert health.gc_pause_ratio == 0
        assert health.run_delay_ratio >= 0
    closing, [record] = drive(
        scripted, owner, tmp_path, request_to("/close"), closed_step(0, 1, 1.0)
    )
    assert outcomes(closing) == {Outcome.SUCCEEDED: len(closing)}
    assert len(closing) - 1 <= record.health.reopened <= len(closing)


@pytest.mark.shared_cpus
def test_sampled_replies_are_held_to_the_required_content(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    check, step = ResponseCheck(contains="cat"), closed_step(0, 1, 1.5)
    cat, dog = (request_to(f"/text?say=a+{animal}", check=check) for animal in ("cat", "dog"))
    _, [good] = drive(scripted, owner, tmp_path, cat, step)
    _, [bad] = drive(scripted, owner, tmp_path, dog, step)
    assert (good.content_checked, good.content_refused) == (2, 0)
    assert (bad.content_checked, bad.content_refused) == (2, 2)


def remembering(owner: GuardedOwner) -> list[int]:
    """The process ids of what the owner spawns from now on."""
    spawned = []
    spawn = owner.spawn

    def remember(*args: object, **kwargs: object) -> int:
        spawned.append(spawn(*args, **kwargs))  # type: ignore[arg-type]
        return spawned[-1]

    owner.spawn = remember  # type: ignore[method-assign]
    return spawned


def test_a_generator_that_stood_still_over_the_step_s_end_loses_no_arrival_and_says_so(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    spawned = remembering(owner)
    step = replace(open_step(2000, 1.5), arrivals="constant")
    with LocustTraffic().open(
        Endpoint(scripted.url), request_to("/ok"), seed=3, trial_dir=tmp_path, owner=owner, cpus=[]
    ) as session:
        for progress in session.drive(step):
            if 0.4 < progress.elapsed_s < 1.4:
                os.kill(spawned[0], signal.SIGSTOP)
                time.sleep(1.4)
                os.kill(spawned[0], signal.SIGCONT)
        record = session.last
    samples = read_samples(session.sample_files)
    assert record.committed == len(samples) == 3000
    assert outcomes(samples)[Outcome.DROPPED] > 100
    assert record.health.loop_lag_max_ms > 500


def drive_and_kill(opening: AbstractContextManager[Session], spawned: list[int]) -> None:
    with opening as session:
        for progress in session.drive(closed_step(0, 1, 30.0)):
            if progress.elapsed_s > 0.6:
                os.kill(spawned[0], signal.SIGKILL)


@pytest.mark.shared_cpus
def test_a_generator_that_is_killed_makes_the_trial_invalid_at_once(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    spawned = remembering(owner)
    session = LocustTraffic().open(
        Endpoint(scripted.url),
        request_to("/ok"),
        seed=3,
        trial_dir=tmp_path,
        owner=owner,
        cpus=[],
    )
    with pytest.raises(TrialInvalid, match=r"generator was lost.*SIGKILL") as error:
        drive_and_kill(session, spawned)
    assert error.value.reason is Reason.GENERATOR_LOST


def test_probes_go_once_to_each_payload_and_tell_what_the_server_said(scripted: Scripted) -> None:
    traffic = LocustTraffic()
    probe = traffic.probe(Endpoint(scripted.url), request_to("/slow?ms=30"), lambda: None)
    assert list(probe) == ["a", "b"]
    assert all(30 <= latency_ms < 500 for latency_ms in probe.values())
    assert scripted.heads() == 2
    for path, said in (
        ("/status?code=418", "payload a was refused: status 418, as you wish"),
        ("/empty", "response check: status 200, 0 bytes"),
        ("/never", "no answer within 0.5 s"),
        ("/reset", "cut off"),
    ):
        request = request_to(path, timeout_s=0.5, check=ResponseCheck(min_bytes=1))
        with pytest.raises(TrialFailed, match=said) as error:
            traffic.probe(Endpoint(scripted.url), request, lambda: None)
        assert error.value.reason is Reason.PROBE_REFUSED


@pytest.mark.shared_cpus
def test_nothing_is_left_in_the_trial_folder_but_samples_and_logs(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    drive(scripted, owner, tmp_path, request_to("/ok"), closed_step(0, 1, 1.0))
    names = {path.name for path in tmp_path.iterdir()} - {"runtime", "store"}
    assert names == {"samples-0.bin", "generator.log"}
    assert (tmp_path / "generator.log").read_text() == ""
