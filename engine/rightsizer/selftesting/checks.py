"""What is measured in each check: figures, no judgement."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rightsizer.analysis.percentiles import nearest_rank, percentiles
from rightsizer.calibration.figures import Caching, Ceiling, Figures, Floor, Repeat, Stall, Truth
from rightsizer.calibration.known_maximum import known_maximum_per_s
from rightsizer.instrument.laws import LAWS
from rightsizer.schedule import Step, arrivals, closed_step
from rightsizer.selftesting.bench import NULL_SERVER, SEED, TRUTH_SERVER, Bench, Driven

Floats = npt.NDArray[np.float64]

SMALL_BYTES, LARGE_BYTES = 200, 250_000
CONNECTIONS = 8
WARMUP_S = 0.5
FLOOR_PER_S = 200.0
FLOOR_SHARE = 0.2
"""Of the ceiling: busy enough to queue in the generator, far from its limit."""
SERVICE_MS = 5.0
LIMITS_MS = {"exponential": 50.0, "fixed": 25.0}
"""P95 limits that each law's server meets at about 70% of its capacity."""
PERCENTILE, P = "P95", 0.95
STALL_PER_S, PAUSE_MS = 100.0, 500.0
CACHING_PER_S = 50.0
BODIES, KEPT = 256, 16
REPEAT_PER_S = 100.0
ID_MASK = (1 << 40) - 1
"""The part of a request's id that counts the step's arrivals, from 1."""


@dataclass(frozen=True)
class Lengths:
    """How long each check drives its steps, s."""

    ceiling_s: float
    floor_s: float
    truth_s: float
    stall_s: float
    caching_s: float
    repeat_s: float


def small_bodies(bench: Bench, lengths: Lengths) -> Sequence[Figures]:
    """Ceiling, and the floor at two rates."""
    name, body = "null-small", os.urandom(SMALL_BYTES)
    with (
        bench.serving(name, NULL_SERVER) as server,
        bench.generator(name, server, [body]) as session,
    ):
        bench.drive(session, closed_step(0, CONNECTIONS, WARMUP_S))
        ceiling = _ceiling(
            bench.drive(session, closed_step(1, CONNECTIONS, lengths.ceiling_s)), SMALL_BYTES
        )
        rates = (FLOOR_PER_S, max(1.0, float(round(FLOOR_SHARE * ceiling.per_s))))
        steps = [
            Step(2 + i, "open", lengths.floor_s, rate_per_s=rate) for i, rate in enumerate(rates)
        ]
        return ceiling, *(_floor(bench.drive(session, step)) for step in steps)


def large_bodies(bench: Bench, lengths: Lengths) -> Sequence[Figures]:
    """The ceiling of bodies that take time to send."""
    name, body = "null-large", os.urandom(LARGE_BYTES)
    with (
        bench.serving(name, NULL_SERVER) as server,
        bench.generator(name, server, [body]) as session,
    ):
        bench.drive(session, closed_step(0, CONNECTIONS, WARMUP_S))
        step = closed_step(1, CONNECTIONS, lengths.ceiling_s)
        return (_ceiling(bench.drive(session, step), LARGE_BYTES),)


def truth(bench: Bench, lengths: Lengths, law: str) -> Sequence[Figures]:
    """A search on a server whose maximum is known."""
    limit_ms = LIMITS_MS[law]
    true_per_s = known_maximum_per_s(LAWS[law], SERVICE_MS / 1e3, limit_ms / 1e3, P)
    name = f"truth-{law}"
    with bench.serving(name, TRUTH_SERVER, "--law", law, "--service-ms", str(SERVICE_MS)) as server:
        found = bench.measure(
            name,
            server,
            os.urandom(SMALL_BYTES),
            limit_ms=limit_ms,
            percentile=PERCENTILE,
            budget_s=lengths.truth_s,
            seed=SEED,
        )
    blocking = [doubt.message for doubt in found.doubts if doubt.severity == "blocks"]
    maximum, ci = found.max_invocations_per_min, found.max_invocations_per_min_ci
    return (
        Truth(
            law=law,
            service_ms=SERVICE_MS,
            percentile=PERCENTILE,
            limit_ms=limit_ms,
            true_per_s=true_per_s,
            verdict=found.verdict,
            max_kind=found.max_kind,
            found_per_s=None if maximum is None else maximum / 60,
            found_per_s_ci=None
            if ci is None
            else (
                None if ci[0] is None else ci[0] / 60,
                None if ci[1] is None else ci[1] / 60,
            ),
            why_not="; ".join(blocking[:1]),
        ),
    )


