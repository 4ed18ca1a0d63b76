"""The embedded host: servers as processes of this machine, under a guardian, on a CPU set."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil

from rightsizer.errors import Reason, TrialFailed
from rightsizer.hosts.base import Endpoint, Launch, Usage
from rightsizer.hosts.control import accepts, is_ready
from rightsizer.hosts.guardian import SERVER
from rightsizer.hosts.logs import tail
from rightsizer.hosts.owner import GuardedOwner, SpawnRefused
from rightsizer.hosts.tree import descendants
from rightsizer.inventory import HostSpec
from rightsizer.placeholders import fill, names_in

PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")
STOP_GRACE_S = 5.0
POLL_S = 0.05
POLL_MAX_S = 0.25
LOOPBACK = "127.0.0.1"


class ProcessHost:
    """Starts a server's command on this machine, or goes to a server that already runs."""

    def __init__(self, spec: HostSpec) -> None:
        self._spec = spec

    @property
    def name(self) -> str:
        """The host's name in the hosts file."""
        return self._spec.name

    @contextmanager
    def start(
        self, launch: Launch, tick: Callable[[], None] = lambda: None
    ) -> Iterator[ProcessServer]:
        """See `hosts.base.Host`."""
        launch.trial_dir.mkdir(parents=True, exist_ok=True)
        environment = _environment(launch.environment)
        with GuardedOwner(launch.placement.generator_cpus, launch.secrets) as owner:
            if launch.url is not None:
                with _hooks(owner, launch, environment, tick):
                    server = ProcessServer(owner, launch, launch.url.rstrip("/"), None)
                    server.wait_ready(tick)
                    yield server
                return
            port = _free_port(launch)
            pid = _spawn(owner, launch, environment, port)
            server = ProcessServer(owner, launch, f"http://{LOOPBACK}:{port}", pid)
            try:
                server.wait_ready(tick)
                server.require_own_port(port)
                yield server
            finally:
                owner.end(SERVER, STOP_GRACE_S)


class ProcessServer:
    """A running server; see `hosts.base.Server`."""

    def __init__(self, owner: GuardedOwner, launch: Launch, url: str, pid: int | None) -> None:
        self._owner, self._launch, self._pid = owner, launch, pid
        self._log = launch.trial_dir / "server.log"
        self._endpoint = Endpoint(url)
        self.ready_s = 0.0

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return self._endpoint

    @property
    def owner(self) -> GuardedOwner:
        """The guardian's engine end."""
        return self._owner

    def usage(self) -> Sequence[Usage]:
        """Readings of the server's process tree; none of a server at a URL."""
        return self._owner.usage() if self._pid is not None else []

    def log_tail(self, lines: int = 20) -> str:
        """The last lines it printed."""
        return tail(self._log, lines)

    def check(self) -> None:
        """Raise TrialFailed when it has ended, TrialInterrupted when the guardian has."""
        self._check(Reason.CRASHED, "the server ended in the middle of the trial")

    def wait_ready(self, tick: Callable[[], None]) -> None:
        """Until it answers; raises TrialFailed when it ends first, or takes too long."""
        begin_s = time.monotonic()
        wait_s = POLL_S
        while True:
            tick()
            self._check(Reason.EXITED_AT_START, "the server ended before it was ready")
            if self._is_ready():
                self.ready_s = time.monotonic() - begin_s
                return
            if time.monotonic() - begin_s > self._launch.ready_timeout_s:
                raise TrialFailed(Reason.NEVER_READY, self._never_ready(), self.log_tail())
            time.sleep(wait_s)
            wait_s = min(POLL_MAX_S, wait_s * 1.2)

    def require_own_port(self, port: int) -> None:
        """Raise TrialFailed when it is another process that answers on the server's port."""
        ours = {self._pid, *descendants(self._pid or 0), *self._owner.orphans()}
        listeners = _listeners(port)
        if listeners and ours.isdisjoint(listeners):
            detail = f"port {port} is answered by another process ({_who(listeners[0])})"
            raise TrialFailed(Reason.PORT_TAKEN, detail, self.log_tail())

    def _check(self, reason: Reason, what: str) -> None:
        self._owner.check()
        if self._owner.out_of_memory:
            detail = f"{self._owner.out_of_memory} of memory"
            raise TrialFailed(Reason.OUT_OF_MEMORY, detail, self.log_tail())
        ended = self._owner.exited(SERVER) if self._pid is not None else None
        if ended is None or (ended == "exit code 0" and self._goes_on()):
            return
        raise TrialFailed(reason, f"{what}: {ended}", self.log_tail())

    def _goes_on(self) -> bool:
        """A server that puts itself into the background ends with 0 and goes on as a daemon."""
        # Looked for twice: one that changes parents this moment may be missed once.
        return bool(self._owner.orphans()) or self._is_ready() or bool(self._owner.orphans())

    def _is_ready(self) -> bool:
        path = self._launch.ready_path
        url = self._endpoint.url
        return accepts(url) if path is None else is_ready(url, path)

    def _never_ready(self) -> str:
        path = self._launch.ready_path
        waited = f"within {self._launch.ready_timeout_s:g} s"
        if path is None:
            return f"no connection was accepted at {self._endpoint.url} {waited}"
        return f"GET {path} did not answer 200 {waited}"


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**passed, **own}


