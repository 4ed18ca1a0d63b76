"""Traffic without a network: a queue in virtual time with exact, known answers.

`FakeTraffic` serves requests first come first served by `servers` workers whose service times are
fixed for each payload. It writes real sample files, so all that follows runs on it unchanged.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rightsizer.hosts.base import Endpoint, Owner
from rightsizer.payloads import payload_sequence
from rightsizer.protocols import Request
from rightsizer.samples import Outcome
from rightsizer.schedule import Step, arrivals
from rightsizer.traffic.recorder import Recorder
from rightsizer.traffic.records import Progress, Reach, StepRecord
from rightsizer.units import NS_PER_S


@dataclass(frozen=True)
class FakeServer:
    """How a fake endpoint behaves."""

    service_ms: Sequence[float]
    """By payload; the last one serves for all further payloads."""
    servers: int = 1
    fails_every: int = 0
    """Every so-manieth request is answered with status 500; 0: none."""


class FakeTraffic:
    """Drives whatever `behaviour` says stands behind an endpoint."""

    def __init__(
        self, behaviour: Callable[[Endpoint], FakeServer], reach: Reach | None = None
    ) -> None:
        self._behaviour, self._reach = behaviour, reach

    def probe(
        self, endpoint: Endpoint, request: Request, tick: Callable[[], None]
    ) -> dict[str, float]:
        """Each payload's service time."""
        tick()
        times = self._behaviour(endpoint).service_ms
        return {
            body.name: times[min(index, len(times) - 1)]
            for index, body in enumerate(request.bodies)
        }

    def reach(self, endpoint: Endpoint, request: Request) -> Reach | None:
        """As far as it was told to be."""
        return self._reach

    @contextmanager
    def open(
        self,
        endpoint: Endpoint,
        request: Request,
        *,
        seed: int,
        trial_dir: Path,
        owner: Owner,
        cpus: Sequence[int],
    ) -> Iterator[FakeSession]:
        """See `traffic.base.Traffic`; owner and cpus are not used."""
        trial_dir.mkdir(parents=True, exist_ok=True)
        session = FakeSession(self._behaviour(endpoint), request, seed, trial_dir / "samples-0.bin")
        try:
            yield session
        finally:
            session.recorder.close()


class FakeSession:
    """See `traffic.base.Session`. Virtual time starts at one second."""

    def __init__(self, server: FakeServer, request: Request, seed: int, path: Path) -> None:
        self._server, self._request, self._seed, self._path = server, request, seed, path
        self._now_ns = NS_PER_S
        self._stop_at_s: float | None = None
        self._last: StepRecord | None = None
        self.recorder = Recorder(path)

    @property
    def last(self) -> StepRecord:
        """What the step driven last left behind."""
        if self._last is None:
            raise RuntimeError("no step was driven yet")
        return self._last

    @property
    def sample_files(self) -> Sequence[Path]:
        """The one file."""
        return [self._path]

    def stop_step(self) -> None:
        """Cut the running step at the progress seen last."""
        self._stop_at_s = -1.0

    def abandon(self) -> None:
        """The same: nothing is ever in flight here."""
        self.stop_step()

    def drive(self, step: Step) -> Iterator[Progress]:
        """One progress a (virtual) second, then the step's samples."""
        self._stop_at_s = None
        length_s = step.duration_s
        for second in range(1, int(step.duration_s) + 1):
            yield Progress(float(second), step.users or 0, 0, 0, 0, 0.0, None)
            if self._stop_at_s is not None:
                length_s = float(second)
                break
        begin_ns, end_ns = self._now_ns, self._now_ns + int(length_s * NS_PER_S)
        drained_ns = self._simulate(step, begin_ns, end_ns)
        self._now_ns = drained_ns + NS_PER_S
        self._last = StepRecord(
            step=step,
            begin_ns=begin_ns,
            end_ns=end_ns,
            drained_ns=drained_ns,
            committed=self.recorder.commit(),
            complete=length_s == step.duration_s,
            journal=tuple((begin_ns + int(x.at_s * NS_PER_S), x.users) for x in step.levels),
            generator_cpu_ratio=0.1,
        )

    def _simulate(self, step: Step, begin_ns: int, end_ns: int) -> int:
        """Serve the step's requests; returns when the last one was answered."""
        weights = [body.weight for body in self._request.bodies]
        payloads = payload_sequence(weights, self._seed, step.index)
        free_ns = [begin_ns] * self._server.servers
        drained_ns = end_ns
        waiting = self._starts(step, begin_ns)
        count = 0
        while waiting:
            start_ns, user = heapq.heappop(waiting)
            if start_ns >= end_ns:
                continue
            payload, count = next(payloads), count + 1
            served_ns = max(start_ns, heapq.heappop(free_ns))
            done_ns = served_ns + self._service_ns(payload)
            heapq.heappush(free_ns, done_ns)
            self._record(step.index, start_ns, done_ns, user, payload, count)
            drained_ns = max(drained_ns, done_ns)
            if step.mode == "closed":
                heapq.heappush(waiting, (done_ns, user))
        return drained_ns

    def _starts(self, step: Step, begin_ns: int) -> list[tuple[int, int]]:
        """(ns, user) of the first requests: all arrivals, or each closed user's first."""
        if step.mode == "open":
            return [(begin_ns + int(t * NS_PER_S), 0) for t in arrivals(step, self._seed)]
        starts, users = [], 0
        for level in step.levels:
            for user in range(users, level.users):
                starts.append((begin_ns + int(level.at_s * NS_PER_S), user))
            users = max(users, level.users)
        heapq.heapify(starts)
        return starts

    def _service_ns(self, payload: int) -> int:
        times = self._server.service_ms
        return int(times[min(payload, len(times) - 1)] * 1_000_000)

    def _record(
        self, step: int, start_ns: int, done_ns: int, user: int, payload: int, count: int
    ) -> None:
        timeout_ns = int(self._request.timeout_s * NS_PER_S)
        outcome, status = Outcome.SUCCEEDED, 200
        if self._server.fails_every and count % self._server.fails_every == 0:
            outcome, status = Outcome.STATUS, 500
        if done_ns - start_ns > timeout_ns:
            outcome, status, done_ns = Outcome.TIMED_OUT, 0, start_ns + timeout_ns
        self.recorder.record(
            intended_ns=start_ns,
            start_ns=start_ns,
            sent_ns=start_ns,
            first_byte_ns=done_ns,
            end_ns=done_ns,
            bytes_out=len(self._request.bodies[payload].content),
            bytes_in=2,
            user=user,
            payload=payload,
            step=step,
            status=status,
            outcome=outcome,
        )
