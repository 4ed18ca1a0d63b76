"""Builders: a job as the demo leaves it, three of four candidates recommended."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rightsizer.analysis import doubts
from rightsizer.analysis.figures import (
    CurvePoint,
    Doubt,
    PayloadFigures,
    Requests,
    StepFigures,
    TrialFigures,
    Verdict,
)
from rightsizer.candidates import Candidate
from rightsizer.effects import effects_of
from rightsizer.errors import Reason, TrialState
from rightsizer.fleets import Price
from rightsizer.interactions import interactions_of
from rightsizer.machines import Placement
from rightsizer.recommendation import recommend
from rightsizer.results import Job
from rightsizer.spec import TargetSpec
from rightsizer.trials import Measurement, TrialRecord

GOLDEN = Path(__file__).parents[1] / "golden" / "report"

LIMIT: dict[str, Any] = {"percentile": "P95", "latency_ms": 250.0, "max_error_ratio": 0.01}
TARGET: dict[str, Any] = {
    "invocations_per_min": 300.0,
    "max_utilisation_ratio": 1.0,
    "min_instances": 1,
    "spare_instances": 0,
}
PLACEMENT = Placement((1,), (0,), "native", 12 * 1024**3, shared_core=True)
COST_MODEL = Price(0.016986, "cost model")


def assert_golden(name: str, text: str) -> None:
    """Compare with a file of tests/golden/report; RIGHTSIZER_UPDATE_GOLDEN=1 writes it."""
    path = GOLDEN / name
    if os.environ.get("RIGHTSIZER_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    with path.open(encoding="utf-8", newline="") as file:
        assert text == file.read(), f"{name} differs; RIGHTSIZER_UPDATE_GOLDEN=1 accepts it"


def step(
    users: int, per_s: float, p95_ms: float, verdict: Verdict = "within-limits", n: int = 120
) -> StepFigures:
    """A closed step's figures."""
    mean = Requests(attempted=n, succeeded=n)
    share = {"large.jpg": (0.25, 0.83), "small.jpg": (0.75, 0.17)}
    return StepFigures(
        mode="closed",
        label=f"{users} user{'s' if users != 1 else ''}",
        users=users,
        rate_per_s=None,
        window_s=13.5,
        n=n,
        achieved_per_s=per_s,
        achieved_per_s_ci=(per_s * 0.96, per_s * 1.04),
        p50_ms=p95_ms * 0.5,
        p90_ms=p95_ms * 0.9,
        p95_ms=p95_ms,
        p99_ms=p95_ms * 1.1,
        latency_ms=p95_ms,
        latency_ms_ci=None,
        error_ratio=0.0,
        requests=mean,
        by_payload={
            name: PayloadFigures(int(n * sent), p95_ms * 0.5, p95_ms, above)
            for name, (sent, above) in share.items()
        },
        cpu_utilization_percent=97.25,
        memory_utilization_percent=11.5,
        generator_cpu_ratio=0.04,
        verdict=verdict,
    )


def usual_doubts(above: float = 0.83) -> tuple[Doubt, ...]:
    """What every row of the demo carries."""
    figures = PayloadFigures(30, 100.0, 200.0, above)
    return (
        doubts.no_interval(13.5),
        doubts.one_payload("large.jpg", figures, 0.25, "P95"),
        doubts.shared_core(),
        doubts.closed_basis(),
        doubts.one_start(),
        doubts.loopback(),
    )


