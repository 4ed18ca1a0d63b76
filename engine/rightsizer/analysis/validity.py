"""Whether a step measured the server, by what the generator and its machine say of themselves.

A doubt that blocks makes the step invalid; it then defines no maximum. What the samples say is in
`delivery` (the instrument), `server_facts` (the server) and `steadiness`. How often each check
finds what it must, and is silent where nothing is wrong: `benchmarks/validity_matrix.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rightsizer.analysis.figures import Doubt, Severity, StepFigures
from rightsizer.traffic.records import Health
from rightsizer.units import percent, significant

GENERATOR = "give the generator a CPU of its own, or drive fewer requests a second"
HOST = "repeat it when the machine is quiet"


@dataclass(frozen=True)
class Check:
    """A figure of `Health`, the most that is worth no doubt, and the most that does not block.

    Clean machines stay well below the first: run delay to 3%, steal to 1%, pauses and gaps of none.
    Beyond the second a maximum may be off by more than a tenth. Pauses weigh most: of P95 five
    requests in a hundred decide. What the hypervisor takes is missing in the server's rate as well.
    """

    code: str
    value: Callable[[Health], float | None]
    allowed: float
    blocks: float
    says: Callable[[float], str]
    next_step: str
    mildly: Severity = "weakens"


CHECKS = (
    Check(
        "generator-starved",
        lambda health: health.run_delay_ratio,
        0.05,
        0.2,
        lambda x: f"the generator waited for a CPU {percent(x)} of the time",
        GENERATOR,
    ),
    Check(
        "generator-paused",
        lambda health: health.gc_pause_ratio,
        0.01,
        0.02,
        lambda x: f"the generator collected garbage {percent(x)} of the time",
        "drive smaller replies or fewer requests a second",
    ),
    Check(
        "generator-throttled",
        lambda health: health.throttled_ratio,
        0.01,
        0.02,
        lambda x: f"the CPU quota of the generator's container held it up {percent(x)} of the time",
        "give the generator's container a larger CPU quota, or none",
    ),
    Check(
        "clock-gap",
        lambda health: health.clock_gap_s,
        0.01,
        0.1,
        lambda x: f"the machine was suspended for {significant(x)} s",
        "repeat it without suspending the machine",
    ),
    Check(
        "noisy-host",
        lambda health: health.host_steal_ratio,
        0.02,
        0.05,
        lambda x: f"the hypervisor took {percent(x)} of the machine's CPU time",
        HOST,
    ),
    # A server with more threads than CPUs on this machine waits for them by right: a note, no more.
    Check(
        "host-pressure",
        lambda health: health.host_pressure_ratio,
        0.2,
        math.inf,
        lambda x: (
            f"some process on the generator's machine waited for a CPU {percent(x)} of "
            "the time; the server, if it runs there, may be it"
        ),
        "if the server runs elsewhere, see what else runs on the generator's machine",
        "note",
    ),
)


VOIDED_BY = frozenset(
    {
        "generator-starved",
        "generator-paused",
        "generator-throttled",
        "generator-dropped",
        "clock-gap",
        "noisy-host",
        "schedule-slip",
        "event-loop-lag",
        "off-schedule",
    }
)
"""Doubts that speak of the machine in that moment: another try may not meet them."""


OF_GENERATOR = frozenset(
    {
        "generator-limited",
        "generator-starved",
        "generator-paused",
        "generator-throttled",
        "generator-dropped",
        "event-loop-lag",
        "schedule-slip",
        "off-schedule",
    }
)
"""Doubts that say that the generator did not do what it was asked to."""


def is_void(step: StepFigures) -> bool:
    """Whether the machine alone spoilt the step, so that another try may well succeed."""
    blocking = {doubt.code for doubt in step.doubts if doubt.severity == "blocks"}
    return bool(blocking) and blocking <= VOIDED_BY


def is_beyond_generator(step: StepFigures) -> bool:
    """Whether the generator, not the server, was what the step found the limit of."""
    return any(doubt.severity == "blocks" and doubt.code in OF_GENERATOR for doubt in step.doubts)


def health_doubts(health: Health) -> list[Doubt]:
    """What the generator and its machine say of themselves."""
    found = []
    for check in CHECKS:
        value = check.value(health)
        if value is not None and value > check.allowed:
            severity: Severity = "blocks" if value > check.blocks else check.mildly
            figures = {"value": value, "allowed": check.allowed}
            found.append(Doubt(check.code, severity, check.says(value), check.next_step, figures))
    if health.lost_workers:
        lost = f"{health.lost_workers} of the generator's processes ended in the step"
        figures = {"value": float(health.lost_workers), "allowed": 0.0}
        found.append(Doubt("worker-lost", "blocks", lost, "repeat it", figures))
    return found
