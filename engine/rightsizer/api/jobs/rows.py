"""A job's recommendations and trials in the API's shapes. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rightsizer.api.jobs.naming import seconds_of
from rightsizer.candidates import hash_of
from rightsizer.errors import TrialState
from rightsizer.recommendation import Recommendation, Rejection
from rightsizer.store import StoredEvent

MOST_RECOMMENDATIONS = 10
VARIANT = "AllTraffic"
TIMED = ("StepStarted", "StepEnded")
"""Events between which a trial's invocations lie."""
STEP_STATUS = {
    TrialState.RUNNING: "IN_PROGRESS",
    TrialState.SUCCEEDED: "COMPLETED",
    TrialState.STOPPED: "STOPPED",
    TrialState.INTERRUPTED: "PENDING",
}
"""All others have FAILED. What was interrupted is run again."""


@dataclass(frozen=True)
class Stretch:
    """When a trial's invocations began and ended, in seconds since the epoch; None: not yet."""

    start_s: float | None = None
    end_s: float | None = None


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


def endpoint_name(instance_type: str, environment: Mapping[str, str], final: int = 0) -> str:
    """As the reference names the endpoints that it makes for a test; no endpoint has it here."""
    return f"sm-epc-{hash_of([instance_type, dict(environment), final])}"


def recommendation(job_name: str, row: Recommendation, when: Stretch) -> dict[str, Any]:
    """One of InferenceRecommendations."""
    digest = hash_of([row.instance_type, dict(row.environment)])
    return {
        "RecommendationId": f"{job_name}/{digest[:8]}",
        "Metrics": metrics(row),
        "EndpointConfiguration": endpoint(
            row.instance_type, row.environment, row.fleet.instance_count
        ),
        "ModelConfiguration": model(row.environment),
        "InvocationStartTime": when.start_s,
        "InvocationEndTime": when.end_s,
    }


def metrics(row: Recommendation) -> dict[str, Any]:
    """Of the fleet that carries the target where the reference's are: costs and MaxInvocations.

    ModelLatency is in ms. What is not known is NaN, as the reference writes it.
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
    """Of an endpoint that already runs."""
    return {
        "MaxInvocations": math.floor(row.max_invocations_per_min),
        "ModelLatency": _whole(row.model_latency_ms) or 0,
    }


def endpoint(
    instance_type: str, environment: Mapping[str, str], count: int | None, final: int = 0
) -> dict[str, Any]:
    """An EndpointConfiguration."""
    return {
        "EndpointName": endpoint_name(instance_type, environment, final),
        "VariantName": VARIANT,
        "InstanceType": instance_type,
        "InitialInstanceCount": count,
    }


def model(environment: Mapping[str, str]) -> dict[str, Any]:
    """A ModelConfiguration: always with its parameters, were they none."""
    parameters = [
        {"Key": name, "ValueType": "String", "Value": value} for name, value in environment.items()
    ]
    return {"EnvironmentParameters": parameters}


def rejected_reason(one: Rejection) -> str:
    """Why a test has no metrics."""
    return " ".join(f"{one.reason}: {one.detail}".split())


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
