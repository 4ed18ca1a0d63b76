"""DescribeInferenceRecommendationsJob and ListInferenceRecommendationsJobSteps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from rightsizer.api.context import Answer, Context, Request
from rightsizer.api.jobs import rows
from rightsizer.api.jobs.naming import (
    ENDED,
    arn_of_job,
    completed_s,
    failure_reason,
    job_named,
    role_of,
    seconds_of,
    status_of,
)
from rightsizer.api.paging import page
from rightsizer.job_heads import JobHead
from rightsizer.loading import assemble
from rightsizer.recommendation import Price, recommend
from rightsizer.results import Job
from rightsizer.spec import JobSpec, TargetSpec
from rightsizer.store import Store
from rightsizer.trials import TrialRecord

KEPT = 64
"""Ended jobs whose ranking is remembered: clients ask for it again and again."""


def describe_job(context: Context, request: Request) -> Answer:
    """A job as it stands, and once it has ended, however it has, what it found.

    Raises:
        ApiFault: ResourceNotFound.
    """
    name = request["JobName"]
    head = job_named(context, name)
    status = status_of(context.store, head)
    endpoint = next(iter(head.request.get("InputConfig", {}).get("Endpoints", ())), None)
    answer = {
        "JobName": name,
        "JobDescription": head.request.get("JobDescription"),
        "JobType": job_type(head),
        "JobArn": arn_of_job(context, name),
        "RoleArn": role_of(context, head),
        "Status": status,
        "CreationTime": seconds_of(head.created),
        "CompletionTime": completed_s(head, status),
        "LastModifiedTime": seconds_of(head.modified),
        "FailureReason": failure_reason(head, status),
        "InputConfig": head.request.get("InputConfig", {}),
        "StoppingConditions": head.request.get("StoppingConditions"),
    }
    if status not in ENDED or not (job := ended_job(context.store, head)).recommendations:
        return answer
    if endpoint is not None:
        performance = {
            "Metrics": rows.endpoint_metrics(job.recommendations[0]),
            "EndpointInfo": endpoint,
        }
        return {**answer, "EndpointPerformances": [performance]}
    times = rows.stretches(context.store.history(head.id, rows.TIMED))
    found = [
        rows.recommendation(name, row, times.get(row.trial_id, rows.Stretch()))
        for row in job.recommendations[: rows.MOST_RECOMMENDATIONS]
    ]
    return {**answer, "InferenceRecommendations": found}


def job_type(head: JobHead) -> str:
    """Default | Advanced, as it was asked for."""
    given = head.request.get("JobType")
    return str(given) if given else head.type.capitalize()


@lru_cache(maxsize=KEPT)
def ended_job(store: Store, head: JobHead) -> Job:
    """A job that has ended; a head that has changed since is another."""
    return assemble(store, store.job(head.id))


def list_steps(context: Context, request: Request) -> Answer:
    """The job's tests: every trial, once for each instance type that it stands for.

    Raises:
        ApiFault: ResourceNotFound; ValidationException of a wrong token.
    """
    head = job_named(context, request["JobName"])
    stored = context.store.job(head.id)
    prices = {name: Price(**price) for name, price in stored.inputs["prices"].items()}
    target = JobSpec.model_validate(dict(stored.spec)).target
    times = rows.stretches(context.store.history(head.id, rows.TIMED))
    is_endpoint = bool(head.request.get("InputConfig", {}).get("Endpoints"))
    steps = [
        step
        for trial in context.store.trials(head.id)
        for step in _steps(trial, request["JobName"], prices, target, times, is_endpoint)
    ]
    wanted = request.get("Status")
    steps = [step for step in steps if wanted in (None, step["Status"])]
    shown, token = page("steps", enumerate(steps), request, key=lambda one: (one[0],))
    return {"Steps": [step for _, step in shown], "NextToken": token}


def _steps(
    trial: TrialRecord,
    job_name: str,
    prices: Mapping[str, Price],
    target: TargetSpec | None,
    times: Mapping[str, rows.Stretch],
    is_endpoint: bool,
) -> list[dict[str, Any]]:
    alone = replace(trial, stage="scout")  # a final stands for itself here
    ranked, rejected = recommend([alone], prices.__getitem__, target)
    by_type = {row.instance_type: row for row in ranked}
    reasons = {one.instance_type: rows.rejected_reason(one) for one in rejected}
    when = times.get(trial.id, rows.Stretch())
    found = []
    for candidate in trial.candidates if trial.stage == "scout" else (trial.candidate,):
        row = by_type.get(candidate.instance_type)
        status = rows.STEP_STATUS.get(trial.state, "FAILED")
        if status == "COMPLETED" and row is None:
            status = "FAILED"
        count = None if row is None else row.fleet.instance_count
        benchmark: dict[str, Any] = {
            "Metrics": None if row is None or is_endpoint else rows.metrics(row),
            "EndpointMetrics": rows.endpoint_metrics(row) if row and is_endpoint else None,
            "EndpointConfiguration": rows.endpoint(
                candidate.instance_type, candidate.environment, count, trial.block
            ),
            "ModelConfiguration": rows.model(candidate.environment),
            "FailureReason": reasons.get(candidate.instance_type) if status == "FAILED" else None,
            "InvocationStartTime": when.start_s,
            "InvocationEndTime": when.end_s,
        }
        found.append(
            {
                "StepType": "BENCHMARK",
                "JobName": job_name,
                "Status": status,
                "InferenceBenchmark": benchmark,
            }
        )
    return found
