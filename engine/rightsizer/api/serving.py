"""`rightsizer serve`: the parts put together, from the first check to the last process's end."""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from rightsizer.api.application import Application
from rightsizer.api.context import Context
from rightsizer.api.credentials import PROFILE, Credentials, load_or_make
from rightsizer.api.listening import Listener
from rightsizer.api.operations import OPERATIONS
from rightsizer.api.settings import Settings, load_settings
from rightsizer.api.supervisor import Supervisor
from rightsizer.errors import EnvironmentFault, StoreError, UsageError
from rightsizer.hosts.affinity import kept_to
from rightsizer.hosts.probe import this_machine
from rightsizer.registry import Registry
from rightsizer.store import Store, default_store

CREDENTIALS = "credentials"
"""The file of the key pair, in the store, unless another is given."""
LOCK = "serve.lock"


def serve(
    *,
    host: str,
    port: int,
    store: Path | None,
    config: Path | None,
    credentials: Path | None,
    time_scale: float,
    verbose: bool,
) -> None:
    """Serve until SIGTERM or Ctrl-C; what runs then goes on with the next server.

    Raises:
        UsageError: the address is empty.
        InputError: serve.yaml or the credentials file.
        EnvironmentFault: the address is taken, or the store is served already.
    """
    if not host:
        why = "it would listen on every address of this machine"
        raise UsageError("--host is empty", why, "give 127.0.0.1, or 0.0.0.0 where that is wanted")
    settings = Settings() if config is None else load_settings(config)
    folder = (default_store() if store is None else store).absolute()
    base_dir = folder if config is None else config.absolute().parent
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(message)s")
    for noisy in ("botocore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    _make_private(folder)
    with Store(folder) as opened, _only_one(folder), _bound(host, port) as bound:
        opened.require_writable()
        path = folder / CREDENTIALS if credentials is None else credentials.absolute()
        keys = load_or_make(path, settings.region)
        machine = this_machine()
        cpus = machine.cpus if machine.can_pin else None
        is_users_own = credentials is not None
        environment = _worker_environment(settings, path, is_users_own=is_users_own)
        supervisor = Supervisor(folder, settings, cpus, environment)
        context = Context(
            store=opened,
            registry=Registry(opened),
            settings=settings,
            base_dir=base_dir,
            machine=machine,
            time_scale=time_scale,
            wake=supervisor.wake,
        )
        operations = {name: partial(run, context) for name, run in OPERATIONS.items()}
        hosts = _hosts(host, bound.getsockname()[1], settings)
        application = Application(operations, keys, hosts)
        listener = Listener(application, bound)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: listener.stop())
        # Where generators run, as the engine itself does: the servers' CPUs are theirs.
        with kept_to(machine.cores[0] if machine.can_pin else ()):
            supervisor.start()
            try:
                listener.serve(lambda: _say_ready(settings, path, keys, host, bound))
            finally:
                application.close()
                supervisor.close()


def _make_private(folder: Path) -> None:
    """Make the store for its owner's eyes alone, for its jobs hold the variables of containers;
    one that is there stays as it is."""
    with suppress(OSError):  # the store says what is wrong
        folder.mkdir(0o700, parents=True)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Be the one server of a store; raises StoreError."""
    try:
        lock = (folder / LOCK).open("a+")
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write {folder / LOCK}", why, "mend its permissions") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            todo = "stop that one, or give another --store"
            raise StoreError(f"{folder} is served already", "by another process", todo) from None
        yield


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens at its address; raises EnvironmentFault."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
            bound.listen()  # two that are bound at the same time fail here
        except OSError as error:
            what = f"cannot listen on {host} port {port}"
            todo = "give another --port (0: one that is free) or --host"
            raise EnvironmentFault(what, error.strerror or str(error), todo) from None
        yield bound


def _hosts(host: str, port: int, settings: Settings) -> frozenset[str]:
    """What clients may say in Host. Names of the settings also without our port: before a server
    that listens elsewhere there may be one that does TLS."""
    ours = ("127.0.0.1", "localhost", "[::1]", _in_url(host), *settings.allowed_hosts)
    with_port = {f"{name}:{port}" for name in ours}
    without = {*settings.allowed_hosts, *(ours if port == 80 else ())}
    return frozenset(name.lower() for name in with_port | without)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _worker_environment(
    settings: Settings, credentials: Path, *, is_users_own: bool
) -> dict[str, str]:
    """A worker's own: it signs for S3 with the same keys as clients do, where the store of objects
    is ours too or the keys are its user's; but not where the environment has others."""
    environment = dict(os.environ)
    own = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE")
    is_known = settings.s3 is not None or is_users_own
    if is_known and not any(name in environment for name in own):
        environment |= {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_PROFILE": PROFILE}
    return environment


def _say_ready(
    settings: Settings, path: Path, keys: Credentials, host: str, bound: socket.socket
) -> None:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    address = f"http://{_in_url(name)}:{bound.getsockname()[1]}"
    variables = {
        "AWS_SHARED_CREDENTIALS_FILE": str(path),
        "AWS_PROFILE": PROFILE,
        "AWS_DEFAULT_REGION": keys.region,
        "AWS_ENDPOINT_URL_SAGEMAKER": address,
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": address,
    }
    if settings.s3 is not None:
        variables["AWS_ENDPOINT_URL_S3"] = settings.s3.endpoint_url
    said = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    print(f"ready: export {said}", flush=True)
