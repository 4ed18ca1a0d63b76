"""What this machine has, read off it."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

from rightsizer.machines import Machine, MemoryNode, parse_cpus

SIBLINGS = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
NODES = "sys/devices/system/node/node[0-9]*"
CGROUP_FOLDERS = {"": "sys/fs/cgroup", "memory": "sys/fs/cgroup/memory"}
"""Where cgroup version 2 (no controllers named) and version 1 keep memory limits."""
CGROUP_LIMITS = {"": "memory.max", "memory": "memory.limit_in_bytes"}


def this_machine(root: Path = Path("/")) -> Machine:
    """CPUs by physical core as far as this process may use them, memory, processor.

    `root` is where `proc` and `sys` lie. Without them (macOS) each CPU counts as a core, and
    nothing can be pinned.
    """
    can_pin = hasattr(os, "sched_getaffinity")
    cpu_count = psutil.cpu_count() or 1
    allowed = os.sched_getaffinity(0) if can_pin else set(range(cpu_count))
    siblings = {cpu: _siblings(root, cpu) for cpu in allowed}
    cores = {tuple(c for c in siblings[cpu] if c in allowed) for cpu in allowed}
    return Machine(
        cores=tuple(sorted(cores)),
        cpu_count=cpu_count,
        memory_bytes=min([psutil.virtual_memory().total, *_cgroup_limits(root)]),
        processor=_processor(root),
        architecture=platform.machine(),
        threads_per_core=max(len(group) for group in siblings.values()),
        can_pin=can_pin,
        nodes=tuple(_nodes(root)),
    )


def _nodes(root: Path) -> Iterator[MemoryNode]:
    """Memory nodes by number; none where the system does not say."""
    for folder in sorted(root.glob(NODES), key=lambda path: int(path.name.removeprefix("node"))):
        with contextlib.suppress(OSError, ValueError, IndexError):  # one without CPUs, for one
            cpus = parse_cpus((folder / "cpulist").read_text().strip())
            [total_kib] = [
                int(line.split()[3])
                for line in (folder / "meminfo").read_text().splitlines()
                if "MemTotal:" in line
            ]
            yield MemoryNode(int(folder.name[4:]), frozenset(cpus), total_kib * 1024)


def _siblings(root: Path, cpu: int) -> tuple[int, ...]:
    """The hyperthreads of a CPU's core, itself included."""
    try:
        return parse_cpus((root / SIBLINGS.format(cpu)).read_text().strip())
    except (OSError, ValueError):
        return (cpu,)


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Memory limits of the cgroup of this process and of all above it, in bytes.

    In a container the path that /proc tells may be the host's; the mounted root is then ours.
    """
    groups = {controller: PurePosixPath("/") for controller in CGROUP_FOLDERS}
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                if controller in groups:
                    groups[controller] = PurePosixPath(path)
    for controller, group in groups.items():
        for at in (group, *group.parents):
            folder = root / CGROUP_FOLDERS[controller] / at.relative_to("/")
            with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
                yield int((folder / CGROUP_LIMITS[controller]).read_text())


def _processor(root: Path) -> str:
    with contextlib.suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
