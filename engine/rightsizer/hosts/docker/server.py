"""A server in a container."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from rightsizer.addresses import host_name, is_far
from rightsizer.errors import Reason, TrialFailed, TrialInterrupted
from rightsizer.hosts.accelerator_watch import AcceleratorWatch
from rightsizer.hosts.base import Endpoint, Launch
from rightsizer.hosts.docker.endings import KILLED, ending_of
from rightsizer.hosts.docker.engine import Engine, EngineGone, Missing, Refused
from rightsizer.hosts.docker.watch import Watch
from rightsizer.hosts.logs import BoundedLog, Redactor
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.hosts.ports import LOOPBACK
from rightsizer.hosts.readiness import until_ready
from rightsizer.hosts.records import Usage

POLL_S = 0.1
LATE_NEWS_S = 0.5
"""That a process was killed for memory, and that the container has ended, come in either order."""
KEPT_LINES = 2000
ADDRESS_S = 5.0


class DockerServer:
    """A container that is to become ready; see `hosts.base.Server`."""

    def __init__(
        self,
        owner: GuardedOwner,
        engine: Engine,
        launch: Launch,
        container: str,
        accelerators: AcceleratorWatch,
    ) -> None:
        self._owner, self._engine, self._launch = owner, engine, launch
        self._container, self._accelerators = container, accelerators
        self._watch: Watch | None = None
        self._endpoint = Endpoint("")
        self._begin_s = time.monotonic()
        self.ready_s = 0.0

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return self._endpoint

    @property
    def owner(self) -> GuardedOwner:
        """The guardian's engine end: the generator is a process of this machine."""
        return self._owner

    def usage(self) -> Sequence[Usage]:
        """Readings of the container."""
        return [] if self._watch is None else self._accelerators.beside(self._watch.usage())

    def log_tail(self, lines: int = 20) -> str:
        """The last lines it printed; none where the engine cannot tell any more."""
        try:
            return self._log(lines)
        except (EngineGone, Refused):
            return ""

    def check(self) -> None:
        """Raise TrialFailed when it has ended, TrialInterrupted when engine or guardian has."""
        self._check(before_ready=False)

    # -- its life, for the host ------------------------------------------------------------------

    def watch(self) -> None:
        """Begin to watch the container; raises Refused, EngineGone."""
        self._watch = Watch(self._engine, self._container)

    def begin(self) -> None:
        """Start the container; raises Refused, EngineGone."""
        self._begin_s = time.monotonic()
        self._engine.start(self._container)

    def locate(self, network: str, *, published: bool) -> None:
        """Learn where it can be reached; raises TrialFailed where it has ended before."""
        deadline_s = time.monotonic() + ADDRESS_S
        while time.monotonic() < deadline_s:
            self._check(before_ready=True)
            settings = self._engine.inspect(self._container)["NetworkSettings"]
            found = self._published(settings) if published else self._inside(settings, network)
            if found is not None:
                self._endpoint = Endpoint(f"http://{found}")
                return
            time.sleep(POLL_S)
        raise TrialInterrupted(Reason.HOST_LOST, "the engine gave the container no address")

    def wait_ready(self, tick: Callable[[], None]) -> None:
        """Until it answers; raises TrialFailed when it ends first, or takes too long."""

        def look() -> None:
            tick()
            self._check(before_ready=True)

        self.ready_s = until_ready(
            self._launch, self._endpoint.url, self._begin_s, look, self.log_tail, POLL_S
        )

    def end(self, grace_s: int) -> None:
        """Stop the container and keep its log; raises Refused, EngineGone."""
        self._engine.stop(self._container, grace_s)
        said = self._log(KEPT_LINES)
        with contextlib.suppress(OSError):  # a full disk must not keep it from being removed
            log = BoundedLog(self._launch.trial_dir / "server.log")
            log.write(said.encode())
            log.close()

    def close(self) -> None:
        """End what watches it, once it is removed."""
        if self._watch is not None:
            self._watch.close()

    # -- where it is -----------------------------------------------------------------------------

    @property
    def _port(self) -> int:
        assert self._launch.container is not None
        return self._launch.container.port

    def _inside(self, settings: dict[str, Any], network: str) -> str | None:
        address = settings["Networks"][network]["IPAddress"]
        return f"{address}:{self._port}" if address else None

    def _published(self, settings: dict[str, Any]) -> str | None:
        bound = (settings["Ports"] or {}).get(f"{self._port}/tcp")
        if not bound:
            return None
        engine = self._engine.address
        machine = host_name(engine) if is_far(engine) else LOOPBACK
        machine = f"[{machine}]" if ":" in machine else machine
        return f"{machine}:{bound[0]['HostPort']}"

    # -- its state -------------------------------------------------------------------------------

    def _check(self, *, before_ready: bool) -> None:
        self._owner.check()
        try:
            state = self._state()
        except Missing:
            detail = "the container is gone; somebody removed it"
            raise TrialInterrupted(Reason.HOST_LOST, detail) from None
        except (EngineGone, Refused) as error:
            raise TrialInterrupted(Reason.HOST_LOST, str(error)) from None
        ran_out = self._ran_out
        if state.get("Running") and not state.get("Paused") and not ran_out:
            return
        log = self.log_tail()
        ending = ending_of(state, ran_out, log, before_ready)
        if ending is not None:
            raise TrialFailed(*ending, log)

    def _state(self) -> dict[str, Any]:
        state = dict(self._engine.inspect(self._container)["State"])
        half_told = self._ran_out if state["Running"] else state["ExitCode"] == KILLED
        if half_told and not state["OOMKilled"]:
            time.sleep(LATE_NEWS_S)
            state = dict(self._engine.inspect(self._container)["State"])
        return state

    @property
    def _ran_out(self) -> bool:
        return self._watch is not None and self._watch.ran_out

    def _log(self, lines: int) -> str:
        redactor = Redactor([secret.encode() for secret in self._launch.secrets])
        said = self._engine.log(self._container, lines)
        masked = redactor.feed(said) + redactor.flush()
        return "\n".join(masked.decode("utf-8", "replace").splitlines()[-lines:])
