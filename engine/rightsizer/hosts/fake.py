"""A host without processes: starts at once, or fails as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from rightsizer.errors import Reason, TrialEnded, TrialFailed
from rightsizer.hosts.base import Endpoint, Launch
from rightsizer.hosts.records import Usage
from rightsizer.units import BYTES_PER_GIB, NS_PER_S

BUSY_CPUS = 0.5
MEMORY_BYTES = BYTES_PER_GIB
USAGE_S = 3600


@dataclass
class FakeOwner:
    """Remembers what it was asked to start and end."""

    spawned: list[str] = field(default_factory=list)
    """Names, in order; `argv` has what they were."""
    argv: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)

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
        """Remember it."""
        self.spawned.append(name)
        self.argv[name] = tuple(argv)
        return len(self.spawned)

    def end(self, name: str, grace_s: float) -> None:
        """Remember it."""
        self.ended.append(name)

    def exited(self, name: str) -> str | None:
        """Only what was ended has exited."""
        return "exit code 0" if name in self.ended else None


@dataclass
class FakeServer:
    """See `hosts.base.Server`. What it uses is the same at every second of the virtual clock."""

    endpoint: Endpoint
    owner: FakeOwner
    crashes_at_check: int | None = None
    busy_cpus: float = BUSY_CPUS
    memory_bytes: int = MEMORY_BYTES
    usage_s: int = USAGE_S
    ready_s: float = 0.0
    checks: int = 0

    def check(self) -> None:
        """Crash at the check it was told to, and at every later one."""
        self.checks += 1
        if self.crashes_at_check is not None and self.checks >= self.crashes_at_check:
            raise TrialFailed(Reason.CRASHED, "it was told to crash", self.log_tail())

    def usage(self) -> Sequence[Usage]:
        """A reading a second of virtual time."""
        return _readings(self.busy_cpus, self.memory_bytes, self.usage_s)

    def log_tail(self, lines: int = 20) -> str:
        """One line."""
        return "fake server"


@cache
def _readings(busy_cpus: float, memory_bytes: int, usage_s: int) -> tuple[Usage, ...]:
    return tuple(
        Usage(second * NS_PER_S, busy_cpus * second, memory_bytes) for second in range(usage_s)
    )


class FakeHost:
    """See `hosts.base.Host`. Deterministic; needs no process and no time.

    The endpoint's URL is `http://fake/<trial id>`; fake traffic tells candidates apart by
    `environment_at`.
    """

    def __init__(
        self,
        name: str = "fake",
        outcome: Callable[[Launch], TrialEnded | None] = lambda launch: None,
        crashes: Callable[[Launch], int | None] = lambda launch: None,
        busy_cpus: float = BUSY_CPUS,
        memory_bytes: int = MEMORY_BYTES,
        usage_s: int = USAGE_S,
    ) -> None:
        """Say how its servers behave.

        Args:
            name: as in a hosts file.
            outcome: how a launch fails, None to start it.
            crashes: the number of the check, from 1, at which a launch's server crashes.
            busy_cpus: CPUs that a server keeps busy.
            memory_bytes: what a server holds.
            usage_s: how long a server is read, s.
        """
        self._name, self._outcome, self._crashes = name, outcome, crashes
        self._busy_cpus, self._memory_bytes, self._usage_s = busy_cpus, memory_bytes, usage_s
        self.is_away = False
        self.running: list[FakeServer] = []
        """Servers in use now."""
        self._environments: dict[str, Mapping[str, str]] = {}

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    def answers(self) -> bool:
        """Unless it was told to be away."""
        return not self.is_away

    def environment_at(self, endpoint: Endpoint) -> Mapping[str, str]:
        """Of the launch whose server was started there."""
        return self._environments[endpoint.url]

    @contextmanager
    def start(
        self, launch: Launch, tick: Callable[[], None] = lambda: None
    ) -> Iterator[FakeServer]:
        """Start at once, or fail as told."""
        tick()
        failure = self._outcome(launch)
        if failure is not None:
            raise failure
        endpoint = Endpoint(f"http://fake/{launch.trial_id}")
        self._environments[endpoint.url] = launch.environment
        server = FakeServer(
            endpoint,
            FakeOwner(),
            self._crashes(launch),
            self._busy_cpus,
            self._memory_bytes,
            self._usage_s,
        )
        self.running.append(server)
        try:
            yield server
        finally:
            self.running.remove(server)
            server.owner.end("server", 0.0)
