"""What a host tells of a trial's server. Plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """What the server's processes had used at `t_ns` (monotonic clock)."""

    t_ns: int
    cpu_s: float
    """User and system time of the whole process tree since it started."""
    memory_bytes: int
    """Memory of the tree, page cache left out."""
    throttled_s: float | None = None
    """Time in which a CPU quota held it up, since it started; None where the host cannot tell."""
    throttled_periods: int = 0
    """How many of a container's scheduling periods that was in part of, since it started."""
    accelerator_ratio: float | None = None
    """How busy its accelerators were of late, 0..1; None where nobody tells."""
    accelerator_bytes: int | None = None
    """Their memory in use, by whoever."""
    run_delay_s: float | None = None
    """Time its threads were ready to run and waited for a CPU, summed, since they started; None
    where the host cannot tell (a far machine, a kernel that does not count). Threads that lived
    between two readings are missing."""


@dataclass(frozen=True)
class Calibration:
    """What one thread on the server's CPUs got done before the server was there."""

    hashed_bytes_per_s: float
    """SHA-256: the processor's own speed."""
    copied_bytes_per_s: float
    """Of a block larger than a core's caches: the memory's."""
    duration_s: float
