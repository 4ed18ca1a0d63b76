"""Nine simulated servers whose true maximum can be known: open arrivals and closed loops.

Times are seconds. A server's mean service time is `service_s`; `capacity` is in requests per mean
service time. Everything random comes from the generator that the caller seeds.
"""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from rightsizer.instrument.laws import (
    Floats,
    Law,
    Random,
    bimodal,
    exponential,
    fixed,
    four_payloads,
    lognormal,
)


class Server(ABC):
    """Answers requests that come at given instants, or users in a loop."""

    capacity = 1.0

    @abstractmethod
    def departures(self, arrivals: Floats, service_s: float, rng: Random) -> Floats:
        """When each of the ascending arrivals, shape (n,), is answered."""

    @abstractmethod
    def loop(
        self, users: int, begin_s: float, length_s: float, service_s: float, rng: Random
    ) -> tuple[Floats, Floats]:
        """(starts, ends) of the requests of users without think time that start in the time."""


class Queue(Server):
    """First come, first served, by `servers` at once; away for `pause_s` in every `every_s`."""

    def __init__(
        self, law: Law, servers: int = 1, pause_s: float = 0.0, every_s: float = 20.0
    ) -> None:
        self.law, self.servers, self.capacity = law, servers, float(servers)
        self.pause_s, self.every_s = pause_s, every_s

    def departures(self, arrivals: Floats, service_s: float, rng: Random) -> Floats:
        at = self._worked(arrivals)
        times = service_s * self.law(rng, len(at))
        if self.servers == 1:
            work = np.cumsum(times)
            done: Floats = np.maximum.accumulate(at - (work - times)) + work
            return self._clock(done)
        free, ends = [0.0] * self.servers, []
        for arrival, time in zip(at.tolist(), times.tolist(), strict=True):
            end = max(arrival, free[0]) + time
            heapq.heapreplace(free, end)
            ends.append(end)
        return self._clock(np.array(ends))

    def loop(
        self, users: int, begin_s: float, length_s: float, service_s: float, rng: Random
    ) -> tuple[Floats, Floats]:
        begin = float(self._worked(np.array([begin_s]))[0])
        stop = begin + length_s
        waiting = [begin] * users
        free = [begin] * self.servers
        starts, ends = [], []
        times: list[float] = []
        while (start := heapq.heappop(waiting)) < stop:
            if not times:
                times = (service_s * self.law(rng, 512)).tolist()
            end = max(start, heapq.heappop(free)) + times.pop()
            heapq.heappush(free, end)
            heapq.heappush(waiting, end)
            starts.append(start)
            ends.append(end)
        return self._clock(np.array(starts)), self._clock(np.array(ends))

    def _worked(self, t: Floats) -> Floats:
        """How long it has worked by the time t."""
        if not self.pause_s:
            return t
        works = self.every_s - self.pause_s
        rounds = np.floor(t / self.every_s)
        worked: Floats = rounds * works + np.minimum(t - rounds * self.every_s, works)
        return worked

    def _clock(self, worked: Floats) -> Floats:
        if not self.pause_s:
            return worked
        works = self.every_s - self.pause_s
        rounds = np.floor(worked / works)
        clock: Floats = rounds * self.every_s + (worked - rounds * works)
        return clock


class Shared(Server):
    """Processor sharing: all requests at once, each at its share of one processor."""

    def __init__(self, law: Law) -> None:
        self.law = law

    def departures(self, arrivals: Floats, service_s: float, rng: Random) -> Floats:
        at, times = arrivals.tolist(), (service_s * self.law(rng, len(arrivals))).tolist()
        ends = [0.0] * len(at)
        attained = now = 0.0  # the service that each one present has got since the beginning
        present: list[tuple[float, int]] = []
        coming = 0
        while coming < len(at) or present:
            next_s = now + (present[0][0] - attained) * len(present) if present else math.inf
            if coming < len(at) and at[coming] <= next_s:
                if present:
                    attained += (at[coming] - now) / len(present)
                now = at[coming]
                heapq.heappush(present, (attained + times[coming], coming))
                coming += 1
            else:
                attained, number = heapq.heappop(present)
                now = ends[number] = next_s
        return np.array(ends)

    def loop(
        self, users: int, begin_s: float, length_s: float, service_s: float, rng: Random
    ) -> tuple[Floats, Floats]:
        now, attained, stop = begin_s, 0.0, begin_s + length_s
        first = (service_s * self.law(rng, users)).tolist()
        present = [(time, begin_s) for time in first]
        heapq.heapify(present)
        starts, ends = [], []
        times: list[float] = []
        while present:
            due, start = heapq.heappop(present)
            now += (due - attained) * (len(present) + 1)
            attained = due
            starts.append(start)
            ends.append(now)
            if now < stop:
                if not times:
                    times = (service_s * self.law(rng, 512)).tolist()
                heapq.heappush(present, (attained + times.pop(), now))
        return np.array(starts), np.array(ends)


class Batching(Server):
    """Up to eight at once, for which it waits; four service times and a half for each to serve."""

    most, patience, base, each = 8, 2.0, 4.0, 0.5

    def departures(self, arrivals: Floats, service_s: float, rng: Random) -> Floats:
        at, ends = arrivals.tolist(), np.empty(len(arrivals))
        first, free = 0, 0.0
        while first < len(at):
            full = at[first + self.most - 1] if first + self.most <= len(at) else math.inf
            go = max(free, min(full, at[first] + self.patience * service_s))
            after = first
            while after < min(len(at), first + self.most) and at[after] <= go:
                after += 1
            free = go + service_s * (self.base + self.each * (after - first))
            ends[first:after] = free
            first = after
        return ends

    def loop(
        self, users: int, begin_s: float, length_s: float, service_s: float, rng: Random
    ) -> tuple[Floats, Floats]:
        waiting, free, stop = [begin_s] * users, begin_s, begin_s + length_s
        starts, ends = [], []
        while waiting[0] < stop:
            full = waiting[self.most - 1] if users >= self.most else math.inf
            go = max(free, min(full, waiting[0] + self.patience * service_s))
            batch = [start for start in waiting[: self.most] if start <= go]
            free = go + service_s * (self.base + self.each * len(batch))
            starts += batch
            ends += [free] * len(batch)
            waiting = waiting[len(batch) :] + [free] * len(batch)
        return np.array(starts), np.array(ends)


SERVERS: Mapping[str, Server] = {
    "exponential": Queue(exponential),
    "fixed": Queue(fixed),
    "four servers": Queue(exponential, servers=4),
    "bimodal": Queue(bimodal),
    "lognormal": Queue(lognormal),
    "processor sharing": Shared(exponential),
    "batching": Batching(),
    "four payloads": Queue(four_payloads),
    "pause": Queue(exponential, pause_s=0.5),
}
"""The laws of the benchmark, by name."""
