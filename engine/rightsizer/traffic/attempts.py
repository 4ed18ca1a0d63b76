"""One request after the other: chosen, sent, checked, recorded; and what is in flight."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from rightsizer.payloads import payload_sequence
from rightsizer.samples import Outcome
from rightsizer.traffic import wire
from rightsizer.traffic.deadlines import Attempt, Deadlines
from rightsizer.traffic.outgoing import Outgoing
from rightsizer.traffic.recorder import Recorder
from rightsizer.units import NS_PER_S

if TYPE_CHECKING:
    from rightsizer.traffic.client import Connection
    from rightsizer.traffic.grpc_channel import Message

CONTENT_EVERY_NS = NS_PER_S
CONTENT_KEPT = 200
"""Replies kept for a look at their content once the step has drained."""
STEP_SHIFT = 40
"""A request's id: the step's index, then (in 10 hex digits) its number in the step; the workers
take turns in the numbers."""


class Attempts:
    """Sends what the work order describes and records every attempt exactly once."""

    def __init__(
        self, order: dict[str, Any], requests: Sequence[Outgoing | Message], deadlines: Deadlines
    ) -> None:
        self._seed: int = order["seed"]
        self._worker: int = order["worker"]
        self._turns = 1
        check = wire.check_of(order["check"])
        self._sizes, self._contains = check.sizes, check.contains
        self._weights = [body["weight"] for body in order["bodies"]]
        self._requests = requests
        self._payloads: Iterator[int] = iter(())
        self._step = self._next_id = 0
        self._kept: list[bytes] = []
        self._keep_next_ns = 0
        self.recorder = Recorder(Path(order["samples"]))
        self.in_flight = deadlines.in_flight

    def begin_step(self, index: int, turns: int) -> None:
        """The payload sequence depends on the seed and the step alone: it can be replayed.

        So many workers take turns in it.
        """
        self._turns = turns
        self._step = index
        self._next_id = (index << STEP_SHIFT) + self._worker
        sequence = payload_sequence(self._weights, self._seed, index)
        self._payloads = islice(sequence, self._worker, None, turns)
        self._kept = []
        self.recorder.begin_step()

    def choose(self) -> int:
        """The payload of the next request: the k-th choice is the same on every run."""
        return next(self._payloads)

    def send(self, connection: Connection, user: int, payload: int, due_ns: int = 0) -> Attempt:
        """Send one request and record what comes of it; `due_ns` 0: intended when it starts."""
        start_ns = time.monotonic_ns()
        attempt = Attempt(due_ns or start_ns, start_ns, payload, user)
        me = getcurrent()
        self.in_flight[me] = attempt
        self._next_id += self._turns
        try:
            connection.send(self._requests[payload], self._next_id, attempt)
        finally:
            # Also where Locust has killed the user: it is recorded as unfinished.
            self.in_flight.pop(me, None)
            if not attempt.written_off:
                self._record(attempt)
        return attempt

    def drop(self, due_ns: int, payload: int) -> None:
        """Record an arrival that is not sent."""
        self._record(Attempt(due_ns, due_ns, payload, 0, Outcome.DROPPED, end_ns=due_ns))

    def write_off(self) -> None:
        """Record everything in flight as unfinished."""
        for attempt in self.in_flight.values():
            if not attempt.written_off:
                self._record(attempt)
                attempt.written_off = True

    def look_at_content(self) -> tuple[int, int]:
        """(replies looked at, replies without the required text); off the measured path."""
        wanted = (self._contains or "").encode()
        return len(self._kept), sum(wanted not in body for body in self._kept)

    def _keep(self, attempt: Attempt) -> None:
        if len(self._kept) < CONTENT_KEPT:
            self._kept.append(attempt.body)
            self._keep_next_ns = attempt.end_ns + CONTENT_EVERY_NS

    def _record(self, attempt: Attempt) -> None:
        size_bytes = len(attempt.body)
        if attempt.outcome is Outcome.SUCCEEDED:
            if size_bytes not in self._sizes:
                attempt.outcome = Outcome.REJECTED
            elif self._contains is not None and attempt.end_ns >= self._keep_next_ns:
                self._keep(attempt)
        self.recorder.record(
            attempt.intended_ns,
            attempt.start_ns,
            attempt.sent_ns,
            attempt.first_byte_ns,
            attempt.end_ns or time.monotonic_ns(),
            self._requests[attempt.payload].content_bytes,
            size_bytes,
            attempt.user,
            attempt.payload,
            self._step,
            attempt.status,
            attempt.outcome,
        )
