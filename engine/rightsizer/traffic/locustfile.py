"""The generator process: Locust runs the users, commands come by stdin, reports go by stdout.

    python -m rightsizer.traffic.locustfile CONFIG.json

Commands and reports are JSON lines (`wire`). Locust starts, stops and counts users; users wait at
a gate between steps, so that a step ends with nothing in flight and the next begins clean.
"""

from __future__ import annotations

# Locust patches the interpreter when it is imported, so it comes first.
import locust  # isort: skip
import contextlib
import gc
import json
import logging
import os
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
import gevent.event
from gevent.os import make_nonblocking, nb_read
from locust.env import Environment

from rightsizer.hosts.trust import Tls, trust_of
from rightsizer.samples import Outcome
from rightsizer.schedule import CAP_IN_FLIGHT, Step, arrivals
from rightsizer.traffic import wire
from rightsizer.traffic.attempts import Attempts
from rightsizer.traffic.client import Census, Connection, Reply
from rightsizer.traffic.deadlines import Deadlines
from rightsizer.traffic.dispatcher import Dispatcher
from rightsizer.traffic.health import GRID_NS, HealthMeter
from rightsizer.traffic.outgoing import Target, build
from rightsizer.units import NS_PER_S

PROGRESS_S = 0.5
GATE_POLL_S = 0.05
TASK_NS = 20_000_000
"""How long a closed user may go on by itself before Locust can stop it."""
DRAIN_POLL_S = 0.002
START_USERS_S = 30.0
RECONNECT_S = 0.1
"""A closed user that cannot connect would spin."""

STDIN, STDOUT = 0, 1


class GeneratorEnvironment(Environment):
    """Locust's environment, through which its users find the generator."""

    generator: Generator


class Generator:
    """Drives steps; owns the users, the gate they wait at, and open traffic's connections."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.target = Target.of(order["url"], trust_for(order["url"], order["tls"]))
        self.timeout_s: float = order["timeout_s"]
        self.seed: int = order["seed"]
        requests = [
            build(
                self.target,
                order["method"],
                order["path"],
                order["headers"],
                Path(body["path"]).read_bytes(),
                body["content_type"],
            )
            for body in order["bodies"]
        ]
        self.attempts = Attempts(order, requests)
        self.deadlines = Deadlines(self.timeout_s)
        self.dispatcher = Dispatcher(self.attempts, self.new_connection, CAP_IN_FLIGHT)
        self.gate = gevent.event.Event()
        self.stopping = gevent.event.Event()
        self.abandoned = False
        self.users = 0
        self.kind: type[locust.User] | None = None
        self.journal: list[tuple[int, int]] = []
        self.step: Step | None = None
        self.begin_ns = 0
        self.census = Census()
        self.meter = HealthMeter()
        self.opened = 0
        environment = GeneratorEnvironment(
            user_classes=[ClosedUser, ArrivalUser], host=order["url"], catch_exceptions=False
        )
        # Users in the middle of a request are waited for: Locust drops their samples otherwise.
        environment.stop_timeout = self.timeout_s + 5
        environment.generator = self
        self.runner = environment.create_local_runner()

    # -- users ---------------------------------------------------------------------------------

    def user_changed(self, by: int) -> None:
        """A user came or went."""
        self.users += by
        self.journal.append((time.monotonic_ns(), self.users))

    def new_connection(self) -> tuple[int, Connection]:
        """A numbered connection, not yet open."""
        self.opened += 1
        return self.opened, Connection(self.target, self.deadlines, self.census)

    def invoke(self, connection: Connection, user: int) -> None:
        """A closed user's next requests, connections opened outside the clock.

        Several at a time: what Locust does between two tasks costs as much as a small request.
        """
        until_ns = time.monotonic_ns() + TASK_NS
        while self.gate.is_set():
            with contextlib.suppress(OSError):  # sending will meet it again, and record it
                connection.open()
            if not self.gate.is_set():
                return
            reply = self.attempts.send(connection, user, self.attempts.choose())
            if reply.outcome is Outcome.CONNECT:
                gevent.sleep(RECONNECT_S)
            if reply.end_ns >= until_ns:
                return

    def dispatch(self) -> None:
        """Send the open step's arrivals at their absolute instants."""
        step = self.step
        assert step is not None
        self.dispatcher.run(
            self.begin_ns + int(due_s * NS_PER_S) for due_s in arrivals(step, self.seed)
        )
        self.stopping.wait()

    # -- steps ---------------------------------------------------------------------------------

    def drive(self, step: Step) -> None:
        """Run one step: users in place, gate open, levels changed on time, gate shut, drained."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self.step = step
        self.attempts.begin_step(step.index)
        self.journal = []
        self.stopping.clear()
        self.census.reopened = 0
        self._set_users(step.levels[0].users if step.mode == "closed" else None)
        self.meter.begin()
        cpu_s = time.process_time()
        self.begin_ns = time.monotonic_ns()
        self.journal.insert(0, (self.begin_ns, self.users))
        self.gate.set()
        watching = [gevent.spawn(self._report_progress), gevent.spawn(self._watch_lag)]
        for level in step.levels[1:]:
            if self._wait_until(level.at_s):
                break
            self._set_users(level.users, wait=False)
        complete = not self._wait_until(step.duration_s)
        self.gate.clear()
        self.stopping.set()
        self.dispatcher.stop()
        end_ns = time.monotonic_ns()
        cpu_ratio = (time.process_time() - cpu_s) * NS_PER_S / max(1, end_ns - self.begin_ns)
        health = self.meter.end(self.census.connected, self.census.reopened)
        self._drain()
        drained_ns = time.monotonic_ns()
        gevent.killall(watching)
        gc.enable()
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

    def _set_users(self, users: int | None, wait: bool = True) -> None:
        """Have Locust run so many closed users, or (None) the one that dispatches arrivals."""
        wanted = 1 if users is None else users
        kind = ArrivalUser if users is None else ClosedUser
        if kind is not self.kind:
            # Locust counts users, not their kinds: it would leave one of the other mode at work.
            self.runner.stop()
            self.kind = kind
        # Locust ramps up and down in bursts of spawn_rate a second: this makes it one burst.
        rate = max(1, wanted, self.users)
        self.runner.start(wanted, spawn_rate=rate, user_classes=[kind])
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
        gevent.sleep(DRAIN_POLL_S)  # arrivals on their way take off, those owed are dropped
        while in_flight and not self.abandoned and time.monotonic() < deadline_s:
            gevent.sleep(DRAIN_POLL_S)
        self.attempts.write_off(Reply(Outcome.UNFINISHED, end_ns=time.monotonic_ns()))

    def _watch_lag(self) -> None:
        """Sleep to an absolute grid: what comes late is what requests meet, too."""
        due_ns = time.monotonic_ns() + GRID_NS
        while True:
            gevent.sleep(max(0.0, (due_ns - time.monotonic_ns()) / NS_PER_S))
            due_ns = self.meter.woke(due_ns, time.monotonic_ns())

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


class ClosedUser(locust.User):
    """Sends one request after the other while the gate is open."""

    abstract = False

    def on_start(self) -> None:
        """Connect before the first request's clock starts."""
        self.generator: Generator = self.environment.generator
        self.number, self.connection = self.generator.new_connection()
        with contextlib.suppress(OSError):  # the first request will meet it again
            self.connection.open()
        self.generator.user_changed(+1)

    def on_stop(self) -> None:
        """Give the connection back."""
        self.connection.close()
        self.generator.user_changed(-1)

    @locust.task
    def invoke(self) -> None:
        """One request, or a short wait at the gate (short, so that Locust can stop the user)."""
        if self.generator.gate.is_set() or self.generator.gate.wait(GATE_POLL_S):
            self.generator.invoke(self.connection, self.number)


