"""Several generator processes against a server that counts: one schedule, whoever sends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rightsizer.errors import Reason, TrialInvalid
from rightsizer.hosts.base import Endpoint
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.protocols import Body, Request, ResponseCheck
from rightsizer.samples import Outcome, read_samples
from rightsizer.schedule import Level, Step, closed_step
from rightsizer.traffic.base import Session
from rightsizer.traffic.driver import LocustTraffic

from .conftest import Scripted

pytestmark = [pytest.mark.server, pytest.mark.shared_cpus]


@contextmanager
def opened(
    server: Scripted, owner: GuardedOwner, folder: Path, workers: int, path: str = "/slow?ms=20"
) -> Iterator[Session]:
    bodies = [Body("a", b"x" * 200, "text/plain"), Body("b", b"y" * 2000, "text/plain")]
    request = Request("POST", path, {}, bodies, 5.0, ResponseCheck())
    folder.mkdir(exist_ok=True)
    with LocustTraffic(workers).open(
        Endpoint(server.url), request, seed=3, trial_dir=folder, owner=owner, cpus=[]
    ) as session:
        yield session


def test_any_number_of_workers_sends_the_same_arrivals_with_the_same_payloads(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    step = Step(2, "open", 1.5, rate_per_s=60.0)
    sent = []
    for workers in (1, 3):
        with opened(scripted, owner, tmp_path / str(workers), workers) as session:
            for _ in session.drive(step):
                pass
        samples = np.sort(read_samples(session.sample_files), order="intended_ns")
        assert (samples["outcome"] == Outcome.SUCCEEDED).all()
        since_us = (samples["intended_ns"] - session.last.begin_ns) // 1000
        sent.append(list(zip(since_us.tolist(), samples["payload"].tolist(), strict=True)))
    assert sent[0] == sent[1]
    assert scripted.heads() == 2 * len(sent[0])


def test_users_are_shared_and_every_request_the_server_read_is_gathered(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    ramp = Step(0, "closed", 3.0, levels=(Level(0.0, 1), Level(1.0, 5), Level(2.0, 1)))
    with opened(scripted, owner, tmp_path, 2) as session:
        for number, progress in enumerate(session.drive(ramp)):
            assert len(read_samples(session.sample_files)) == progress.committed
            assert number or progress.users == 1
        record = session.last
        for _ in session.drive(closed_step(1, 3, 1.0)):
            pass
    samples = read_samples(session.sample_files)
    assert scripted.heads() == len(samples) == session.last.committed
    assert len(set(samples["user"][samples["step"] == 1].tolist())) == 3
    assert len(set(samples["user"][samples["step"] == 0].tolist())) == 5
    counts = [users for _, users in record.journal]
    assert (counts[0], max(counts), counts[-1]) == (1, 5, 1)
    assert record.health.lost_workers == 0
    names = {path.name for path in tmp_path.iterdir()} - {"runtime", "store"}
    assert names == {"samples-0.bin", "generator.log", "generator-1.log"}


def test_a_worker_lost_ends_the_step_and_refuses_the_next(
    scripted: Scripted, owner: GuardedOwner, tmp_path: Path
) -> None:
    pids: list[int] = []
    spawn = owner.spawn

    def remember(*args: object, **kwargs: object) -> int:
        pids.append(spawn(*args, **kwargs))  # type: ignore[arg-type]
        return pids[-1]

    owner.spawn = remember  # type: ignore[method-assign]
    with opened(scripted, owner, tmp_path, 2) as session:
        for progress in session.drive(closed_step(0, 4, 30.0)):
            if progress.elapsed_s > 0.6:
                os.kill(pids[1], signal.SIGKILL)
        record = session.last
        assert record.health.lost_workers == 1
        assert not record.complete
        assert record.end_ns - record.begin_ns < 10e9
        assert len(read_samples(session.sample_files)) == record.committed
        with pytest.raises(TrialInvalid, match="generator was lost") as error:
            next(session.drive(closed_step(1, 1, 1.0)))
        assert error.value.reason is Reason.GENERATOR_LOST
