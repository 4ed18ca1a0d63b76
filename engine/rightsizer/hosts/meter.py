"""What a server's process tree uses, read by the guardian."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from resource import struct_rusage

from rightsizer.hosts.run_delay import RunDelay
from rightsizer.hosts.tree import cpu_seconds, memory_bytes, proportional_bytes


@dataclass(frozen=True)
class Excess:
    """A tree that has outgrown its memory."""

    memory_bytes: int
    limit_bytes: int


class Meter:
    """CPU time and memory of one process tree; no CPU time is lost when processes of it end.

    Each process's time holds that of the children it has reaped; the guardian reaps the others.
    Only a process that lets the kernel reap its children (SIGCHLD ignored) hides their time.
    """

    def __init__(self, limit_bytes: int | None) -> None:
        self._limit_bytes = limit_bytes
        self._reaped_s = 0.0
        self._cpu_s = 0.0
        self._run_delay = RunDelay()

    def count_reaped(self, usage: struct_rusage) -> None:
        """Add the time of a process of the tree that has ended, its reaped children included."""
        self._reaped_s += usage.ru_utime + usage.ru_stime

    def read(self, pids: Sequence[int]) -> dict[str, float | int | None]:
        """A reading, by the names of `hosts.base.Usage`; parents come before their children.

        Memory is resident memory without files: shared memory counts for each process that maps it.
        """
        t_ns = time.monotonic_ns()
        cpu_s = self._reaped_s + sum(cpu_seconds(pid) for pid in pids)
        # A process reaped between its parent's reading and its own is missing from this one.
        self._cpu_s = max(self._cpu_s, cpu_s)
        used_bytes = sum(memory_bytes(pid) for pid in pids)
        return {
            "t_ns": t_ns,
            "cpu_s": self._cpu_s,
            "memory_bytes": used_bytes,
            "run_delay_s": self._run_delay.read(pids),
        }

    def excess(self, pids: Sequence[int], used_bytes: int) -> Excess | None:
        """How far the tree is over its limit, if it is.

        The cheap reading counts pages that forked workers share once for each of them; over the
        limit, the exact one decides.
        """
        limit = self._limit_bytes
        if limit is None or used_bytes <= limit:
            return None
        exact_bytes = sum(proportional_bytes(pid) for pid in pids)
        return Excess(exact_bytes, limit) if exact_bytes > limit else None
