"""CPU leases by lock files: two jobs on one machine never share a CPU.

The kernel drops a lock when its holder dies, so a lease cannot be left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rightsizer.errors import EnvironmentFault

LOOKS, LOOK_S = 5, 0.02


def runtime_dir() -> Path:
    """The machine's folder for locks: shared by all jobs of this user, gone after a reboot."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(given) if given and os.access(given, os.W_OK) else Path(tempfile.gettempdir())
    return base / (f"rightsizer-{os.getuid()}" if base != Path(given or "") else "rightsizer")


def leased_cpus(folder: Path | None = None) -> dict[int, str]:
    """CPUs whose lease is held by a living process, each with its owner's own words."""
    found = {}
    for path in (folder or runtime_dir()).glob("cpu-*.lock"):
        with contextlib.suppress(OSError, ValueError), path.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                found[int(path.stem.removeprefix("cpu-"))] = file.read().strip()
    return found


@contextmanager
def lease(cpus: Sequence[int], owner: str, folder: Path | None = None) -> Iterator[None]:
    """Hold CPUs, all or none.

    Raises:
        EnvironmentFault: one is held by another job, which the message names.
    """
    folder = folder or runtime_dir()
    with contextlib.ExitStack() as held:
        for cpu in sorted(cpus):
            held.enter_context(_hold(folder / f"cpu-{cpu}.lock", cpu, owner))
        yield


@contextmanager
def _hold(path: Path, cpu: int, owner: str) -> Iterator[None]:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        why = error.strerror or str(error)
        todo = "mend the permissions of its folder"
        raise EnvironmentFault(f"cannot lease CPU {cpu} by {path}", why, todo) from None
    try:
        if not _lock(descriptor):
            holder = os.pread(descriptor, 200, 0).decode() or "another job"
            what = f"CPU {cpu} is leased to {holder}"
            todo = "wait for it to end, or start this job on other CPUs with taskset"
            raise EnvironmentFault(what, "jobs never share CPUs", todo)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{owner} (process {os.getpid()})".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the lock is ours now. A job that only looks (`leased_cpus`) has it for an instant."""
    for _ in range(LOOKS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(LOOK_S)
        else:
            return True
    return False