class ArrivalUser(locust.User):
    """The one user of open traffic: it dispatches arrivals instead of waiting for answers."""

    abstract = False
    fixed_count = 1

    def on_start(self) -> None:
        """Count as the one user."""
        self.generator: Generator = self.environment.generator
        self.generator.user_changed(+1)

    def on_stop(self) -> None:
        """Close what open traffic has opened."""
        self.generator.dispatcher.close()
        self.generator.user_changed(-1)

    @locust.task
    def run_schedule(self) -> None:
        """The whole schedule of a step."""
        if self.generator.gate.wait(GATE_POLL_S):
            self.generator.dispatch()
            # The step's driver shuts the gate after this returns, not in the same instant.
            while self.generator.gate.is_set():
                gevent.sleep(GATE_POLL_S)


def trust_for(url: str, tls: dict[str, Any] | None) -> ssl.SSLContext | None:
    """Whom to trust at the URL; None without TLS."""
    if not url.startswith("https:"):
        return None
    return trust_of(None if tls is None else Tls(**tls))


def report(kind: str, **values: Any) -> None:
    """One line to the engine."""
    os.write(STDOUT, wire.line(kind, **values))


def commands(descriptor: int) -> Iterator[dict[str, Any]]:
    """Commands as they come; ends when the engine closes its end."""
    make_nonblocking(descriptor)
    buffer = b""
    while chunk := nb_read(descriptor, 65536):
        *lines, buffer = (buffer + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines)


def main(config_path: str) -> int:
    """Serve the engine until it says quit or goes away."""
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    generator = Generator(json.loads(Path(config_path).read_text("utf-8")))
    failed: list[str] = []

    def drive(step: Step) -> None:
        try:
            generator.drive(step)
        except Exception as error:
            # Whatever it is, the engine must hear of it: it is waiting for the step's end.
            failed.append(str(error))
            report("failed", why=f"{type(error).__name__}: {error}")

    report("ready")
    for command in commands(STDIN):
        match command["kind"]:
            case "step":
                gevent.spawn(drive, wire.step_of(command["step"]))
            case "stop-step":
                generator.stopping.set()
            case "abandon":
                generator.abandoned = True
                generator.stopping.set()
            case "quit":
                break
    if not failed:
        generator.attempts.recorder.close()
    generator.runner.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