def measured(
    ordinal: int,
    environment: Mapping[str, str],
    per_min: float,
    latency_ms: float = 212.4,
    instance_type: str = "local.1cpu",
    **changes: Any,
) -> TrialRecord:
    """A trial that found a maximum; `changes` are to its figures."""
    steps = (
        step(1, per_min / 60 * 0.9, 118.2),
        step(2, per_min / 60, latency_ms),
        step(3, per_min / 60 * 0.99, 331.0, "over-latency"),
    )
    figures = TrialFigures(
        basis="closed",
        max_invocations_per_min=per_min,
        max_invocations_per_min_ci=(per_min * 0.96, per_min * 1.04),
        max_kind="estimate",
        percentile="P95",
        model_latency_ms=latency_ms,
        model_latency_ms_ci=None,
        unloaded_latency_ms=118.2,
        cpu_utilization_percent=97.25,
        memory_utilization_percent=11.5,
        curve=tuple(
            CurvePoint(s.achieved_per_s, s.p50_ms, s.p95_ms, s.p99_ms, 97.25) for s in steps
        ),
        limit_detail="",
        doubts=usual_doubts(),
    )
    trial_id = f"{ordinal:x}f0c93a41b7e"
    return TrialRecord(
        id=trial_id,
        ordinal=ordinal,
        candidate=Candidate(f"c{ordinal}", instance_type, environment),
        host="local",
        state=TrialState.SUCCEEDED,
        measurement=Measurement(
            placement=PLACEMENT,
            probe_latency_ms={"large.jpg": 180.5, "small.jpg": 81.25},
            ready_s=6.25,
        ),
        steps=steps,
        figures=replace(figures, **changes),
        requests=Requests(attempted=420, succeeded=419, timed_out=1),
        sample_files=(f"{trial_id}-1/samples-0.bin",),
        wall_s=58.5,
    )


def over_limit(ordinal: int, environment: Mapping[str, str], p95_ms: float = 312.0) -> TrialRecord:
    """A trial whose every step was over the latency limit."""
    return replace(
        measured(
            ordinal,
            environment,
            180.0,
            max_invocations_per_min=None,
            max_invocations_per_min_ci=None,
            max_kind=None,
            model_latency_ms=None,
            limit_detail=f"P95 {p95_ms:.0f} ms at 1 user, over the limit of 250 ms",
            doubts=(),
        ),
        steps=(step(1, 3.0, p95_ms, "over-latency"),),
    )


def failed(
    ordinal: int, environment: Mapping[str, str], state: TrialState = TrialState.FAILED
) -> TrialRecord:
    """A trial that ended without a measurement."""
    return TrialRecord(
        id=f"{ordinal:x}f0c93a41b7e",
        ordinal=ordinal,
        candidate=Candidate(f"c{ordinal}", "local.1cpu", environment),
        host="local",
        state=state,
        reason=Reason.CRASHED if state is TrialState.FAILED else Reason.BY_USER,
        detail="the server ended with signal SIGSEGV at 3 users\n\x1b[31mfatal: [bold]boom[/]",
        log_tail="loading\nfatal: boom",
        wall_s=12.25,
    )


def variables(threads: str, onednn: str) -> dict[str, str]:
    """The demo's sweep."""
    return {"OMP_NUM_THREADS": threads, "TF_ENABLE_ONEDNN_OPTS": onednn}


def demo_trials() -> tuple[TrialRecord, ...]:
    """Four candidates; the fourth crashed."""
    return (
        measured(1, variables("1", "0"), 548.4, 243.1),
        measured(2, variables("1", "1"), 834.2, 212.4),
        measured(3, variables("2", "0"), 541.0, 247.9),
        failed(4, variables("2", "1")),
    )


def make_job(
    trials: tuple[TrialRecord, ...] | None = None,
    *,
    price: Price = COST_MODEL,
    target: Mapping[str, Any] | None = TARGET,
    limit: Mapping[str, Any] = LIMIT,
    status: str = "completed",
    job_doubts: tuple[Doubt, ...] = (),
) -> Job:
    """A job of these trials, ranked as the engine ranks them."""
    records = demo_trials() if trials is None else trials
    wanted = None if target is None else TargetSpec.model_validate(dict(target))
    ranked, rejected = recommend(records, lambda name: price, wanted)
    return Job(
        id="resnet50-threads-1a2b3c4d",
        name="resnet50-threads",
        type="advanced",
        status=status,
        created="2025-11-23T09:30:00+00:00",
        spec={
            "name": "resnet50-threads",
            "server": {"environment": {"API_TOKEN": {"secret": "API_TOKEN"}}},
            "limit": dict(limit),
            "target": None if target is None else dict(target),
        },
        recommendations=tuple(ranked),
        rejected=tuple(rejected),
        effects=tuple(effects_of(ranked)),
        interactions=tuple(interactions_of(ranked)),
        trials=records,
        doubts=job_doubts,
        samples_dir="/var/lib/rightsizer/jobs/resnet50-threads-1a2b3c4d",
    )
