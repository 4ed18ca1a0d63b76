"""On servers whose answers are known: what the pipeline makes of them. No judgement."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rightsizer.analysis.percentiles import nearest_rank, percentiles
from rightsizer.calibration.figures import Caching, Figures, Repeat, Stall, Truth
from rightsizer.calibration.known_maximum import known_maximum_per_s
from rightsizer.errors import Reason, TrialInvalid
from rightsizer.instrument.laws import LAWS
from rightsizer.schedule import Step, arrivals
from rightsizer.selftesting.bench import SEED, TRUTH_SERVER, Bench, Driven
from rightsizer.selftesting.extent import Extent

Floats = npt.NDArray[np.float64]

BODY_BYTES = 200
SERVICE_MS = 5.0
LIMITS_MS = {"exponential": 50.0, "fixed": 25.0}
"""P95 limits that each law's server meets at about 70% of its capacity."""
PERCENTILE, P = "P95", 0.95
STALL_PER_S, PAUSE_MS = 100.0, 500.0
CACHING_PER_S = 50.0
BODIES, KEPT = 256, 16
REPEAT_SERVICE_MS, REPEAT_PER_S = 2.0, 250.0
"""Short, so that a few seconds hold the 500 requests that an interval takes."""
ID_MASK = (1 << 40) - 1
"""The part of a request's id that counts the step's arrivals, from 1."""


def truth(bench: Bench, extent: Extent, law: str) -> Sequence[Figures]:
    """A search on a server whose maximum is known."""
    limit_ms = LIMITS_MS[law]
    true_per_s = known_maximum_per_s(LAWS[law], SERVICE_MS / 1e3, limit_ms / 1e3, P)
    name = f"truth-{law}"
    with bench.serving(name, TRUTH_SERVER, "--law", law, "--service-ms", str(SERVICE_MS)) as server:
        found = bench.measure(
            name,
            server,
            os.urandom(BODY_BYTES),
            limit_ms=limit_ms,
            percentile=PERCENTILE,
            budget_s=extent.truth_s,
            seed=SEED,
        )
    blocking = [doubt.message for doubt in found.doubts if doubt.severity == "blocks"]
    ci = found.max_invocations_per_min_ci
    return (
        Truth(
            law=law,
            service_ms=SERVICE_MS,
            percentile=PERCENTILE,
            limit_ms=limit_ms,
            budget_s=extent.truth_s,
            true_per_s=true_per_s,
            verdict=found.verdict,
            max_kind=found.max_kind,
            found_per_s=_per_s(found.max_invocations_per_min),
            found_per_s_ci=None if ci is None else (_per_s(ci[0]), _per_s(ci[1])),
            why_not="; ".join(blocking[:1]),
        ),
    )


def stall(bench: Bench, extent: Extent) -> Sequence[Figures]:
    """Whether what callers wait through a pause is in the percentiles."""
    name, every_s = "stall", extent.stall_s / 2
    log = bench.dir(name) / "answers.txt"
    pauses = ("--pause-ms", str(PAUSE_MS), "--every-s", str(every_s))
    step = Step(0, "open", extent.stall_s, rate_per_s=STALL_PER_S)
    with (
        bench.serving(name, TRUTH_SERVER, *pauses, "--log", str(log)) as server,
        bench.generator(name, server, [os.urandom(BODY_BYTES)]) as session,
    ):
        driven = bench.drive(session, step)
    p95_ms, p99_ms = percentiles(driven.latency_ms, [0.95, 0.99])
    if not log.exists():
        raise TrialInvalid(Reason.NO_SAMPLES, "the server was ended before it left its record")
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


def caching(bench: Bench, extent: Extent) -> Sequence[Figures]:
    """One body against many, where answers are kept and where they are not."""
    bodies = [os.urandom(BODY_BYTES) for _ in range(BODIES)]
    p50_ms: dict[int, list[float]] = {}
    failed = 0
    for kept in (KEPT, 0):
        name = f"caching-{kept}"
        arguments = ("--law", "fixed", "--cached-bodies", str(kept))
        with bench.serving(name, TRUTH_SERVER, *arguments) as server:
            for some in (bodies[:1], bodies):
                with bench.generator(f"{name}-{len(some)}", server, some) as session:
                    step = Step(0, "open", extent.caching_s, rate_per_s=CACHING_PER_S)
                    driven = bench.drive(session, step)
                p50_ms.setdefault(kept, []).append(nearest_rank(driven.latency_ms, 0.5))
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


def repeat(bench: Bench, extent: Extent) -> Sequence[Figures]:
    """One load twice, with other random numbers."""
    name = "repeat"
    with bench.serving(name, TRUTH_SERVER, "--service-ms", str(REPEAT_SERVICE_MS)) as server:
        first, second = (
            bench.measure(
                name,
                server,
                os.urandom(BODY_BYTES),
                traffic=f"rate:{REPEAT_PER_S:g}",
                percentile=PERCENTILE,
                duration_s=extent.repeat_s,
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


def _per_s(per_min: float | None) -> float | None:
    return None if per_min is None else per_min / 60.0


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
