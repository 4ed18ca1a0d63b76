"""What this machine has, read off it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from rightsizer.inventory import Machine, parse_cpus

TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def this_machine() -> Machine:
    """CPUs by physical core as far as this process may use them, memory, processor."""
    can_pin = hasattr(os, "sched_getaffinity")
    cpu_count = os.cpu_count() or 1
    allowed = os.sched_getaffinity(0) if can_pin else set(range(cpu_count))
    siblings = {cpu: _siblings(cpu) for cpu in allowed}
    cores = {tuple(c for c in siblings[cpu] if c in allowed) for cpu in allowed}
    return Machine(
        cores=tuple(sorted(cores)),
        cpu_count=cpu_count,
        memory_bytes=_memory_bytes(),
        processor=_processor(),
        architecture=platform.machine(),
        threads_per_core=max(len(group) for group in siblings.values()),
        can_pin=can_pin,
    )


def _siblings(cpu: int) -> tuple[int, ...]:
    """The hyperthreads of a CPU's core, itself included."""
    try:
        return parse_cpus(Path(TOPOLOGY.format(cpu)).read_text().strip())
    except (OSError, ValueError):
        return (cpu,)


def _memory_bytes() -> int:
    """Of the machine, or of the cgroup this process is held to where that is less."""
    found = [psutil.virtual_memory().total]
    for path in CGROUP_LIMITS:
        try:
            found.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # no such cgroup version, or "max"
            continue
    return min(found)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"
