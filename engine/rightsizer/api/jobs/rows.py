"""A job's recommendations and trials in the API's shapes. Pure.

Where the reference contradicts itself:

- ModelLatency is in milliseconds, rounded: so its page on results says, and its published tables
  show. Other pages and samples of its first year have microseconds, as its CloudWatch metric of the
  same name still does.
- MaxInvocations, CostPerHour and CostPerInference are those of the fleet of InitialInstanceCount,
  as in its samples with more than one instance; its model says "for the instance".
- EnvironmentParameters is always there, were it empty, as in its samples; its model says that a
  list has one at least.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rightsizer.api.jobs.naming import seconds_of
from rightsizer.candidates import Candidate, hash_of
from rightsizer.errors import TrialState
from rightsizer.failures import why_rejected
from rightsizer.recommendation import Recommendation, Rejection
from rightsizer.results import endpoint_name
from rightsizer.store import StoredEvent
from rightsizer.trials import TrialRecord

MOST_RECOMMENDATIONS = 10
VARIANT = "AllTraffic"
TIMED = ("StepStarted", "StepEnded")
"""Events between which a trial's invocations lie."""


@dataclass(frozen=True)
class Stretch:
    """When invocations began and ended, in seconds since the epoch; None: not yet."""

    start_s: float | None = None
    end_s: float | None = None

    @property
    def members(self) -> dict[str, float | None]:
        """As recommendations and benchmarks have it."""
        return {"InvocationStartTime": self.start_s, "InvocationEndTime": self.end_s}


def stretches(history: Sequence[StoredEvent]) -> dict[str, Stretch]:
    """By trial: of its last attempt."""
    found: dict[str, Stretch] = {}
    for event in history:
        trial, at_s = event.fields["trial_id"], seconds_of(event.at)
        if event.kind == "StepEnded":
            found[trial] = Stretch(found.get(trial, Stretch()).start_s, at_s)
        elif event.fields["number"] == 1:
            found[trial] = Stretch(at_s)
    return found


def together(parts: Iterable[Stretch]) -> Stretch:
    """From the first beginning to the last end."""
    known = list(parts)
    starts = [part.start_s for part in known if part.start_s is not None]
    ends = [part.end_s for part in known if part.end_s is not None]
    return Stretch(min(starts, default=None), max(ends, default=None))


def recommendation(
    job_name: str, job_id: str, row: Recommendation, when: Stretch
) -> dict[str, Any]:
    """One of InferenceRecommendations."""
    digest = hash_of([row.trial_id, row.instance_type])  # a trial may stand for several types
    configuration = {
        "EndpointName": endpoint_name(job_id, row.trial_id, row.instance_type),
        "VariantName": VARIANT,
        "InstanceType": row.instance_type,
        "InitialInstanceCount": row.fleet.instance_count,
    }
    return {
        "RecommendationId": f"{job_name}/{digest[:8]}",
        "Metrics": metrics(row),
        "EndpointConfiguration": configuration,
        "ModelConfiguration": model(row.environment),
        **when.members,
    }


def step(
    job_name: str,
    job_id: str,
    trial: TrialRecord,
    candidate: Candidate,
    found: Recommendation | Rejection | None,
    when: Stretch,
    endpoint: Mapping[str, Any] | None,
    *,
    has_ended: bool,
) -> dict[str, Any]:
    """One of Steps: what a trial says of one of its candidates.

    `found` is what it would recommend by itself, None while it runs; `endpoint` the EndpointInfo
    of one that ran already, `has_ended` whether the whole job has.
    """
    row = found if isinstance(found, Recommendation) else None
    status = step_status(trial.state, is_recommended=row is not None, has_ended=has_ended)
    own = {
        "EndpointName": endpoint_name(job_id, trial.id, candidate.instance_type),
        "VariantName": VARIANT,
        "InstanceType": candidate.instance_type,
        "InitialInstanceCount": None if row is None else row.fleet.instance_count,
    }
    benchmark = {
        "Metrics": metrics(row) if row is not None and endpoint is None else None,
        "EndpointMetrics": endpoint_metrics(row) if row is not None and endpoint else None,
        "EndpointConfiguration": {**endpoint, "VariantName": VARIANT} if endpoint else own,
        "ModelConfiguration": model(candidate.environment),
        "FailureReason": _why(found) if status == "FAILED" else None,
        **when.members,
    }
    return {
        "StepType": "BENCHMARK",
        "JobName": job_name,
        "Status": status,
        "InferenceBenchmark": benchmark,
    }


def step_status(state: TrialState, *, is_recommended: bool, has_ended: bool) -> str:
    """IN_PROGRESS | PENDING | COMPLETED | STOPPED | FAILED.

    What was interrupted is run again, unless its job has ended. A test that was measured and did
    not keep within the limits has FAILED: it has no metrics.
    """
    match state:
        case TrialState.RUNNING:
            return "STOPPED" if has_ended else "IN_PROGRESS"
        case TrialState.INTERRUPTED:
            return "STOPPED" if has_ended else "PENDING"
        case TrialState.STOPPED:
            return "STOPPED"
        case TrialState.SUCCEEDED if is_recommended:
            return "COMPLETED"
    return "FAILED"


def metrics(row: Recommendation) -> dict[str, Any]:
    """Of the fleet that carries the target: costs in USD and MaxInvocations a minute.

    What is not known is NaN, as the reference writes it.
    """
    return {
        "CostPerHour": _or_nan(row.fleet.cost_per_hour_usd),
        "CostPerInference": _or_nan(row.cost_per_inference_usd),
        "MaxInvocations": math.floor(row.fleet.max_invocations_per_min),
        "ModelLatency": _whole(row.model_latency_ms),
        "CpuUtilization": _or_nan(row.cpu_utilization_percent),
        "MemoryUtilization": _or_nan(row.memory_utilization_percent),
    }


def endpoint_metrics(row: Recommendation) -> dict[str, Any]:
    """Of an endpoint that already runs, as it is."""
    return {
        "MaxInvocations": math.floor(row.max_invocations_per_min),
        "ModelLatency": _whole(row.model_latency_ms) or 0,
    }


def model(environment: Mapping[str, str]) -> dict[str, Any]:
    """A ModelConfiguration."""
    parameters = [
        {"Key": name, "ValueType": "String", "Value": value} for name, value in environment.items()
    ]
    return {"EnvironmentParameters": parameters}


def _why(found: Recommendation | Rejection | None) -> str | None:
    """Why a test has no metrics."""
    return " ".join(why_rejected(found).split()) if isinstance(found, Rejection) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
