"""What keeps a candidate from carrying more, where the data shows it. Pure.

Busy CPUs are oversubscribed where more threads want them than there are CPUs and requests. A thread
for each request, of a pool of workers or of the connections, is nothing that takes CPU time away:
as many requests wait, whether in threads or in a queue.

A server at its latency limit is not busy all the time, whatever is short. So what is short is read
off its saturation: the closed steps whose throughput stopped growing with the users. Where none
shows that, or other processes of the machine took CPU time then, nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rightsizer.analysis.figures import StepFigures, TrialFigures
from rightsizer.analysis.maximum import is_flat
from rightsizer.analysis.validity import OF_GENERATOR
from rightsizer.units import counted, milliseconds, percent, significant

BottleneckCode = Literal[
    "generator",
    "oversubscribed",
    "accelerator-bound",
    "cpu-bound",
    "network",
    "memory",
    "queueing",
]
"""The one list; the README repeats it."""

BUSY_PERCENT = 90.0
"""Of CPUs or accelerators: fully busy but for the gaps between requests."""
FAR_FROM_BUSY_PERCENT = 60.0
"""Of CPUs: one of two kept busy by a single worker is half, and some."""
THREADS_A_CPU, THREADS_A_USER = 2.0, 1.5
"""Of an oversubscribed server at least. Measured on one CPU with 8 users: an event loop 1.0,
TensorFlow with one thread 1.1 and with four 3.3, thread pools of 2, 4 and 8 (and their loop) 2.5,
4.5 and 7.7, a thread for each connection 6.3."""
FULL_PERCENT = 90.0
"""Of memory: another worker would not fit."""
NETWORK_SHARE = 0.5
"""Of the latency at the maximum."""
CROWDED = frozenset({"host-pressure", "noisy-host"})
"""Doubts on a step in which other processes may have had the server's CPUs."""


@dataclass(frozen=True)
class Bottleneck:
    """What runs out first, and the figures that say so."""

    code: BottleneckCode
    evidence: str


def bottleneck_of(
    figures: TrialFigures, steps: Sequence[StepFigures], cpus: int
) -> Bottleneck | None:
    """The bottleneck of a candidate by its figures and judged steps on so many logical CPUs; None
    where not shown."""
    return _limited_from_outside(figures) or _saturated(figures, steps, cpus)


def _limited_from_outside(figures: TrialFigures) -> Bottleneck | None:
    for doubt in figures.doubts:
        if doubt.code == "generator-limited":
            return Bottleneck("generator", doubt.message)
        if doubt.code == "server-throttled":
            return Bottleneck("oversubscribed", doubt.message)
    return None


def _saturated(figures: TrialFigures, steps: Sequence[StepFigures], cpus: int) -> Bottleneck | None:
    step = saturation_of(steps)
    if step is None:
        return None
    at = f"where more users brought nothing more ({step.label})"
    accelerators, used = step.accelerator_utilization_percent, step.cpu_utilization_percent
    if accelerators is not None and accelerators >= BUSY_PERCENT:
        return Bottleneck("accelerator-bound", f"{_busy('accelerators', accelerators)} {at}")
    if used is not None and used >= BUSY_PERCENT:
        busy = f"{_busy('CPUs', used)} {at}"
        crowd = _crowd(steps, cpus)
        return Bottleneck("oversubscribed" if crowd else "cpu-bound", busy + crowd)
    # A reading lowered by other processes would look like a server that waits.
    codes = {doubt.code for doubt in step.doubts}
    if used is None or used > FAR_FROM_BUSY_PERCENT or codes & CROWDED:
        return None
    return _waiting(figures, step, f"{_busy('CPUs', used)} {at}")


def _crowd(steps: Sequence[StepFigures], cpus: int) -> str:
    """Where more threads wanted the CPUs than there are of these and of requests, in words; else
    empty. Pressure from other processes makes threads wait, and no more of them ready."""
    for step in steps:
        threads, users = step.runnable_threads, step.users
        if step.mode != "closed" or step.verdict == "invalid" or not threads or not users:
            continue
        if threads >= max(THREADS_A_CPU * cpus, THREADS_A_USER * users):
            wanted = f"{significant(threads, 2)} threads at once wanted {counted(cpus, 'CPU')}"
            return f", and {wanted} for {counted(users, 'user')}: fewer threads may do as well"
    return ""


def _waiting(figures: TrialFigures, step: StepFigures, idle: str) -> Bottleneck | None:
    """What a server waits for whose CPUs are far from busy at its saturation."""
    far = next((doubt for doubt in figures.doubts if doubt.code == "far-host"), None)
    if far is not None:
        network_ms, latency_ms = far.figures.get("value"), figures.model_latency_ms
        if not isinstance(network_ms, float) or not latency_ms:
            return None
        if network_ms >= NETWORK_SHARE * latency_ms:
            of = f"{milliseconds(network_ms)} of {milliseconds(latency_ms)} are the network's"
            return Bottleneck("network", f"{of}; {idle}")
    if (step.memory_utilization_percent or 0.0) >= FULL_PERCENT:
        memory = percent((step.memory_utilization_percent or 0.0) / 100)
        return Bottleneck("memory", f"memory {memory} full, {idle}: no room for another worker")
    if step.accelerator_utilization_percent is not None:
        return None  # busy in part: how much of it can be used is not known
    return Bottleneck("queueing", f"{idle}: requests wait for a worker, not for a CPU")


def saturation_of(steps: Sequence[StepFigures]) -> StepFigures | None:
    """The fastest closed step, where the throughput had stopped growing with the users.

    None too where the generator may have been what stopped it.
    """
    closed = [s for s in steps if s.mode == "closed" and s.verdict != "invalid" and s.users]
    levels: dict[int, StepFigures] = {}
    for step in sorted(closed, key=lambda step: step.achieved_per_s):
        levels[step.users or 0] = step
    if not is_flat({users: step.achieved_per_s for users, step in levels.items()}):
        return None
    ascending = [levels[users] for users in sorted(levels)]
    doubted = {doubt.code for step in ascending[-2:] for doubt in step.doubts}
    if doubted & (OF_GENERATOR - {"schedule-slip", "event-loop-lag"} | {"generator-busy"}):
        return None
    return max(ascending[1:] or ascending, key=lambda step: step.achieved_per_s)


def _busy(what: str, used_percent: float) -> str:
    return f"{what} {percent(used_percent / 100)} busy"
