"""Leases by lock files: two jobs of a user on one machine share no CPU and no accelerator.

The kernel drops a lock when its holder dies, so a lease cannot be left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from rightsizer.errors import EnvironmentFault

LOOKERS_S = 0.2
"""Whoever lists leases holds a lock for a moment; what is held for longer is a lease."""
RETRY_S = 0.02
MAX_OWNER_BYTES = 200


class Leased(EnvironmentFault):
    """Another job holds them; they are free when it ends."""


def runtime_dir() -> Path:
    """The folder for locks, shared by all of this user's jobs and gone after a reboot.

    By XDG_RUNTIME_DIR, or where that is not set (cron, a container) by its usual place or /tmp,
    whatever TMPDIR says: jobs must agree on it.
    """
    user = os.getuid()
    for base in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{user}"):
        if base and os.access(base, os.W_OK):
            return Path(base) / "rightsizer"
    return Path("/tmp") / f"rightsizer-{user}"


def leased_cpus(folder: Path | None = None) -> dict[int, str]:
    """CPUs whose lease is held by a living process, each with its owner's own words."""
    held = _held("cpu-", folder)
    return dict(sorted((int(cpu), owner) for cpu, owner in held.items() if cpu.isdecimal()))


def leased_accelerators(folder: Path | None = None) -> dict[str, str]:
    """The same of accelerators, by their ids."""
    return {unquote(name): owner for name, owner in _held("accelerator-", folder).items()}


def _held(kind: str, folder: Path | None) -> dict[str, str]:
    found = {}
    for path in (folder or runtime_dir()).glob(f"{kind}*.lock"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                owner = file.read(MAX_OWNER_BYTES).decode("utf-8", "replace").strip()
                found[path.stem.removeprefix(kind)] = owner
    return found


@contextmanager
def lease(
    cpus: Sequence[int],
    owner: str,
    folder: Path | None = None,
    *,
    accelerators: Sequence[str] = (),
) -> Iterator[None]:
    """Hold CPUs and accelerators, all or none. `owner` is what others are told: `job demo-1a2b`.

    Raises:
        Leased: one is held by another job, which the message names.
        EnvironmentFault: leases cannot be kept at all.
    """
    folder = folder or runtime_dir()
    with contextlib.ExitStack() as held:
        if cpus or accelerators:
            _own_folder(folder)
        # Everybody takes them in the same order.
        for cpu in sorted(set(cpus)):
            held.enter_context(_hold(folder / f"cpu-{cpu}.lock", f"CPU {cpu}", owner))
        for id in sorted(set(accelerators)):
            path = folder / f"accelerator-{quote(id, safe='')}.lock"
            held.enter_context(_hold(path, f"accelerator {id}", owner))
        yield


def _own_folder(folder: Path) -> None:
    """Make the folder; in /tmp it may be somebody else's trap."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        belongs = folder.stat().st_uid == os.getuid()
    except OSError as error:
        raise _unusable(folder, error.strerror or str(error)) from None
    if not belongs:
        raise _unusable(folder, "it belongs to another user")


@contextmanager
def _hold(path: Path, what: str, owner: str) -> Iterator[None]:
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    try:
        _lock(descriptor, what)
        with contextlib.suppress(OSError):  # on a full disk the lease has no name, but holds
            os.ftruncate(descriptor, 0)
            text = f"{owner} (process {os.getpid()})"
            os.pwrite(descriptor, text.encode()[:MAX_OWNER_BYTES], 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, what: str) -> None:
    deadline_s = time.monotonic() + LOOKERS_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline_s:
                break
        time.sleep(RETRY_S)
    text = os.pread(descriptor, MAX_OWNER_BYTES, 0).decode("utf-8", "replace")
    said = f"{what} is leased to {text or 'another job'}"
    todo = "wait for it to end, or start this job on other CPUs with taskset"
    raise Leased(said, "jobs never share CPUs and accelerators", todo)


def _unusable(path: Path, why: str) -> EnvironmentFault:
    todo = "mend or remove it, or set XDG_RUNTIME_DIR to a folder of yours"
    return EnvironmentFault(f"cannot keep CPU leases in {path}", why, todo)