def stall(bench: Bench, lengths: Lengths) -> Sequence[Figures]:
    """Whether what callers wait through a pause is in the percentiles."""
    name, every_s = "stall", lengths.stall_s / 2
    log = bench.dir(name) / "answers.txt"
    pauses = ("--pause-ms", str(PAUSE_MS), "--every-s", str(every_s))
    step = Step(0, "open", lengths.stall_s, rate_per_s=STALL_PER_S)
    with (
        bench.serving(name, TRUTH_SERVER, *pauses, "--log", str(log)) as server,
        bench.generator(name, server, [os.urandom(SMALL_BYTES)]) as session,
    ):
        driven = bench.drive(session, step)
    p95_ms, p99_ms = percentiles(_latency_ms(driven), [0.95, 0.99])
    recorded = np.loadtxt(log, dtype=np.int64, ndmin=2)
    true_p95_ms, true_p99_ms = percentiles(_true_latency_ms(driven, recorded), [0.95, 0.99])
    return (
        Stall(
            rate_per_s=STALL_PER_S,
            pause_ms=PAUSE_MS,
            every_s=every_s,
            n=len(driven.samples),
            p95_ms=p95_ms,
            true_p95_ms=true_p95_ms,
            p99_ms=p99_ms,
            true_p99_ms=true_p99_ms,
            failed=driven.failed,
        ),
    )


def caching(bench: Bench, lengths: Lengths) -> Sequence[Figures]:
    """One body against many, where answers are kept and where they are not."""
    bodies = [os.urandom(SMALL_BYTES) for _ in range(BODIES)]
    p50_ms: dict[int, list[float]] = {}
    failed = 0
    for kept in (KEPT, 0):
        name = f"caching-{kept}"
        arguments = ("--law", "fixed", "--cached-bodies", str(kept))
        with bench.serving(name, TRUTH_SERVER, *arguments) as server:
            for some in (bodies[:1], bodies):
                with bench.generator(f"{name}-{len(some)}", server, some) as session:
                    step = Step(0, "open", lengths.caching_s, rate_per_s=CACHING_PER_S)
                    driven = bench.drive(session, step)
                p50_ms.setdefault(kept, []).append(nearest_rank(_latency_ms(driven), 0.5))
                failed += driven.failed
    return (
        Caching(
            bodies=BODIES,
            cached_one_p50_ms=p50_ms[KEPT][0],
            cached_many_p50_ms=p50_ms[KEPT][1],
            plain_one_p50_ms=p50_ms[0][0],
            plain_many_p50_ms=p50_ms[0][1],
            failed=failed,
        ),
    )


def repeat(bench: Bench, lengths: Lengths) -> Sequence[Figures]:
    """One load twice, with other random numbers."""
    name = "repeat"
    with bench.serving(name, TRUTH_SERVER, "--service-ms", str(SERVICE_MS)) as server:
        first, second = (
            bench.measure(
                name,
                server,
                os.urandom(SMALL_BYTES),
                traffic=f"rate:{REPEAT_PER_S:g}",
                percentile=PERCENTILE,
                duration_s=lengths.repeat_s,
                seed=seed,
            )
            for seed in (SEED, SEED + 1)
        )
    assert first.latency_ms is not None
    assert second.latency_ms is not None
    return (
        Repeat(
            rate_per_s=REPEAT_PER_S,
            percentile=PERCENTILE,
            latency_ms=(first.latency_ms, second.latency_ms),
            latency_ms_ci=(first.latency_ms_ci, second.latency_ms_ci),
        ),
    )


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


def _floor(driven: Driven) -> Floor:
    assert driven.record.step.rate_per_s is not None
    p50_ms, p99_ms = percentiles(_latency_ms(driven), [0.5, 0.99])
    slip_ms = (driven.samples["start_ns"] - driven.samples["intended_ns"]) / 1e6
    return Floor(
        body_bytes=SMALL_BYTES,
        rate_per_s=driven.record.step.rate_per_s,
        n=len(driven.samples),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        slip_p99_ms=nearest_rank(slip_ms, 0.99),
        failed=driven.failed,
    )


def _latency_ms(driven: Driven) -> Floats:
    """From the intended starts, as callers see it."""
    latency: Floats = (driven.samples["end_ns"] - driven.samples["intended_ns"]) / 1e6
    return latency


def _true_latency_ms(driven: Driven, recorded: npt.NDArray[np.int64]) -> Floats:
    """From the instants of the schedule to the server's own record of its answers.

    `recorded` has shape (n, 3): read and answered, ns of the same clock, and the request's id.
    """
    record = driven.record
    instants_s = np.fromiter(arrivals(record.step, SEED), dtype=np.float64)
    intended_ns = (instants_s * 1e9).astype(np.int64) + record.begin_ns
    numbers = (recorded[:, 2] & ID_MASK) - 1
    latency: Floats = (recorded[:, 1] - intended_ns[numbers]) / 1e6
    return latency
