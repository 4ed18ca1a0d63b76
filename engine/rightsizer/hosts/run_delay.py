"""How long a server's threads have waited for a CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rightsizer.hosts.tree import run_delays_ns
from rightsizer.units import NS_PER_S


class RunDelay:
    """Adds up what the kernel counts of each thread, so that it stays when the thread ends.

    What a thread waited after its last reading is missing, and so is one that began and ended
    between two: of a server that starts a thread for each request less is seen than there was.
    """

    def __init__(self) -> None:
        self._total_ns = 0
        self._told = False
        self._last: dict[int, int] = {}

    def read(self, pids: Sequence[int]) -> float | None:
        """Seconds in all, never less than the time before; None while no kernel has told."""
        return self.add({t: ns for pid in pids for t, ns in run_delays_ns(pid).items()})

    def add(self, delays_ns: Mapping[int, int]) -> float | None:
        """The same, given what each thread has waited since it began."""
        for thread, ns in delays_ns.items():
            known = self._last.get(thread, 0)
            # Less than it was: another thread with the same number.
            self._total_ns += ns - known if ns >= known else ns
        # Those that are gone too: readings may miss a process for a while, when its parent ends.
        self._last.update(delays_ns)
        self._told |= bool(delays_ns)
        return self._total_ns / NS_PER_S if self._told else None
