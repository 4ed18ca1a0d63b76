"""The JSON document `rightsizer/job/1`: every number unrounded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

from rightsizer.analysis.figures import StepFigures
from rightsizer.results import Job
from rightsizer.secrecy import HIDDEN, says_secret
from rightsizer.trials import TrialRecord

JOB_SCHEMA = "rightsizer/job/1"


def job_document(job: Job) -> dict[str, Any]:
    """A job as JSON-safe values: what `run --json` and `show --format json` write."""
    return {
        "schema": JOB_SCHEMA,
        "job": {
            "id": job.id,
            "name": job.name,
            "type": job.type,
            "status": job.status,
            "created": job.created,
            "spec": plain(_told(job.spec)),
            "choice": plain(job.choice),
        },
        # Their fields carry the document's names, so that the two cannot drift apart.
        "recommendations": plain(job.recommendations),
        "rejected": plain(job.rejected),
        "effects": plain(job.effects),
        "unknown_effects": plain(job.unknown_effects),
        "interactions": plain(job.interactions),
        "doubts": plain(job.doubts),
        "trials": [_trial(job, trial) for trial in job.trials],
    }


def _told(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """A spec without the values of variables whose names say secret; names of secrets stay."""
    server = spec.get("server", {})
    told = {
        name: HIDDEN if isinstance(value, str) and says_secret(name) else value
        for name, value in server.get("environment", {}).items()
    }
    return {**spec, "server": {**server, "environment": told}} if told else spec


def trial_folder(job: Job, trial: TrialRecord) -> str:
    """Where a trial's samples and logs lie."""
    return str(PurePath(job.samples_dir, f"{trial.id}-{trial.attempt}"))


def plain(value: Any) -> Any:
    """A value as JSON holds it: dataclasses as objects, what is not finite as null."""
    match value:
        case Enum():
            return plain(value.value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case tuple() | list():
            return [plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _trial(job: Job, trial: TrialRecord) -> dict[str, Any]:
    measurement, figures = trial.measurement, trial.figures
    return {
        "id": trial.id,
        "ordinal": trial.ordinal,
        "attempt": trial.attempt,
        "instance_type": trial.candidate.instance_type,
        "instance_types": [candidate.instance_type for candidate in trial.candidates],
        "environment": plain(trial.candidate.environment),
        "host": trial.host,
        "stage": trial.stage,
        "block": trial.block,
        "state": trial.state.value,
        "reason": plain(trial.reason),
        "detail": trial.detail,
        "log_tail": trial.log_tail,
        "placement": plain(measurement.placement),
        "ready_s": plain(measurement.ready_s),
        "probe_latency_ms": plain(measurement.probe_latency_ms),
        "stopped_early": measurement.stopped_early,
        "cut_short": measurement.cut_short,
        "calibration": plain(measurement.calibration),
        "limit_detail": "" if figures is None else figures.limit_detail,
        "doubts": [] if figures is None else plain(figures.doubts),
        "steps": [step_document(step) for step in trial.steps],
        "requests": plain(trial.requests),
        "samples": trial_folder(job, trial) if trial.sample_files else None,
        "sample_files": [str(PurePath(job.samples_dir, name)) for name in trial.sample_files],
        "wall_s": plain(trial.wall_s),
    }


def step_document(figures: StepFigures) -> dict[str, Any]:
    """A judged step. The raw material of further analysis stays in the store."""
    whole: dict[str, Any] = plain(figures)
    del whole["unloaded_ms"]
    return whole
