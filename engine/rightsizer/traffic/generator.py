"""A step as the generator's process drives it: users at a gate, arrivals, drain, reports."""

from __future__ import annotations

import gc
import os
import ssl
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import gevent
import gevent.event

from rightsizer.hosts.trust import Tls, trust_of
from rightsizer.samples import Outcome
from rightsizer.schedule import CAP_IN_FLIGHT, Step, arrivals
from rightsizer.traffic import wire
from rightsizer.traffic.alarm import USUAL, Alarm
from rightsizer.traffic.attempts import Attempts
from rightsizer.traffic.client import Census, Connection
from rightsizer.traffic.deadlines import Deadlines
from rightsizer.traffic.dispatcher import Dispatcher
from rightsizer.traffic.health import GRID_NS, HealthMeter
from rightsizer.traffic.outgoing import Outgoing, Target, build
from rightsizer.units import NS_PER_S

if TYPE_CHECKING:
    from rightsizer.traffic.grpc_channel import Message

PROGRESS_S = 0.5
TASK_NS = 20_000_000
"""How long a closed user may go on by itself before it can be stopped."""
DRAIN_POLL_S = 0.002
START_USERS_S = 30.0
RECONNECT_S = 0.1
"""A closed user that cannot connect would spin."""
STDOUT = 1


class Crew(Protocol):
    """Whoever starts and stops users."""

    def set_users(self, users: int | None, now: int) -> None:
        """Have so many closed users, or (None) the one of open traffic; there are `now`."""


