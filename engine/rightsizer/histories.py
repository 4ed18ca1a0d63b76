"""A stored job's samples over time, where they still are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rightsizer.analysis.history import StepHistory, histories
from rightsizer.analysis.percentiles import PERCENTILES
from rightsizer.results import Job
from rightsizer.samples import read_samples
from rightsizer.spec import LimitSpec, ServerSpec
from rightsizer.trials import TrialRecord

MOST_SLICES, FEWEST_SLICES = 60, 6
"""Of a step."""
SLICES_IN_ALL = 12_000
"""Of a job: those of many steps get fewer each, so that a page of them stays small."""


@dataclass(frozen=True)
class TrialHistory:
    """A trial's steps over time, or why there is nothing to show."""

    steps: tuple[StepHistory, ...]
    missing: str = ""


def histories_of(job: Job) -> Mapping[str, TrialHistory]:
    """By trial id, of each trial that drove a step. Reads the samples, a trial at a time."""
    driven = [trial for trial in job.trials if trial.measurement.records]
    steps = sum(len(trial.measurement.records) for trial in driven)
    slices = max(FEWEST_SLICES, min(MOST_SLICES, SLICES_IN_ALL // max(1, steps)))
    return {trial.id: _history(job, trial, slices) for trial in driven}


def _history(job: Job, trial: TrialRecord, slices: int) -> TrialHistory:
    records = trial.measurement.records
    paths = [Path(job.samples_dir, name) for name in trial.sample_files]
    limit = LimitSpec.model_validate(job.spec.get("limit", {}))
    server = ServerSpec.model_validate(job.spec["server"])
    try:
        samples = read_samples(paths)[: records[-1].committed]
    except OSError as error:
        return TrialHistory((), f"{error.filename}: {error.strerror}")
    if len(samples) < records[-1].committed:
        return TrialHistory((), f"{len(samples)} of {records[-1].committed} samples are left")
    at, timeout_s = PERCENTILES[limit.percentile], server.request_timeout_s
    return TrialHistory(histories(samples, records, at, timeout_s, slices))
