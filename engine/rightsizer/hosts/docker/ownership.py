"""Whose a container is: labels that tell, after a crash, whether its owner still lives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

PREFIX = "rightsizer."
HIDDEN = "hidden"
"""When a process began that this user may not look at."""
RUN = f"{PREFIX}run"
"""The label of all that belongs to one server start; nothing without it is ever touched."""


@dataclass(frozen=True)
class Owner:
    """A process, told apart from every other of this and of other machines."""

    machine: str
    boot: str
    """This boot, and the namespace in which the pid counts."""
    pid: int
    started: str
    """When the process began, in the kernel's ticks: pids are used again."""


def this_process() -> Owner:
    """The owner of what this process starts."""
    return Owner(_machine(), _boot(), os.getpid(), process_start(os.getpid()) or "")


def labels_of(owner: Owner, run: str, job: str, trial: str, deadline_s: float) -> dict[str, str]:
    """Labels of all that a server start makes. `deadline_s` is in Unix time."""
    own = {**asdict(owner), "run": run, "job": job, "trial": trial, "deadline": int(deadline_s)}
    return {f"{PREFIX}{key}": str(value) for key, value in own.items()}


def is_left_behind(
    labels: Mapping[str, str], here: Owner, now_s: float, is_alive: Mapping[int, str | None]
) -> bool:
    """Whether the owner of these labels is dead, or its time is long up.

    Only of a process of this machine, since it booted, can it be known whether it lives; of any
    other only the deadline speaks: machines that were cloned share their id. Labels that make no
    sense are nobody's to sweep.

    Args:
        labels: of a container, a network or a volume.
        here: any process of this machine.
        now_s: Unix time.
        is_alive: when each process of this machine began, None of those that are none.
    """
    if RUN not in labels:
        return False
    try:
        pid, deadline_s = int(labels[f"{PREFIX}pid"]), int(labels[f"{PREFIX}deadline"])
    except (KeyError, ValueError):
        return False
    there = (labels.get(f"{PREFIX}machine"), labels.get(f"{PREFIX}boot"))
    if there == (here.machine, here.boot):
        return is_alive[pid] not in (labels.get(f"{PREFIX}started"), HIDDEN)
    return now_s > deadline_s


class Starts(dict[int, str | None]):
    """When each process of this machine began, looked up when asked for."""

    def __missing__(self, pid: int) -> str | None:
        return process_start(pid)


def process_start(pid: int) -> str | None:
    """When a process began, None where there is none; a zombie is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except ProcessLookupError:
        return None
    except OSError:
        return _hidden(pid) if os.path.exists("/proc/self") else _start_by_psutil(pid)
    return None if fields[0] in ("Z", "X") else fields[19]  # field 22 of proc_pid_stat(5)


def _hidden(pid: int) -> str | None:
    """The system may show no other user's processes in /proc; a signal tells them from none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return HIDDEN
    return HIDDEN


def _start_by_psutil(pid: int) -> str | None:
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _machine() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return Path(path).read_text().strip()
        except OSError:
            continue
    return ""


def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return str(psutil.boot_time())
