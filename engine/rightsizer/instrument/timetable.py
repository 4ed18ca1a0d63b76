"""A queue that is computed, not run: when a request will be done is known the moment it arrives."""

from __future__ import annotations

import heapq

import numpy as np

from rightsizer.instrument.laws import Law

DRAWN_AT_ONCE = 1000


class Timetable:
    """First come, first served, by `servers` at once, away at the end of each period. In s."""

    def __init__(
        self,
        law: Law,
        service_s: float,
        *,
        servers: int = 1,
        pause_s: float = 0.0,
        every_s: float = 20.0,
        seed: int = 1,
        begin_s: float = 0.0,
    ) -> None:
        """`service_s` is the mean; the last `pause_s` of every `every_s` from `begin_s` on idle."""
        self._law, self._service_s = law, service_s
        self._random = np.random.default_rng(seed)
        self._free_s = [begin_s] * servers
        self._pause_s, self._every_s, self._begin_s = pause_s, every_s, begin_s
        self._times_s: list[float] = []

    def done_s(self, now_s: float) -> float:
        """When the request that arrives now is done; arrivals come in order."""
        if not self._times_s:
            self._times_s = (self._service_s * self._law(self._random, DRAWN_AT_ONCE)).tolist()
        done_s = self._worked_until(max(now_s, self._free_s[0]), self._times_s.pop())
        heapq.heapreplace(self._free_s, done_s)
        return done_s

    def _worked_until(self, at_s: float, work_s: float) -> float:
        """The end of so much work, the pauses left out."""
        while self._pause_s:
            into_s = (at_s - self._begin_s) % self._every_s
            left_s = self._every_s - self._pause_s - into_s
            if left_s > 0 and work_s <= left_s:
                break
            work_s -= max(0.0, left_s)
            at_s += self._every_s - into_s
        return at_s + work_s
