"""Process trees by /proc, cheaply: this runs twice a second beside a measurement.

Where there is no /proc (macOS), by psutil.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

LINUX = sys.platform == "linux"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def descendants(pid: int, *, zombies: bool = False) -> list[int]:
    """All descendants of a process, itself left out, each after its parent.

    Zombies, which have ended and wait to be reaped, are left out unless asked for. A process that
    is forked during the call may be missing. Where `pid` adopts orphans, those of a parent that
    ends during the call are not: they are looked for once more where they have gone.
    """
    if not LINUX:
        return _descendants_by_psutil(pid)
    listed = os.path.exists(f"/proc/{pid}/task/{pid}/children")
    children = _children if listed else _by_parent()
    found: dict[int, bool] = {}
    waiting = [pid]
    while waiting:
        for child in children(waiting.pop()):
            if child not in found:
                waiting.append(child)
                state = _stat(child)[:1]
                found[child] = bool(state) and (zombies or state != ["Z"])
        if not waiting and any(child not in found for child in children(pid)):
            waiting = [pid]
    return [child for child, counts in found.items() if counts]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its children that it has reaped."""
    if not LINUX:
        import psutil

        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system
    # state is field 3 of proc_pid_stat(5); utime, stime, cutime and cstime are 14 to 17.
    return sum(int(field) for field in _stat(pid)[11:15]) / TICKS_PER_S


def memory_bytes(pid: int) -> int:
    """Resident memory without files: page cache is not the process's own."""
    if not LINUX:
        import psutil

        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0
    return _sum_bytes(f"/proc/{pid}/status", ("RssAnon:", "RssShmem:")) or 0


def proportional_bytes(pid: int) -> int:
    """The same with shared pages divided among their users; slower.

    The plain reading where the kernel does not say (before 5.4, or another user's process).
    """
    exact = _sum_bytes(f"/proc/{pid}/smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")) if LINUX else None
    return memory_bytes(pid) if exact is None else exact


def run_delays_ns(pid: int) -> dict[int, int]:
    """By thread of a process, the time it was ready to run and waited for a CPU.

    None of those that have not run yet; nor any where the kernel does not count.
    """
    found: dict[int, int] = {}
    try:
        threads = os.listdir(f"/proc/{pid}/task") if LINUX else []
    except OSError:
        return found
    for thread in threads:
        try:
            # Without a file object: a server may have hundreds of threads.
            descriptor = os.open(f"/proc/{pid}/task/{thread}/schedstat", os.O_RDONLY)
        except OSError:
            continue
        try:
            _, delay_ns, runs = os.read(descriptor, 128).split()
        except (OSError, ValueError):
            continue
        finally:
            os.close(descriptor)
        # A kernel that does not count says 0 0 0.
        if runs != b"0":
            found[int(thread)] = int(delay_ns)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        # A child is listed under the thread that forked it.
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += [int(child) for child in file.read().split()]
        except OSError:
            continue
    return found


def _by_parent() -> Callable[[int], list[int]]:
    """For kernels without lists of children: every process's parent, read once."""
    families: dict[int, list[int]] = defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            families[int(fields[1])].append(int(name))
    return lambda pid: families.get(pid, [])


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; the name before may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return []


def _sum_bytes(path: str, names: tuple[str, ...]) -> int | None:
    """The sum of some lines, which are in kB; None where there are none such."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(names)]
    return sum(found) if found else None


def _descendants_by_psutil(pid: int) -> list[int]:
    import psutil

    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.Error:
        return []
