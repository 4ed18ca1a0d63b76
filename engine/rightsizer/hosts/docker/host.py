"""A Docker engine as a host: every server a container of its own, on a network of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rightsizer.addresses import is_far
from rightsizer.containers import Container
from rightsizer.errors import EnvironmentFault, Reason, TrialFailed, TrialInterrupted
from rightsizer.hosts.accelerator_watch import accelerator_watch
from rightsizer.hosts.base import Launch
from rightsizer.hosts.docker.endings import of_refused_start
from rightsizer.hosts.docker.engine import Engine, EngineGone, Missing, Refused, tls_of
from rightsizer.hosts.docker.model import volume_with
from rightsizer.hosts.docker.ownership import labels_of, this_process
from rightsizer.hosts.docker.reaper import reaper_command
from rightsizer.hosts.docker.request import create_request
from rightsizer.hosts.docker.server import DockerServer
from rightsizer.hosts.docker.sweep import remove_run, sweep
from rightsizer.hosts.docker.turns import Busy, leased_to, take_turn
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.hosts.ports import LOOPBACK
from rightsizer.inventory import HostSpec

STOP_GRACE_S = 5
REMOVE_S = 5.0
"""What an engine gets to let go of a network whose container has just ended."""
REAPER_ENVIRONMENT = (
    "PATH", "HOME", "SSH_AUTH_SOCK", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH",
)  # fmt: skip


class DockerHost:
    """Starts containers; see `hosts.base.Host`."""

    def __init__(self, spec: HostSpec) -> None:
        """`spec` has its address, and the paths of its TLS files lead there from anywhere."""
        assert spec.address is not None
        self._spec, self._address = spec, spec.address
        self._tls = tls_of(spec)
        self._doubtful: set[str] = set()
        """Runs of which something may have come to be after they were looked for the last time."""

    @property
    def name(self) -> str:
        """The host's name in the hosts file."""
        return self._spec.name

    def answers(self) -> bool:
        """Whether its engine does, and nobody has leased the machine."""
        try:
            with Engine(self._address, self._tls) as engine:
                self._sweep(engine)
                return not is_far(self._address) or leased_to(engine) is None
        except (EngineGone, Refused):
            return False

    @contextmanager
    def start(
        self, launch: Launch, tick: Callable[[], None] = lambda: None
    ) -> Iterator[DockerServer]:
        """See `hosts.base.Host`.

        Raises:
            TrialInterrupted: the engine does not answer, or its machine is leased to another trial.
            EnvironmentFault: it can make no network, or no room for the model.
        """
        launch.trial_dir.mkdir(parents=True, exist_ok=True)
        run = f"rightsizer-{launch.trial_id}-{secrets.token_hex(4)}"
        with (
            GuardedOwner(launch.placement.generator_cpus, launch.secrets) as owner,
            accelerator_watch(owner, launch) as accelerators,
            self._connected() as engine,
        ):
            owner.on_loss(reaper_command(self._address, run, self._tls), _reaper_environment())
            server: DockerServer | None = None
            try:
                tick()
                with _told():
                    self._sweep(engine)
                    container = self._create(engine, launch, run)
                    server = DockerServer(owner, engine, launch, container, accelerators)
                    server.watch()
                    _begin(server)
                    server.locate(run, published=self._spec.publish)
                server.wait_ready(tick)
                yield server
            finally:
                if _removed(engine, run, server):
                    with contextlib.suppress(TrialInterrupted):  # nothing is left for it to do
                        owner.on_loss(None, {})
                else:
                    self._doubtful.add(run)

    @contextmanager
    def _connected(self) -> Iterator[Engine]:
        with _told():
            engine = Engine(self._address, self._tls)
        with engine:
            yield engine

    def _sweep(self, engine: Engine) -> None:
        """Remove what dead engines left, and what came to be when this one had given up on it."""
        sweep(engine)
        for run in self._doubtful:
            remove_run(engine, run)

    def _published_on(self) -> str | None:
        """Where the server's port can be reached beside its own network."""
        if not self._spec.publish:
            return None
        return "0.0.0.0" if is_far(self._address) else LOOPBACK

    def _take_turn(self, engine: Engine, labels: Mapping[str, str], container: Container) -> None:
        try:
            take_turn(engine, labels, container.image_id)
        except Busy as error:
            raise TrialInterrupted(Reason.HOST_BUSY, f"host {self.name}: {error}") from None
        except Missing as error:
            raise _image_gone(container, error) from None

    def _create(self, engine: Engine, launch: Launch, run: str) -> str:
        container = launch.container
        assert container is not None
        deadline_s = time.time() + launch.lifetime_s
        labels = labels_of(this_process(), run, launch.job_id, launch.trial_id, deadline_s)
        if is_far(self._address):
            self._take_turn(engine, labels, container)
        publish_on = self._published_on()
        internal = container.settings.network == "internal" and publish_on is None
        model = None if launch.model_dir is None else str(launch.model_dir)
        try:
            engine.create_network(run, labels, internal=internal)
            if launch.model_dir is not None and is_far(self._address):
                model = volume_with(engine, launch.model_dir, run, container.image_id, labels)
        except Refused as error:
            what = "the Docker engine cannot make what a trial needs"
            raise EnvironmentFault(what, str(error)) from None
        request = create_request(
            container,
            launch.placement,
            launch.environment,
            labels,
            network=run,
            model=model,
            publish_on=publish_on,
        )
        try:
            return engine.create(run, request)
        except Missing as error:
            raise _image_gone(container, error) from None
        except Refused as error:
            detail = f"the Docker engine refused the container: {error}"
            raise TrialFailed(Reason.NOT_RUNNABLE, detail) from None


def _image_gone(container: Container, error: Missing) -> TrialFailed:
    detail = f"image {container.image} is gone since the plan was made: {error}"
    return TrialFailed(Reason.NOT_RUNNABLE, detail)


def _begin(server: DockerServer) -> None:
    try:
        server.begin()
    except Refused as error:
        detail = of_refused_start(str(error))
        raise TrialFailed(Reason.EXITED_AT_START, detail, str(error)) from None


def _removed(engine: Engine, run: str, server: DockerServer | None) -> bool:
    """End the container and remove all of the run; whether nothing of it is left, or to come."""
    deadline_s = time.monotonic() + REMOVE_S
    try:
        if server is not None:
            with contextlib.suppress(Refused):
                server.end(STOP_GRACE_S)
        while remove_run(engine, run):
            if time.monotonic() > deadline_s:
                return False
    except (EngineGone, Refused):
        return False
    finally:
        if server is not None:
            server.close()
    return not engine.unanswered


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong with the engine itself says nothing about the candidate."""
    try:
        yield
    except (EngineGone, Refused) as error:
        raise TrialInterrupted(Reason.HOST_LOST, str(error)) from None


def _reaper_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in REAPER_ENVIRONMENT if name in os.environ}