def _spawn(owner: GuardedOwner, launch: Launch, environment: Mapping[str, str], port: int) -> int:
    assert launch.command is not None
    values = {
        "python": sys.executable,
        "port": str(port),
        "model_dir": str(launch.model_dir or ""),
    }
    argv = [fill(word, values) for word in launch.command]
    try:
        return owner.spawn(
            SERVER,
            argv,
            environment=environment,
            working_dir=launch.working_dir,
            cpus=launch.placement.server_cpus,
            log=launch.trial_dir / "server.log",
            memory_limit_bytes=launch.placement.memory_bytes,
        )
    except SpawnRefused as error:
        raise TrialFailed(Reason.EXITED_AT_START, f"cannot start {argv[0]!r}: {error}") from None


def _free_port(launch: Launch) -> int:
    """The fixed port if it is free, else one that the system gives."""
    wanted = 0
    if launch.command and not any("port" in names_in(word) for word in launch.command):
        wanted = launch.port or 0
    with socket.socket() as sock:
        # As servers do: connections in TIME_WAIT do not hold a port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOOPBACK, wanted))
        except OSError as error:
            holders = _listeners(wanted)
            who = f" by {_who(holders[0])}" if holders else ""
            detail = (
                f"port {wanted} is already taken{who} ({error.strerror}); free it, or use {{port}}"
            )
            raise TrialFailed(Reason.PORT_TAKEN, detail) from None
        return int(sock.getsockname()[1])


def _listeners(port: int) -> list[int]:
    """Processes that listen on a TCP port, as far as this user may see."""
    with contextlib.suppress(psutil.Error, OSError):
        return [
            c.pid
            for c in psutil.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port and c.pid
        ]
    return []


def _who(pid: int) -> str:
    with contextlib.suppress(psutil.Error):
        return f"process {pid}, {psutil.Process(pid).name()}"
    return f"process {pid}"


@contextmanager
def _hooks(
    owner: GuardedOwner, launch: Launch, environment: Mapping[str, str], tick: Callable[[], None]
) -> Iterator[None]:
    """The commands around a trial of a server that already runs."""
    _hook(owner, launch, environment, "before_trial", launch.before, tick)
    try:
        yield
    finally:
        _hook(owner, launch, environment, "after_trial", launch.after, lambda: None)


def _hook(
    owner: GuardedOwner,
    launch: Launch,
    environment: Mapping[str, str],
    name: str,
    command: Sequence[str] | None,
    tick: Callable[[], None],
) -> None:
    """One command to its end; what it leaves running ends with the trial."""
    if command is None:
        return
    log = launch.trial_dir / f"{name}.log"
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    try:
        owner.spawn(
            name,
            command,
            environment=environment,
            working_dir=launch.working_dir,
            cpus=cpus,
            log=log,
        )
    except SpawnRefused as error:
        raise TrialFailed(Reason.HOOK_FAILED, f"hooks.{name}: {error}") from None
    deadline_s = time.monotonic() + launch.ready_timeout_s
    while (ended := owner.exited(name)) is None:
        tick()
        owner.check()
        if time.monotonic() > deadline_s:
            owner.end(name, STOP_GRACE_S)
            detail = f"hooks.{name}: it did not end within {launch.ready_timeout_s:g} s"
            raise TrialFailed(Reason.HOOK_FAILED, detail, tail(log, 20))
        time.sleep(POLL_S)
    if ended != "exit code 0":
        raise TrialFailed(Reason.HOOK_FAILED, f"hooks.{name}: {ended}", tail(log, 20))
