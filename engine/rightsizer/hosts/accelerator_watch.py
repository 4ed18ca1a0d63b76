"""What a trial's accelerators do, by their vendors' own tools, which print without end."""

from __future__ import annotations

import bisect
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rightsizer.accelerators import Accelerator
from rightsizer.hosts.accelerator_probe import tool
from rightsizer.hosts.base import Launch
from rightsizer.hosts.owner import GuardedOwner, SpawnRefused
from rightsizer.hosts.records import Usage
from rightsizer.units import BYTES_PER_MIB, NS_PER_S

NAME = "accelerators"
"""The tool's, among the guardian's children."""
EVERY_S = 1
STALE_NS = 5 * NS_PER_S
"""A reading that is older says nothing any more."""
END_S = 1.0
PASSED_ON = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Reading:
    """What a trial's accelerators did at `t_ns` (monotonic clock)."""

    t_ns: int
    busy_ratio: float
    """0..1, the mean of all of them."""
    memory_bytes: int
    """Of all of them together."""


class AcceleratorWatch:
    """Readings so far; none where no tool can tell."""

    def __init__(self) -> None:
        self._readings: list[Reading] = []

    def beside(self, usage: Sequence[Usage]) -> list[Usage]:
        """A server's readings, each with the latest of its accelerators."""
        return beside(usage, list(self._readings))

    def read(self, descriptor: int, parse: Callable[[str], tuple[float, int] | None]) -> None:
        """Lines until the tool ends."""
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                found = parse(line)
                if found is not None:
                    self._readings.append(Reading(time.monotonic_ns(), *found))


@contextmanager
def accelerator_watch(owner: GuardedOwner, launch: Launch) -> Iterator[AcceleratorWatch]:
    """Watch the accelerators of a launch. Of a far host, or slices of a GPU, nothing is told."""
    watch = AcceleratorWatch()
    placement = launch.placement
    told = [a for a in placement.accelerators if not a.is_slice and not placement.far]
    if not told:
        yield watch
        return
    command, parse = _nvidia(told) if told[0].maker == "nvidia" else _neuron(told, launch.trial_dir)
    reading, writing = os.pipe()
    thread = threading.Thread(target=watch.read, args=(reading, parse), daemon=True, name=NAME)
    thread.start()
    try:
        _spawn(owner, command, launch, writing)
        yield watch
    finally:
        owner.end(NAME, END_S)
        thread.join(END_S)


def _spawn(owner: GuardedOwner, command: Sequence[str], launch: Launch, stdout: int) -> None:
    program = tool(command[0])
    with open(os.devnull, "rb") as nothing, os.fdopen(stdout, "wb"):
        if program is None:
            return
        with contextlib.suppress(SpawnRefused):  # without it the trial is no less valid
            owner.spawn(
                NAME,
                [program, *command[1:]],
                environment={name: os.environ[name] for name in PASSED_ON if name in os.environ},
                working_dir=launch.trial_dir,
                cpus=launch.placement.generator_cpus,
                log=launch.trial_dir / f"{NAME}.log",
                stdin=nothing.fileno(),
                stdout=stdout,
            )


def beside(usage: Sequence[Usage], readings: Sequence[Reading]) -> list[Usage]:
    """Each reading of a server with the latest one of its accelerators, unless that is stale."""
    times = [reading.t_ns for reading in readings]
    found = []
    for one in usage:
        at = bisect.bisect_right(times, one.t_ns) - 1
        if at >= 0 and one.t_ns - times[at] <= STALE_NS:
            last = readings[at]
            one = replace(
                one, accelerator_ratio=last.busy_ratio, accelerator_bytes=last.memory_bytes
            )
        found.append(one)
    return found


# -- the tools ---------------------------------------------------------------------------------


class NvidiaLines:
    """Lines of `uuid, utilization.gpu, memory.used`, one a GPU and second: %, MiB."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = set(ids)
        self._seen: dict[str, tuple[float, int]] = {}

    def __call__(self, line: str) -> tuple[float, int] | None:
        """Mean ratio and bytes in all, once every GPU has had its line."""
        id, *cells = (cell.strip() for cell in line.split(","))
        try:
            busy_percent, used_mib = map(float, cells)
        except ValueError:  # "[N/A]", or a warning
            return None
        if id in self._ids:
            self._seen[id] = (busy_percent / 100.0, int(used_mib * BYTES_PER_MIB))
        if len(self._seen) < len(self._ids):
            return None
        ratios, used = zip(*self._seen.values(), strict=True)
        self._seen = {}
        return sum(ratios) / len(ratios), sum(used)


def _nvidia(told: Sequence[Accelerator]) -> tuple[list[str], Callable[[str], Any]]:
    ids = [found.id for found in told]
    command = [
        "nvidia-smi",
        "--query-gpu=uuid,utilization.gpu,memory.used",
        "--format=csv,noheader,nounits",
        f"--loop={EVERY_S}",
    ]
    return command, NvidiaLines(ids)


def neuron_line(line: str, cores: frozenset[int]) -> tuple[float, int] | None:
    """A report of neuron-monitor, of one runtime a process: mean ratio of the cores, and bytes."""
    try:
        reports = [data["report"] for data in json.loads(line)["neuron_runtime_data"]]
        busy: dict[int, float] = {}
        used_bytes = 0
        for report in reports:
            in_use: Mapping[str, Any] = report["neuroncore_counters"]["neuroncores_in_use"]
            own = {int(core): of["neuroncore_utilization"] for core, of in in_use.items()}
            if own.keys() & cores:
                busy.update(own)
                used_bytes += report["memory_used"]["neuron_runtime_used_bytes"]["neuron_device"]
        return sum(busy.get(core, 0.0) for core in cores) / len(cores) / 100.0, int(used_bytes)
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        return None


def _neuron(
    told: Sequence[Accelerator], folder: Path
) -> tuple[list[str], Callable[[str], tuple[float, int] | None]]:
    cores = frozenset(core for found in told for core in found.cores)
    metrics = [{"type": "neuroncore_counters"}, {"type": "memory_used"}]
    settings = folder / "neuron-monitor.json"
    settings.write_text(
        json.dumps(
            {
                "period": f"{EVERY_S}s",
                "neuron_runtimes": [{"tag_filter": ".*", "metrics": metrics}],
                "system_metrics": [],
            }
        )
    )
    return ["neuron-monitor", "-c", str(settings)], lambda line: neuron_line(line, cores)
