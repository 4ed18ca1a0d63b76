"""What a load generator tells of a step, while it runs and after it. Plain values."""

from __future__ import annotations

from dataclasses import dataclass

from rightsizer.schedule import Step


@dataclass(frozen=True)
class Progress:
    """A look at a running step, about once a second. Latency from the last seconds' samples."""

    elapsed_s: float
    users: int
    """Closed: users at work. Open: requests in flight."""
    attempted: int
    succeeded: int
    errors: int
    per_s: float
    """Invocations per second over the last seconds."""
    p95_ms: float | None
    committed: int = 0
    """Samples in the files by now, earlier steps' included: what an early judgement may read."""


@dataclass(frozen=True)
class Health:
    """How the generator itself fared in a step, and its machine; None where it cannot be told.

    Ratios are of the step's length.
    """

    run_delay_ratio: float | None = None
    """Ready to run but waiting for a CPU (`/proc/self/schedstat`)."""
    loop_lag_p99_ms: float | None = None
    """How late the event loop woke from a sleep on a 10 ms grid."""
    loop_lag_max_ms: float | None = None
    gc_pause_ratio: float | None = None
    clock_gap_s: float | None = None
    """Time the machine was suspended: the boot-time clock against the monotonic one."""
    host_steal_ratio: float | None = None
    """CPU time taken by the hypervisor, over all CPUs' (`/proc/stat`)."""
    host_pressure_ratio: float | None = None
    """Time in which some task on the machine waited for a CPU (`/proc/pressure/cpu`)."""
    throttled_ratio: float | None = None
    """Held up by the CPU quota of the generator's own control group (`cpu.stat`)."""
    connections: int = 0
    """Open at the step's end, busy or idle."""
    reopened: int = 0
    """Connections that the server had closed and that were opened again."""
    lost_workers: int = 0
    """Generator processes that ended in the step."""


@dataclass(frozen=True)
class StepRecord:
    """What a driven step left behind. Times are ns of the generator's monotonic clock."""

    step: Step
    begin_ns: int
    end_ns: int
    """When the last request was let go; what was then in flight was drained."""
    drained_ns: int
    committed: int
    """Samples in the files once the step was drained, this step's included."""
    complete: bool
    """False when the step was cut short."""
    journal: tuple[tuple[int, int], ...]
    """(ns, users) of each actual change of the number of users."""
    generator_cpu_ratio: float
    """CPU time of the generator over the step's length: 1 is one whole core."""
    content_checked: int = 0
    content_refused: int = 0
    """Replies whose content was looked at, and those that lacked what it must contain."""
    health: Health = Health()


@dataclass(frozen=True)
class Reach:
    """What the network to a far server adds to a request."""

    round_trip_ms: float
    send_ms: float | None
    """For the largest body, beyond the round trip; None where it cannot be told."""
