"""How many requests were read, over all serving processes.

The counters lie in memory that the processes share, each in cells of its own: nothing is locked,
and any of them can answer for all.
"""

from __future__ import annotations

import mmap

INVOCATIONS, PREDICTIONS, ANSWERED = range(3)
_CELLS = 3
_CELL_BYTES = 8


class Counts:
    """Make this before the processes are forked; each then counts under its own number."""

    def __init__(self, processes: int = 1) -> None:
        self._cells = memoryview(mmap.mmap(-1, processes * _CELLS * _CELL_BYTES)).cast("q")

    def add(self, process: int, kind: int) -> None:
        """One more. Only the process of that number may call it, from one thread."""
        self._cells[process * _CELLS + kind] += 1

    def totals(self) -> dict[str, int]:
        """The sums over all processes; `in_flight` was read and is not yet answered."""
        # Answers first: a request that is read meanwhile then counts as in flight, never as -1.
        answered, predictions, invocations = (
            sum(self._cells[kind::_CELLS]) for kind in (ANSWERED, PREDICTIONS, INVOCATIONS)
        )
        requests = invocations + predictions
        return {
            "requests": requests,
            "invocations": invocations,
            "predictions": predictions,
            "in_flight": requests - answered,
        }
