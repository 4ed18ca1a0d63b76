"""Starting one child of the guardian: in a session of its own, on its CPUs, bound to the guardian's
life."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

_LIBC = ctypes.CDLL(None)


class Refused(Exception):
    """The system would not start a program; one line why."""


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs, daemons for one (Linux)."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def start_child(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    working_dir: str,
    cpus: Sequence[int],
    stdin: int | None,
    stdout: int,
    stderr: int,
) -> int:
    """Start a program; its pid. The caller reaps it. Only for a process of one thread.

    Raises:
        Refused: no such program, no such folder, CPUs that may not be used.
    """
    guardian = os.getpid()

    def between_fork_and_exec() -> None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:  # it died before the line above
            os._exit(1)
        if cpus and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)

    try:
        child = subprocess.Popen(
            argv,
            env=environment,
            cwd=working_dir,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=between_fork_and_exec,
        )
    except OSError as error:
        why = error.strerror or str(error)
        place = error.filename
        raise Refused(why if place in (None, argv[0]) else f"{why}: {place}") from None
    except subprocess.SubprocessError:
        raise Refused(f"it cannot be held to CPUs {', '.join(map(str, cpus))}") from None
    except ValueError as error:  # a null byte in a word
        raise Refused(str(error)) from None
    # Popen must not reap it: the guardian does, with its CPU time.
    child.returncode = 0
    return child.pid


def run_to_end(argv: Sequence[str], environment: Mapping[str, str], within_s: float) -> None:
    """Run a program silently and wait for it, whatever becomes of it."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=within_s,
            check=False,
        )


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)
