"""A host without processes: starts at once, or fails as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rightsizer.errors import Reason, TrialFailed
from rightsizer.hosts.base import Endpoint, Launch, Usage
from rightsizer.units import NS_PER_S


@dataclass
class FakeOwner:
    """Remembers what it was asked to start and end."""

    spawned: list[str] = field(default_factory=list)
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
        return len(self.spawned)

    def end(self, name: str, grace_s: float) -> None:
        """Remember it."""
        self.ended.append(name)

    def exited(self, name: str) -> str | None:
        """Only what was ended has exited."""
        return "exit code 0" if name in self.ended else None


@dataclass
class FakeServer:
    """See `hosts.base.Server`. Uses half of one CPU and 1 GiB, by the virtual clock."""

    endpoint: Endpoint
    owner: FakeOwner
    crashes_at_check: int | None = None
    ready_s: float = 0.0
    checks: int = 0

    def check(self) -> None:
        """Crash at the check it was told to."""
        self.checks += 1
        if self.crashes_at_check is not None and self.checks >= self.crashes_at_check:
            raise TrialFailed(Reason.CRASHED, "it was told to crash", self.log_tail())

    def usage(self) -> Sequence[Usage]:
        """A reading a second, for an hour of virtual time."""
        return [Usage(s * NS_PER_S, 0.5 * s, 1 << 30) for s in range(3600)]

    def log_tail(self, lines: int = 20) -> str:
        """One line."""
        return "fake server"


class FakeHost:
    """See `hosts.base.Host`. `outcome` may name a failure for a launch; `crashes` a check number.

    The endpoint's URL is `http://fake/<trial id>`, so that fake traffic can tell candidates apart.
    """

    def __init__(
        self,
        name: str = "fake",
        outcome: Callable[[Launch], TrialFailed | None] = lambda launch: None,
        crashes: Callable[[Launch], int | None] = lambda launch: None,
    ) -> None:
        self._name, self._outcome, self._crashes = name, outcome, crashes
        self.running: list[FakeServer] = []

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @contextmanager
    def start(
        self, launch: Launch, tick: Callable[[], None] = lambda: None
    ) -> Iterator[FakeServer]:
        """Start at once, or fail as told."""
        tick()
        failure = self._outcome(launch)
        if failure is not None:
            raise failure
        owner = FakeOwner()
        server = FakeServer(
            Endpoint(f"http://fake/{launch.trial_id}"), owner, self._crashes(launch)
        )
        self.running.append(server)
        try:
            yield server
        finally:
            self.running.remove(server)
            owner.end("server", 0.0)
