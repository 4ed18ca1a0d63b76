"""What is in flight, and the total deadline of each, at the cost of one dictionary entry."""

from __future__ import annotations

import time
from dataclasses import dataclass

import gevent
from greenlet import greenlet

from rightsizer.samples import Outcome
from rightsizer.units import NS_PER_S

SOONEST_S = 0.001


class Expired(BaseException):
    """Thrown into a greenlet whose request has had its time. Like GreenletExit no `Exception`."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One request, and what comes of it: the client fills in all but the first four.

    Times are ns of the monotonic clock, 0 where it did not come to it.
    """

    intended_ns: int
    start_ns: int
    payload: int
    user: int
    outcome: Outcome = Outcome.UNFINISHED
    status: int = 0
    sent_ns: int = 0
    first_byte_ns: int = 0
    end_ns: int = 0
    body: bytes = b""
    written_off: bool = False
    """Recorded as unfinished; whatever still comes of it is not counted twice."""


class Deadlines:
    """One timer for all: with one timeout, requests run out in the order in which they began."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._timeout_ns = int(timeout_s * NS_PER_S)
        self.in_flight: dict[greenlet, Attempt] = {}
        """By the greenlet that waits, in the order of their starts. Unless it takes its own out in
        time, `Expired` is thrown into it."""
        self._loop = gevent.get_hub().loop
        self._arm(timeout_s)

    def _arm(self, after_s: float) -> None:
        self._timer = self._loop.timer(max(SOONEST_S, after_s), ref=False)
        # libev counts from its own idea of now, which a busy loop has left behind.
        self._timer.start(self._sweep, update=True)

    def _sweep(self) -> None:
        begun_ns = time.monotonic_ns() - self._timeout_ns
        expired = []
        for waiting, attempt in self.in_flight.items():
            if attempt.start_ns > begun_ns:
                break
            expired.append(waiting)
        for waiting in expired:
            # An earlier one's end may have ended this one too.
            if self.in_flight.pop(waiting, None) is not None:
                waiting.throw(Expired)
        next_ns = next(
            (attempt.start_ns for attempt in self.in_flight.values()), time.monotonic_ns()
        )
        self._arm((next_ns + self._timeout_ns - time.monotonic_ns()) / NS_PER_S)
