"""The embedded host: servers as processes of this machine, under a guardian, on a CPU set."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rightsizer.accelerators import visible
from rightsizer.errors import Reason, TrialFailed
from rightsizer.hosts.accelerator_watch import AcceleratorWatch, accelerator_watch
from rightsizer.hosts.base import Endpoint, Launch
from rightsizer.hosts.guardian import SERVER
from rightsizer.hosts.hooks import hooks
from rightsizer.hosts.logs import tail
from rightsizer.hosts.owner import GuardedOwner, SpawnRefused
from rightsizer.hosts.ports import LOOPBACK, free_port, require_free, require_own
from rightsizer.hosts.readiness import until_ready
from rightsizer.hosts.records import Usage
from rightsizer.hosts.tree import descendants
from rightsizer.inventory import HostSpec
from rightsizer.placeholders import fill, names_in

PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")
STOP_GRACE_S = 5.0
GPU_DRIVER = Path("/dev/nvidiactl")


class ProcessHost:
    """Starts a server's command on this machine, or goes to a server that already runs."""

    def __init__(self, spec: HostSpec) -> None:
        self._spec = spec

    @property
    def name(self) -> str:
        """The host's name in the hosts file."""
        return self._spec.name

    def answers(self) -> bool:
        """It is this machine."""
        return True

    @contextmanager
    def start(
        self, launch: Launch, tick: Callable[[], None] = lambda: None
    ) -> Iterator[ProcessServer]:
        """See `hosts.base.Host`."""
        launch.trial_dir.mkdir(parents=True, exist_ok=True)
        environment = _environment(launch)
        with (
            GuardedOwner(launch.placement.generator_cpus, launch.secrets) as owner,
            accelerator_watch(owner, launch) as accelerators,
        ):
            if launch.url is not None:
                with hooks(owner, launch, environment, tick):
                    server = ProcessServer(
                        owner, launch, launch.url.rstrip("/"), None, accelerators
                    )
                    server.wait_ready(tick)
                    yield server
                return
            try:
                server = _start_server(owner, launch, environment, accelerators)
                server.wait_ready(tick)
                yield server
            finally:
                owner.end(SERVER, STOP_GRACE_S)


class ProcessServer:
    """A running server; see `hosts.base.Server`."""

    def __init__(
        self,
        owner: GuardedOwner,
        launch: Launch,
        url: str,
        port: int | None,
        accelerators: AcceleratorWatch,
    ) -> None:
        """`port` is where its own processes must listen; None: it is not ours."""
        self._owner, self._launch, self._port = owner, launch, port
        self._accelerators = accelerators
        self._endpoint = Endpoint(url, launch.tls)
        self._begin_s = time.monotonic()
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
        return self._accelerators.beside(self._owner.usage())

    def log_tail(self, lines: int = 20) -> str:
        """The last lines it printed."""
        return tail(self._launch.trial_dir / "server.log", lines)

    def check(self) -> None:
        """Raise TrialFailed when it has ended, TrialInterrupted when the guardian has."""
        self._check(Reason.CRASHED, "the server ended in the middle of the trial")

    def wait_ready(self, tick: Callable[[], None]) -> None:
        """Until it answers; raises TrialFailed when it ends first, or takes too long."""
        ended_first = "the server ended before it was ready"

        def look() -> None:
            tick()
            self._check(Reason.EXITED_AT_START, ended_first)

        self.ready_s = until_ready(
            self._launch, self._endpoint.url, self._begin_s, look, self.log_tail
        )
        if self._port is not None:
            self._check(Reason.EXITED_AT_START, ended_first)
            # All the guardian's descendants: a daemon has left the tree and is its child now.
            require_own(self._port, descendants(self._owner.guardian_pid))

    def _check(self, reason: Reason, what: str) -> None:
        self._owner.check()
        if self._port is None:
            return
        if self._owner.out_of_memory is not None:
            detail = f"{self._owner.out_of_memory} of memory"
            raise TrialFailed(Reason.OUT_OF_MEMORY, detail, self.log_tail())
        ended = self._owner.exited(SERVER)
        if ended is not None:
            raise TrialFailed(reason, f"{what}: {ended}", self.log_tail())


def _environment(launch: Launch) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    # On a machine with GPUs a server of a type without any must not find them.
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if GPU_DRIVER.exists() and launch.url is None else {}
    return {**passed, **hidden, **visible(launch.placement.accelerators), **launch.environment}


def _start_server(
    owner: GuardedOwner,
    launch: Launch,
    environment: Mapping[str, str],
    accelerators: AcceleratorWatch,
) -> ProcessServer:
    assert launch.command is not None
    port = _port(launch.command, launch.port)
    values = {
        "python": sys.executable,
        "port": str(port),
        "model_dir": str(launch.model_dir or ""),
    }
    argv = [fill(word, values) for word in launch.command]
    server = ProcessServer(owner, launch, f"http://{LOOPBACK}:{port}", port, accelerators)
    try:
        owner.spawn(
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
    return server


def _port(command: Sequence[str], fixed: int | None) -> int:
    """A free port for a command that can be told one, else the fixed port if it is free."""
    if fixed is None or any("port" in names_in(word) for word in command):
        return free_port()
    require_free(fixed)
    return fixed
