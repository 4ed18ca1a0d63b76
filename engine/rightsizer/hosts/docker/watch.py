"""What is watched of a running container, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from rightsizer.hosts.base import Usage
from rightsizer.hosts.docker.engine import Engine
from rightsizer.units import NS_PER_S

END_S = 2.0


def usage_of(reading: Mapping[str, Any], t_ns: int) -> Usage | None:
    """A reading of the engine as ours; None of a container that does not run (any more)."""
    cpu, memory = reading.get("cpu_stats") or {}, reading.get("memory_stats") or {}
    used_bytes = memory.get("usage")
    if not used_bytes:
        return None
    parts, held_up = memory.get("stats") or {}, cpu.get("throttling_data") or {}
    # Control groups version 1 count a tree's cache as total_inactive_file, version 2 as the other.
    cache_bytes = parts.get("total_inactive_file", parts.get("inactive_file", 0))
    return Usage(
        t_ns=t_ns,
        cpu_s=cpu["cpu_usage"]["total_usage"] / NS_PER_S,
        memory_bytes=max(0, used_bytes - cache_bytes),
        throttled_s=held_up.get("throttled_time", 0) / NS_PER_S,
        throttled_periods=held_up.get("throttled_periods", 0),
    )


class Watch:
    """Collects a container's usage, and learns of its processes that are killed for memory."""

    def __init__(self, engine: Engine, container: str) -> None:
        """Begin; where the streams end, whoever asks for the container's state learns why.

        Raises:
            EngineGone: it does not answer.
        """
        self._usage: list[Usage] = []
        self._events, self._readings = engine.events(container), engine.readings(container)
        self.ran_out = False
        """Whether a process of it was killed for memory."""
        self._threads = [
            threading.Thread(target=self._read, daemon=True, name="container-usage"),
            threading.Thread(target=self._listen, daemon=True, name="container-events"),
        ]
        for thread in self._threads:
            thread.start()

    def usage(self) -> list[Usage]:
        """Readings so far, oldest first."""
        return list(self._usage)

    def close(self) -> None:
        """End the threads."""
        for stream in (self._events, self._readings):
            stream.close()
        for thread in self._threads:
            thread.join(END_S)

    def _read(self) -> None:
        for reading in self._readings:
            usage = usage_of(reading, time.monotonic_ns())
            if usage is not None:
                self._usage.append(usage)

    def _listen(self) -> None:
        for event in self._events:
            self.ran_out |= event.get("Action") == "oom"
