"""Arrivals handed out: what is owed when a step ends is dropped, and counted, before it is over."""

from __future__ import annotations

import time
from typing import Any

import gevent
from rightsizer.traffic.dispatcher import Dispatcher


class Remembered:
    """Stands in for the attempts: what was dropped and sent."""

    def __init__(self, fails: bool = False) -> None:
        self.dropped: list[int] = []
        self._fails = fails

    def choose(self) -> int:
        return 0

    def drop(self, due_ns: int, payload: int) -> None:
        self.dropped.append(due_ns)

    def send(self, connection: Any, number: int, payload: int, due_ns: int) -> None:
        if self._fails:
            raise RuntimeError("a bug")


class NoConnection:
    def close(self) -> None:
        pass


def dispatcher(attempts: Any, failed: list[Exception], cap: int = 10) -> Dispatcher:
    return Dispatcher(attempts, lambda: (1, NoConnection()), cap, failed.append)  # type: ignore[arg-type,return-value]


def test_it_runs_until_all_that_is_owed_has_been_dropped():
    attempts = Remembered()
    one = dispatcher(attempts, [], cap=0)
    now_ns = time.monotonic_ns()
    running = gevent.spawn(one.run, range(now_ns - 100_000, now_ns, 100))
    gevent.sleep(0)
    one.stop()
    assert one.running
    assert len(attempts.dropped) < 1000
    while one.running:
        gevent.sleep(0)
    assert len(attempts.dropped) == 1000
    running.get()


def test_what_a_sender_dies_of_is_heard():
    failed: list[Exception] = []
    one = dispatcher(Remembered(fails=True), failed)
    one.run([time.monotonic_ns()])
    gevent.sleep(0.01)
    assert [str(error) for error in failed] == ["a bug"]
    assert one.in_flight == 0
