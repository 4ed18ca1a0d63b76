"""What the server used of its instance while it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from rightsizer.analysis.windows import Floats, Window
from rightsizer.hosts.records import Usage
from rightsizer.units import NS_PER_S


def cpu_percent(usage: Sequence[Usage], windows: Sequence[Window], vcpus: int) -> float | None:
    """Mean CPU use of the instance's CPUs over the windows, 0..100."""
    if len(usage) < 2 or not vcpus:
        return None
    times, spent = _series([(reading.t_ns, reading.cpu_s) for reading in usage])
    used_s, length_s = _growth(times, spent, windows)
    if length_s <= 0:
        return None
    return min(100.0, 100.0 * used_s / length_s / vcpus)


def runnable_threads(usage: Sequence[Usage], windows: Sequence[Window]) -> float | None:
    """Mean number of threads that ran or were ready to.

    Others that take the CPUs do not change it where all are busy: what a thread then waits more it
    runs less. A thread with gaps is ready for longer beside them.
    """
    told = [(r.t_ns, r.cpu_s + r.run_delay_s) for r in usage if r.run_delay_s is not None]
    if len(told) < 2:
        return None
    times, runnable = _series(told)
    runnable_s, length_s = _growth(times, runnable, windows)
    return runnable_s / length_s if length_s > 0 else None


def memory_percent(
    usage: Sequence[Usage], windows: Sequence[Window], memory_bytes: int
) -> float | None:
    """Peak memory over the windows as a share of the instance's, 0..100."""
    seen = [
        reading.memory_bytes
        for before, reading in pairwise(usage)
        for window in windows
        if before.t_ns < window.end_ns and reading.t_ns >= window.begin_ns
    ]
    return min(100.0, 100.0 * max(seen) / memory_bytes) if seen and memory_bytes > 0 else None


def accelerator_percent(usage: Sequence[Usage], windows: Sequence[Window]) -> float | None:
    """Mean of the readings in the windows, 0..100."""
    seen = [
        reading.accelerator_ratio
        for reading in usage
        for window in windows
        if reading.accelerator_ratio is not None and window.begin_ns <= reading.t_ns < window.end_ns
    ]
    return 100.0 * sum(seen) / len(seen) if seen else None


def _series(readings: Sequence[tuple[float, ...]]) -> Floats:
    """Columns of readings, the first one instants: shape (columns, readings)."""
    return np.array(readings, dtype=np.float64).T


def _growth(times: Floats, counter: Floats, windows: Sequence[Window]) -> tuple[float, float]:
    """(how much a counter grew in the windows, s of them that were read), by straight lines."""
    grown = length_s = 0.0
    for window in windows:
        begin, end = max(window.begin_ns, times[0]), min(window.end_ns, times[-1])
        if end > begin:
            grown += float(np.interp(end, times, counter) - np.interp(begin, times, counter))
            length_s += (end - begin) / NS_PER_S
    return grown, length_s
