"""Process trees by /proc, cheaply: this runs twice a second beside a measurement.

Where there is no /proc (macOS), by psutil.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

LINUX = sys.platform == "linux"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """All living descendants of a process, itself left out; zombies are not alive."""
    if not LINUX:
        import psutil

        try:
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            return []
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in _children(waiting.pop()):
            waiting.append(child)
            if _stat(child)[:1] not in ([], ["Z"]):
                found.append(child)
    return found


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
    return _kib(Path(f"/proc/{pid}/status"), ("RssAnon:", "RssShmem:"))


def proportional_bytes(pid: int) -> int:
    """The same with shared pages divided among their users; slower."""
    if not LINUX:
        return memory_bytes(pid)
    return _kib(Path(f"/proc/{pid}/smaps_rollup"), ("Pss_Anon:", "Pss_Shmem:"))


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


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; the name before may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return []


def _kib(path: Path, names: tuple[str, ...]) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))
