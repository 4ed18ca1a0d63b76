"""The seam to the machines that servers run on.

    with host.start(launch) as server:
        server.endpoint; server.check(); server.usage(); server.log_tail()

`start` returns when the server is ready and raises `TrialFailed` when the candidate cannot start.
Leaving the context ends the server, the generator and everything either of them started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rightsizer.containers import Container
from rightsizer.hosts.records import Usage
from rightsizer.hosts.trust import Tls
from rightsizer.machines import Placement


@dataclass(frozen=True)
class Launch:
    """All that a host must know to start one trial's server."""

    trial_id: str
    command: tuple[str, ...] | None
    """With `{python}`, `{port}`, `{model_dir}` still in it. None: `url` already runs."""
    url: str | None
    port: int | None
    """The port a command that cannot be told one listens on."""
    environment: Mapping[str, str] = field(repr=False)
    """The server's own variables, secrets resolved; PATH, HOME, LANG and TMPDIR are added."""
    secrets: frozenset[str] = field(repr=False)
    """Values that must not reach a log."""
    working_dir: Path
    model_dir: Path | None
    ready_path: str | None
    ready_timeout_s: float
    placement: Placement
    trial_dir: Path
    """Where the server's log goes (`server.log`)."""
    before: tuple[str, ...] | None = None
    after: tuple[str, ...] | None = None
    """Commands run around the trial of a server at a URL."""
    tls: Tls | None = None
    """For an https URL: what to trust beside, or instead of, the system's certificates."""
    container: Container | None = None
    """What runs on a Docker host, instead of `command`."""
    job_id: str = ""
    lifetime_s: float = 7 * 86400.0
    """After so long nobody can need what the trial left on a host."""


@dataclass(frozen=True)
class Endpoint:
    """A server that is ready. `url` is scheme, host and port, and a base path where given."""

    url: str
    tls: Tls | None = None


class Owner(Protocol):
    """Starts processes that cannot outlive the trial, nor the engine.

    Every call may raise TrialInterrupted (`host-lost`) when what holds the processes is gone.
    """

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        working_dir: Path,
        cpus: Sequence[int],
        log: Path,
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> int:
        """Start a process held to `cpus`; returns its pid.

        Its output goes to `log`; with file descriptors for stdin and stdout, only stderr does.
        """

    def end(self, name: str, grace_s: float) -> None:
        """End a process and all it started: SIGTERM, and SIGKILL after `grace_s`."""

    def exited(self, name: str) -> str | None:
        """How the process ended (`exit code 1`, `signal SIGKILL`), None while it runs."""


class Server(Protocol):
    """A running server."""

    @property
    def endpoint(self) -> Endpoint: ...

    @property
    def owner(self) -> Owner: ...

    @property
    def ready_s(self) -> float:
        """Seconds from start to ready."""

    def check(self) -> None:
        """Raise TrialFailed if the server has crashed or outgrown its memory."""

    def usage(self) -> Sequence[Usage]:
        """All usage readings so far, oldest first."""

    def log_tail(self, lines: int = 20) -> str:
        """The last lines the server printed."""


class Host(Protocol):
    """A machine that can start servers."""

    @property
    def name(self) -> str: ...

    def answers(self) -> bool:
        """Whether it can take a trial now; asked where one on it was interrupted."""

    def start(
        self, launch: Launch, tick: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[Server]:
        """Start a server and wait until it is ready.

        `tick` is called several times a second while waiting; what it raises ends the start.

        Raises:
            TrialFailed: it exits at once, is never ready, its port is taken.
            EnvironmentFault: this machine's fault.
        """
