"""On a server that does nothing: what the generator manages, and what it adds. No judgement."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rightsizer.analysis.percentiles import nearest_rank, percentiles
from rightsizer.calibration.figures import Ceiling, Figures, Floor
from rightsizer.schedule import Step, closed_step
from rightsizer.selftesting.bench import NULL_SERVER, Bench, Driven
from rightsizer.selftesting.extent import Extent

SMALL_BYTES, LARGE_BYTES = 200, 250_000
CONNECTIONS = 8
WARMUP_S = 0.5
FLOOR_PER_S = 200.0
FLOOR_SHARE = 0.2
"""Of the ceiling: busy enough to queue in the generator, far from its limit."""
BUSY_RATIO = 0.65
"""Of its core: a generator that is more than 70% busy weakens what it measures."""


def small_bodies(bench: Bench, extent: Extent) -> Sequence[Figures]:
    """Ceiling and floor with bodies that cost nothing to send."""
    return _null("null-small", bench, extent, SMALL_BYTES, (FLOOR_PER_S,))


def large_bodies(bench: Bench, extent: Extent) -> Sequence[Figures]:
    """The same with bodies that take time to send."""
    return _null("null-large", bench, extent, LARGE_BYTES, ())


def _null(
    name: str, bench: Bench, extent: Extent, body_bytes: int, rates_per_s: Sequence[float]
) -> Sequence[Figures]:
    """On a server that does nothing: closed, then open at the rates, at a share of the ceiling, and
    at the rate that should keep the generator as busy as it may be."""
    with (
        bench.serving(name, NULL_SERVER) as server,
        bench.generator(name, server, [os.urandom(body_bytes)]) as session,
    ):
        bench.drive(session, closed_step(0, CONNECTIONS, WARMUP_S))
        ceiling = _ceiling(
            bench.drive(session, closed_step(1, CONNECTIONS, extent.ceiling_s)), body_bytes
        )
        floors: list[Floor] = []

        def open_at(rate_per_s: float) -> None:
            rate_per_s = max(1.0, float(round(rate_per_s)))
            step = Step(2 + len(floors), "open", extent.floor_s, rate_per_s=rate_per_s)
            floors.append(_floor(bench.drive(session, step, WARMUP_S), body_bytes))

        for rate_per_s in (*rates_per_s, FLOOR_SHARE * ceiling.per_s):
            open_at(rate_per_s)
        # A request costs less the more there are: this errs to the safe side.
        each = floors[-1].generator_cpu_ratio / floors[-1].rate_per_s
        open_at(min(ceiling.per_s, BUSY_RATIO / max(each, 1e-9)))
    return ceiling, *floors


def _ceiling(driven: Driven, body_bytes: int) -> Ceiling:
    record, count = driven.record, max(1, len(driven.samples))
    return Ceiling(
        body_bytes=body_bytes,
        connections=CONNECTIONS,
        per_s=len(driven.samples) / driven.length_s,
        cpu_ms_per_request=record.generator_cpu_ratio * driven.length_s * 1e3 / count,
        generator_cpu_ratio=record.generator_cpu_ratio,
        run_delay_ratio=record.health.run_delay_ratio,
        failed=driven.failed,
    )


def _floor(driven: Driven, body_bytes: int) -> Floor:
    assert driven.record.step.rate_per_s is not None
    p50_ms, p99_ms = percentiles(driven.latency_ms, [0.5, 0.99])
    slip_ms = (driven.samples["start_ns"] - driven.samples["intended_ns"]) / 1e6
    return Floor(
        body_bytes=body_bytes,
        rate_per_s=driven.record.step.rate_per_s,
        n=len(driven.samples),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        slip_p99_ms=nearest_rank(slip_ms, 0.99),
        generator_cpu_ratio=driven.record.generator_cpu_ratio,
        run_delay_ratio=driven.record.health.run_delay_ratio,
        dropped=driven.dropped,
        failed=driven.failed,
    )