class Generator:
    """Drives its share of each step; owns the gate that users wait at, and the connections.

    With several workers, each takes every so-manieth arrival, payload and user of the one schedule:
    what the server gets is the same for any number of them.
    """

    crew: Crew
    """Whoever runs the users; it is given once both exist."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.worker: int = order["worker"]
        self.workers: int = order["workers"]
        self.target = Target.of(order["url"], trust_for(order["url"], order["tls"]))
        self.timeout_s: float = order["timeout_s"]
        self.seed: int = order["seed"]
        self.deadlines = Deadlines(self.timeout_s)
        self._connection, requests = client_for(self.target, order)
        self.attempts = Attempts(order, requests, self.deadlines)
        cap = max(1, CAP_IN_FLIGHT // self.workers)
        self.dispatcher = Dispatcher(self.attempts, self.new_connection, cap, self.fail)
        self.gate = gevent.event.Event()
        self.stopping = gevent.event.Event()
        self.abandoned = False
        self.fault: Exception | None = None
        """What ended a user or a sender; the step ends with it."""
        self.users = 0
        self.journal: list[tuple[int, int]] = []
        self.step: Step | None = None
        self.begin_ns = 0
        self.census = Census()
        self.meter = HealthMeter()
        self.grid = Alarm(USUAL)
        self._grid_due_ns = 0
        self.opened = 0
        self.began = gevent.event.AsyncResult()

    # -- users ---------------------------------------------------------------------------------

    def user_changed(self, by: int) -> None:
        """A user came or went."""
        self.users += by
        self.journal.append((time.monotonic_ns(), self.users))

    def new_connection(self) -> tuple[int, Connection]:
        """A numbered connection, not yet open."""
        number = self.opened * self.workers + self.worker + 1
        self.opened += 1
        return number, self._connection(self.target, self.deadlines, self.census)

    def invoke(self, connection: Connection, user: int) -> None:
        """A closed user's next requests, connections opened outside the clock.

        Several at a time: what Locust does between two tasks costs as much as a small request.
        """
        until_ns = time.monotonic_ns() + TASK_NS
        while self.gate.is_set():
            try:  # noqa: SIM105 - suppress() costs as much as the rest of this loop
                connection.open()
            except OSError:
                pass  # sending will meet it again, and record it
            if not self.gate.is_set():
                return
            attempt = self.attempts.send(connection, user, self.attempts.choose())
            if attempt.outcome is Outcome.CONNECT:
                gevent.sleep(RECONNECT_S)
            if attempt.end_ns >= until_ns:
                return

    def fail(self, error: Exception) -> None:
        """End the step: without one of its users it would measure something else."""
        self.fault = self.fault or error
        self.stopping.set()

    def dispatch(self) -> None:
        """Send the open step's arrivals at their absolute instants."""
        step = self.step
        assert step is not None
        if self.stopping.is_set():
            return
        mine = islice(arrivals(step, self.seed), self.worker, None, self.workers)
        self.dispatcher.run(self.begin_ns + int(due_s * NS_PER_S) for due_s in mine)
        self.stopping.wait()

    # -- steps ---------------------------------------------------------------------------------

    def drive(self, step: Step) -> None:
        """Run one step: users in place, gate open, levels changed on time, gate shut, drained."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self.step = step
        # A worker without a user has no turn.
        self.attempts.begin_step(step.index, min(self.workers, step.users or self.workers))
        self.journal = []
        self.stopping.clear()
        self.census.reopened = 0
        self._set_users(self._share(step.levels[0].users) if step.mode == "closed" else None)
        self._await_begin()
        self.meter.begin()
        self._grid_due_ns = time.monotonic_ns() + GRID_NS
        cpu_s = time.process_time()
        self.journal.insert(0, (self.begin_ns, self.users))
        self.gate.set()
        watching = [gevent.spawn(self._report_progress), gevent.spawn(self._watch_lag)]
        for level in step.levels[1:]:
            if self._wait_until(level.at_s):
                break
            self._set_users(self._share(level.users), wait=False)
        complete = not self._wait_until(step.duration_s)
        self.gate.clear()
        self.stopping.set()
        self.dispatcher.stop()
        end_ns = time.monotonic_ns()
        cpu_ratio = (time.process_time() - cpu_s) * NS_PER_S / max(1, end_ns - self.begin_ns)
        # A stall that lasted to the end has not let the grid wake yet.
        self.meter.woke(self._grid_due_ns, end_ns)
        health = self.meter.end(self.census.connected, self.census.reopened)
        self._drain()
        drained_ns = time.monotonic_ns()
        gevent.killall(watching)
        gc.enable()
        if self.fault is not None:
            raise self.fault
        self._report_end(
            end_ns=end_ns,
            drained_ns=drained_ns,
            complete=complete,
            generator_cpu_ratio=cpu_ratio,
            health=asdict(health),
        )

    def _wait_until(self, at_s: float) -> bool:
        """Sleep until `at_s` into the step; True when told to stop before."""
        left_s = (self.begin_ns - time.monotonic_ns()) / NS_PER_S + at_s
        return bool(self.stopping.wait(max(0.0, left_s)))

    def _share(self, users: int) -> int:
        """This worker's of so many users: they differ by one at most."""
        return (users + self.workers - 1 - self.worker) // self.workers

    def _await_begin(self) -> None:
        """Users are in place; the engine says when the step begins, the same for all workers."""
        report("armed")
        self.begin_ns = self.began.get()
        self.began = gevent.event.AsyncResult()
        gevent.sleep(max(0.0, (self.begin_ns - time.monotonic_ns()) / NS_PER_S))

    def _set_users(self, users: int | None, wait: bool = True) -> None:
        """Have so many closed users, or (None) the one that dispatches arrivals."""
        wanted = 1 if users is None else users
        self.crew.set_users(users, self.users)
        if not wait:
            return
        deadline_s = time.monotonic() + START_USERS_S
        while self.users != wanted and time.monotonic() < deadline_s:
            gevent.sleep(0.005)
        if self.users != wanted:
            raise RuntimeError(f"{self.users} of {wanted} users came up")

    def _drain(self) -> None:
        """Wait for what is in flight: each has its own deadline, so this has one too."""
        deadline_s = time.monotonic() + self.timeout_s + 5
        in_flight = self.attempts.in_flight
        gevent.sleep(DRAIN_POLL_S)  # arrivals on their way take off
        while self.dispatcher.running:  # those owed are dropped
            gevent.sleep(DRAIN_POLL_S)
        while in_flight and not self.abandoned and time.monotonic() < deadline_s:
            gevent.sleep(DRAIN_POLL_S)
        self.attempts.write_off()

    def _watch_lag(self) -> None:
        """Sleep to an absolute grid: what comes late is what requests meet, too."""
        self._grid_due_ns = time.monotonic_ns() + GRID_NS
        while True:
            self.grid.wait_until(self._grid_due_ns)
            self._grid_due_ns = self.meter.woke(self._grid_due_ns, time.monotonic_ns())

    # -- reports -------------------------------------------------------------------------------

    def _report_progress(self) -> None:
        while True:
            gevent.sleep(PROGRESS_S)
            now_ns = time.monotonic_ns()
            rate, p95_ms = self.attempts.recorder.live(now_ns, self.begin_ns)
            closed = self.step is not None and self.step.mode == "closed"
            report(
                "progress",
                elapsed_s=(now_ns - self.begin_ns) / NS_PER_S,
                users=self.users if closed else self.dispatcher.in_flight,
                attempted=self.attempts.recorder.attempted,
                succeeded=self.attempts.recorder.succeeded,
                errors=self.attempts.recorder.errors,
                per_s=rate,
                p95_ms=p95_ms,
                committed=self.attempts.recorder.in_file(),
            )

    def _report_end(self, **values: Any) -> None:
        checked, refused = self.attempts.look_at_content()
        report(
            "step-end",
            begin_ns=self.begin_ns,
            committed=self.attempts.recorder.commit(),
            journal=self.journal,
            content_checked=checked,
            content_refused=refused,
            **values,
        )


def client_for(
    target: Target, order: dict[str, Any]
) -> tuple[type[Connection], Sequence[Outgoing | Message]]:
    """What speaks the order's protocol, and each body's request in it."""
    bodies = [(Path(body["path"]).read_bytes(), body["content_type"]) for body in order["bodies"]]
    path, headers = order["path"], order["headers"]
    if order["grpc"]:
        from rightsizer.traffic.grpc_channel import Message  # h2 is an extra's
        from rightsizer.traffic.grpc_client import GrpcConnection

        if target.trust is not None:
            target.trust.set_alpn_protocols(["h2"])
        return GrpcConnection, [Message(target, path, headers, content) for content, _ in bodies]
    method = order["method"]
    return Connection, [
        build(target, method, path, headers, content, kind) for content, kind in bodies
    ]


def trust_for(url: str, tls: dict[str, Any] | None) -> ssl.SSLContext | None:
    """Whom to trust at the URL; None without TLS."""
    if not url.startswith("https:"):
        return None
    return trust_of(None if tls is None else Tls(**tls))


def report(kind: str, **values: Any) -> None:
    """One line to the engine."""
    os.write(STDOUT, wire.line(kind, **values))
