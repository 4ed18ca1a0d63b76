"""Open traffic: each arrival at its absolute instant, whatever became of the ones before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import gevent
from gevent.hub import spawn_raw
from greenlet import GreenletExit, getcurrent, greenlet

from rightsizer.traffic.alarm import Alarm
from rightsizer.traffic.attempts import Attempts
from rightsizer.traffic.client import Connection

TURN = 8
"""A dispatcher that is behind hands over so many arrivals before it lets them take off."""


class Dispatcher:
    """Hands arrivals to senders; each sender is a greenlet with a connection of its own."""

    def __init__(
        self,
        attempts: Attempts,
        new_connection: Callable[[], tuple[int, Connection]],
        cap: int,
        fail: Callable[[Exception], None],
    ) -> None:
        """`fail` hears of what no sender may die of unheard."""
        self._attempts = attempts
        self._new_connection = new_connection
        self._cap = cap
        self._fail = fail
        self.running = False
        """Whether arrivals are dispatched, or those owed at the end are being dropped."""
        self._hub = gevent.get_hub()
        self._alarm = Alarm()
        self._senders: set[greenlet] = set()
        self._idle: list[greenlet] = []
        self._stopped = True
        self._stopped_ns = 0

    @property
    def in_flight(self) -> int:
        """Arrivals handed over and not answered yet."""
        return len(self._senders) - len(self._idle)

    def run(self, instants_ns: Iterable[int]) -> None:
        """Dispatch until the schedule ends or `stop`; what is overdue then is owed as dropped."""
        self._stopped = False
        self.running = True
        try:
            self._run(instants_ns)
        finally:
            self.running = False

    def _run(self, instants_ns: Iterable[int]) -> None:
        overdue = 0
        for due_ns in instants_ns:
            overdue += 1
            while not self._stopped and due_ns > time.monotonic_ns():
                overdue = 0
                self._alarm.wait_until(due_ns)
            if overdue >= TURN:
                overdue = 0
                gevent.sleep(0)
            payload = self._attempts.choose()
            if self._stopped:
                if due_ns > self._stopped_ns:
                    return
                self._attempts.drop(due_ns, payload)
            elif self.in_flight >= self._cap:
                self._attempts.drop(due_ns, payload)
            else:
                self._hand_over(due_ns, payload)

    def stop(self) -> None:
        """Let no further arrival go."""
        self._stopped_ns = time.monotonic_ns()
        self._stopped = True
        self._alarm.wake()

    def close(self) -> None:
        """Close the connections. Nothing may be in flight."""
        for sender in list(self._senders):
            self._hub.loop.run_callback(sender.throw, GreenletExit)
        self._idle.clear()

    def _hand_over(self, due_ns: int, payload: int) -> None:
        # Last in, first out: as few connections as the load needs.
        if self._idle:
            self._hub.loop.run_callback(self._idle.pop().switch, (due_ns, payload))
        else:
            self._senders.add(spawn_raw(self._send_all, due_ns, payload))

    def _send_all(self, due_ns: int, payload: int) -> None:
        """A sender's life: one arrival after the other."""
        number, connection = self._new_connection()
        me = getcurrent()
        try:
            while True:
                self._attempts.send(connection, number, payload, due_ns)
                self._idle.append(me)
                due_ns, payload = self._hub.switch()
        except Exception as error:
            self._fail(error)
        finally:
            connection.close()
            self._senders.discard(me)
