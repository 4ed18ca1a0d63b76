"""The generator process: Locust runs the users, commands come by stdin, reports go by stdout.

    python -m rightsizer.traffic.locustfile CONFIG.json

Commands and reports are JSON lines (`wire`). Locust starts, stops and counts users; users wait at
a gate between steps, so that a step ends with nothing in flight and the next begins clean.
"""

from __future__ import annotations

# Locust patches the interpreter when it is imported, so it comes first.
import locust  # isort: skip
import contextlib
import json
import logging
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
from gevent.os import make_nonblocking, nb_read
from locust.env import Environment

from rightsizer.schedule import Step
from rightsizer.traffic import wire
from rightsizer.traffic.generator import Generator, report

GATE_POLL_S = 0.05
STDIN = 0


class GeneratorEnvironment(Environment):
    """Locust's environment, through which its users find the generator."""

    generator: Generator


class LocustCrew:
    """Users, as Locust's local runner starts and stops them."""

    def __init__(self, generator: Generator, url: str) -> None:
        environment = GeneratorEnvironment(
            user_classes=[ClosedUser, ArrivalUser], host=url, catch_exceptions=False
        )
        # Users in the middle of a request are waited for: Locust drops their samples otherwise.
        environment.stop_timeout = generator.timeout_s + 5
        environment.generator = generator
        self.runner = environment.create_local_runner()
        self._kind: type[locust.User] | None = None

    def set_users(self, users: int | None, now: int) -> None:
        """See `generator.Crew`."""
        kind = ArrivalUser if users is None else ClosedUser
        wanted = 1 if users is None else users
        if kind is not self._kind:
            # Locust counts users, not their kinds: it would leave one of the other mode at work.
            self.runner.stop()
            self._kind = kind
        if wanted:
            # Locust ramps up and down in bursts of spawn_rate a second: this makes it one burst.
            self.runner.start(wanted, spawn_rate=max(wanted, now), user_classes=[kind])
        elif now:
            gevent.spawn(self.runner.stop)  # it waits for their requests


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
            try:
                self.generator.invoke(self.connection, self.number)
            except Exception as error:
                self.generator.fail(error)


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
            try:
                self.generator.dispatch()
            except Exception as error:
                self.generator.fail(error)
            # The step's driver shuts the gate after this returns, not in the same instant.
            while self.generator.gate.is_set():
                gevent.sleep(GATE_POLL_S)


def commands(descriptor: int) -> Iterator[dict[str, Any]]:
    """Commands as they come; ends when the engine closes its end."""
    make_nonblocking(descriptor)
    buffer = b""
    while chunk := nb_read(descriptor, 65536):
        *lines, buffer = (buffer + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines)


def allow_connections() -> None:
    """As many open files as this process may have: the usual 1,024 are no limit of a server."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(config_path: str) -> int:
    """Serve the engine until it says quit or goes away."""
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    allow_connections()
    order = json.loads(Path(config_path).read_text("utf-8"))
    generator = Generator(order)
    crew = generator.crew = LocustCrew(generator, order["url"])
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
            case "go":
                generator.began.set(command["begin_ns"])
            case "stop-step":
                generator.stopping.set()
            case "abandon":
                generator.abandoned = True
                generator.stopping.set()
            case "quit":
                break
    if not failed:
        generator.attempts.recorder.close()
    crew.runner.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
