"""How the generator's own process and machine fared in a step: facts, no verdict.

Each figure is the difference of a counter between the step's begin and end; None where the platform
does not keep that counter.
"""

from __future__ import annotations

import gc
import math
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rightsizer.traffic.records import Health
from rightsizer.units import NS_PER_S

GRID_NS = 10_000_000
"""The event loop's lag is looked at on this grid."""
PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
T = TypeVar("T")


@dataclass(frozen=True)
class Counters:
    """Counters of the process and the machine; those that only grow, in s or ticks."""

    monotonic_s: float
    run_delay_s: float | None
    suspended_s: float | None
    stolen: tuple[int, int] | None
    """Ticks of all CPUs: taken by the hypervisor, and all in all."""
    pressure_s: float | None
    throttled_s: float | None


def read_counters(proc: Path = PROC, cgroups: Path = CGROUPS) -> Counters:
    """The counters as they stand."""
    return Counters(
        time.monotonic(),
        _or_none(lambda: int((proc / "self/schedstat").read_text().split()[1]) / NS_PER_S),
        _or_none(_suspended_s),
        _or_none(lambda: _stolen((proc / "stat").read_text())),
        _or_none(lambda: _pressure_s((proc / "pressure/cpu").read_text())),
        _or_none(lambda: _throttled_s((proc / "self/cgroup").read_text(), cgroups)),
    )


class HealthMeter:
    """Watches one step after the other; whoever runs the event loop tells it the loop's lag."""

    def __init__(self, proc: Path = PROC, cgroups: Path = CGROUPS) -> None:
        self._proc, self._cgroups = proc, cgroups
        self._lags_ns = array("q")
        self._gc_ns = self._gc_began_ns = 0
        gc.callbacks.append(self._collecting)
        self.begin()

    def close(self) -> None:
        """Look at collections no more."""
        gc.callbacks.remove(self._collecting)

    def begin(self) -> None:
        """A step begins."""
        self._lags_ns = array("q")
        self._gc_ns = 0
        self._before = read_counters(self._proc, self._cgroups)

    def woke(self, due_ns: int, now_ns: int) -> int:
        """The loop woke for the grid's `due_ns` at `now_ns`; returns when it is due next.

        A stall hides the grid's points within it: each counts with the lag it would have had.
        """
        while due_ns <= now_ns:
            self._lags_ns.append(now_ns - due_ns)
            due_ns += GRID_NS
        return due_ns

    def end(self, connections: int = 0, reopened: int = 0) -> Health:
        """The step's health, with what the client says of its connections."""
        now, before = read_counters(self._proc, self._cgroups), self._before
        length_s = max(1e-9, now.monotonic_s - before.monotonic_s)
        lags_ns = sorted(self._lags_ns)
        stolen = None
        if now.stolen and before.stolen and now.stolen[1] > before.stolen[1]:
            ticks = now.stolen[1] - before.stolen[1]
            stolen = (now.stolen[0] - before.stolen[0]) / ticks
        return Health(
            run_delay_ratio=_ratio(now.run_delay_s, before.run_delay_s, length_s),
            loop_lag_p99_ms=lags_ns[math.ceil(0.99 * len(lags_ns)) - 1] / 1e6 if lags_ns else None,
            loop_lag_max_ms=lags_ns[-1] / 1e6 if lags_ns else None,
            gc_pause_ratio=self._gc_ns / NS_PER_S / length_s,
            clock_gap_s=_ratio(now.suspended_s, before.suspended_s, 1.0),
            host_steal_ratio=stolen,
            host_pressure_ratio=_ratio(now.pressure_s, before.pressure_s, length_s),
            throttled_ratio=_ratio(now.throttled_s, before.throttled_s, length_s),
            connections=connections,
            reopened=reopened,
        )

    def _collecting(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._gc_began_ns = time.monotonic_ns()
        else:
            self._gc_ns += time.monotonic_ns() - self._gc_began_ns


def _ratio(now: float | None, before: float | None, length_s: float) -> float | None:
    return None if now is None or before is None else max(0.0, now - before) / length_s


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (OSError, AttributeError, LookupError, StopIteration, ValueError):
        return None


def _suspended_s() -> float:
    # Read one after the other: what lies between them is microseconds.
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def _stolen(stat: str) -> tuple[int, int]:
    ticks = [int(word) for word in stat.split("\n", 1)[0].split()[1:9]]
    return ticks[7], sum(ticks)


def _pressure_s(pressure: str) -> float:
    some = next(line for line in pressure.splitlines() if line.startswith("some"))
    return int(some.rpartition("total=")[2]) / 1e6


def _throttled_s(membership: str, cgroups: Path) -> float:
    """Of the control group that `/proc/self/cgroup` names; version 1 counts in ns, 2 in us."""
    groups = [line.split(":", 2) for line in membership.splitlines()]
    [controllers, path] = next(x[1:] for x in groups if not x[1] or "cpu" in x[1].split(","))
    folder = cgroups / controllers / path.lstrip("/")
    # In a container the path may be the host's: its own group is then what is mounted.
    stat = folder / "cpu.stat"
    text = (stat if stat.exists() else cgroups / controllers / "cpu.stat").read_text()
    values = dict(line.split() for line in text.splitlines())
    if "throttled_time" in values:
        return int(values["throttled_time"]) / NS_PER_S
    return int(values["throttled_usec"]) / 1e6
