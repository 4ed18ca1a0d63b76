"""Greenlets that wait: for a deadline, for an instant. Order is asserted, no durations."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import gevent
import pytest
from gevent import getcurrent
from rightsizer.traffic.alarm import Alarm
from rightsizer.traffic.deadlines import Attempt, Deadlines, Expired

MS = 1_000_000


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    opened = Alarm()
    yield opened
    opened.close()


def test_requests_run_out_in_the_order_in_which_they_began_and_those_that_end_do_not():
    deadlines, ended = Deadlines(0.05), []

    def request(name: str, wait_s: float) -> None:
        begin_ns = time.monotonic_ns()
        deadlines.in_flight[getcurrent()] = Attempt(0, begin_ns, 0, 0)
        try:
            gevent.sleep(wait_s)
            ended.append((name, "answered"))
        except Expired:
            assert time.monotonic_ns() >= begin_ns + 50 * MS
            ended.append((name, "expired"))
        finally:
            deadlines.in_flight.pop(getcurrent(), None)

    gevent.joinall([gevent.spawn(request, "a", 30.0), gevent.spawn(request, "b", 0.0)])
    gevent.joinall([gevent.spawn(request, "c", 30.0), gevent.spawn(request, "d", 30.0)])
    assert ended == [("b", "answered"), ("a", "expired"), ("c", "expired"), ("d", "expired")]


def test_a_greenlet_whose_request_has_ended_is_left_in_peace():
    deadlines = Deadlines(0.02)

    def one_after_the_other() -> int:
        for _ in range(5):
            deadlines.in_flight[getcurrent()] = Attempt(0, time.monotonic_ns(), 0, 0)
            gevent.sleep(0.005)
            del deadlines.in_flight[getcurrent()]
        gevent.sleep(0.05)
        return 5

    assert gevent.spawn(one_after_the_other).get(timeout=5) == 5


def test_an_alarm_never_rings_early(alarm: Alarm):
    begin_ns = time.monotonic_ns()
    for number in range(50):
        due_ns = begin_ns + number * MS // 2
        alarm.wait_until(due_ns)
        assert time.monotonic_ns() >= due_ns


def test_an_alarm_that_is_woken_returns_at_once_and_serves_again(alarm: Alarm):
    far_ns = time.monotonic_ns() + 3600 * 1000 * MS
    for _ in range(3):
        waiting = gevent.spawn(alarm.wait_until, far_ns)
        gevent.sleep(0)
        alarm.wake()
        waiting.get(timeout=5)


def test_an_alarm_that_rings_for_nobody_rings_once(alarm: Alarm, monkeypatch: pytest.MonkeyPatch):
    reads = []
    read = os.read
    monkeypatch.setattr("os.read", lambda *args: reads.append(args) or read(*args))
    alarm.wake()
    gevent.sleep(0.05)
    assert len(reads) == 1
