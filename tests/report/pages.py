"""Builders: a job of many candidates, and what its samples would tell over time."""

from __future__ import annotations

import math

from rightsizer.analysis.history import Moment, StepHistory
from rightsizer.histories import SLICES_IN_ALL, TrialHistory
from rightsizer.results import Job

from tests.report.jobs import make_job, measured


def sweep(candidates: int) -> Job:
    """Of two variables, the second of two values, with names of some length."""
    trials = tuple(
        measured(
            number,
            {"OMP_NUM_THREADS": str(number // 2), "SOME_LONGER_VARIABLE": f"value-{number % 2}"},
            400.0 + 11 * number,
            150.0 + (number * 37) % 90,
        )
        for number in range(candidates)
    )
    return make_job(trials)


def histories_for(job: Job, steps: int = 15) -> dict[str, TrialHistory]:
    """As many slices as are ever shown, in so many steps a trial."""
    slices = SLICES_IN_ALL // (steps * len(job.trials))
    return {
        trial.id: TrialHistory(tuple(_step(number, slices) for number in range(steps)))
        for trial in job.trials
    }


def _step(number: int, slices: int) -> StepHistory:
    begin_s = 12.5 * number
    moments = tuple(
        Moment(
            at_s=begin_s + 12.5 * (place + 0.5) / slices,
            per_s=40 + 7 * math.sin(place),
            latency_ms=180 + 90 * math.cos(3 * place),
            wrong=place % 3,
        )
        for place in range(slices)
    )
    return StepHistory(f"{40 + number}.5/s", begin_s, begin_s + 1.25, begin_s + 12.5, moments)
