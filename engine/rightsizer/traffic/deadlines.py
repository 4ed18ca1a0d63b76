"""The total deadline of every request in flight, at the cost of two dictionary entries each."""

from __future__ import annotations

import time

import gevent
from greenlet import greenlet

from rightsizer.units import NS_PER_S

SOONEST_S = 0.001


class Expired(BaseException):
    """Thrown into a greenlet whose request has had its time. Like GreenletExit no `Exception`."""


class Deadlines:
    """One timer for all: with one timeout, requests run out in the order in which they began."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._timeout_ns = int(timeout_s * NS_PER_S)
        self._due_ns: dict[greenlet, int] = {}
        self._loop = gevent.get_hub().loop
        self._arm(timeout_s)

    def enter(self, waiting: greenlet, start_ns: int) -> None:
        """The greenlet's request began; unless it leaves in time, `Expired` is thrown into it."""
        self._due_ns[waiting] = start_ns + self._timeout_ns

    def leave(self, waiting: greenlet) -> None:
        """The greenlet's request has ended."""
        self._due_ns.pop(waiting, None)

    def _arm(self, after_s: float) -> None:
        self._timer = self._loop.timer(max(SOONEST_S, after_s), ref=False)
        # libev counts from its own idea of now, which a busy loop has left behind.
        self._timer.start(self._sweep, update=True)

    def _sweep(self) -> None:
        now_ns = time.monotonic_ns()
        expired = []
        for waiting, due_ns in self._due_ns.items():
            if due_ns > now_ns:
                break
            expired.append(waiting)
        for waiting in expired:
            # An earlier one's end may have ended this one too.
            if self._due_ns.pop(waiting, None) is not None:
                waiting.throw(Expired)
        next_ns = next(iter(self._due_ns.values()), now_ns + self._timeout_ns)
        self._arm((next_ns - time.monotonic_ns()) / NS_PER_S)
