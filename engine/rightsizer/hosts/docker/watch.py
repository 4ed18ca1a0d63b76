"""What is watched of a running container, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rightsizer.addresses import is_far
from rightsizer.hosts.docker.engine import Engine, EngineGone, Refused, Stream
from rightsizer.hosts.records import Usage
from rightsizer.hosts.run_delay import RunDelay
from rightsizer.hosts.tree import descendants
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


def processes_of(container: str, pid: int, proc: Path = Path("/proc")) -> list[int]:
    """A container's processes, by the number that its engine gives the first.

    Empty where that is another's number here: the engine may run in a machine or container of its
    own. The control group's name tells.
    """
    try:
        groups = (proc / str(pid) / "cgroup").read_text()
    except OSError:
        return []
    return [pid, *descendants(pid)] if container in groups else []


class Watch:
    """Collects a container's usage, and learns of its processes that are killed for memory."""

    def __init__(self, engine: Engine, container: str) -> None:
        """Begin; where the streams end, whoever asks for the container's state learns why.

        Raises:
            EngineGone, Refused: it does not answer, or not with a stream.
        """
        self._engine, self._container = engine, container
        self._usage: list[Usage] = []
        self._followed: list[tuple[Stream, threading.Thread]] = []
        self.ran_out = False
        """Whether a process of it was killed for memory."""
        try:
            self._follow(engine.events(container), self._listen, "container-events")
            self._follow(engine.readings(container), self._read, "container-usage")
        except BaseException:
            self.close()
            raise

    def usage(self) -> list[Usage]:
        """Readings so far, oldest first."""
        return list(self._usage)

    def close(self) -> None:
        """End the threads."""
        for stream, _ in self._followed:
            stream.close()
        for _, thread in self._followed:
            thread.join(END_S)

    def _follow(self, stream: Stream, take: Callable[[Stream], None], name: str) -> None:
        thread = threading.Thread(target=take, args=(stream,), daemon=True, name=name)
        self._followed.append((stream, thread))
        thread.start()

    def _read(self, readings: Stream) -> None:
        delay = RunDelay()
        pid: int | None = None
        for reading in readings:
            usage = usage_of(reading, time.monotonic_ns())
            if usage is None:
                continue
            if pid is None:  # once: a call holds the readings up
                pid = self._first_process()
            waited_s = delay.read(processes_of(self._container, pid))
            self._usage.append(replace(usage, run_delay_s=waited_s))

    def _first_process(self) -> int:
        """Its number; 0 on another machine, whose processes cannot be read."""
        if is_far(self._engine.address):
            return 0
        try:
            return int(self._engine.inspect(self._container)["State"]["Pid"])
        except (EngineGone, Refused):
            return 0

    def _listen(self, events: Stream) -> None:
        for event in events:
            self.ran_out |= event.get("Action") == "oom"
