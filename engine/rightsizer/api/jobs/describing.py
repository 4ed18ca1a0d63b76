"""DescribeInferenceRecommendationsJob and ListInferenceRecommendationsJobSteps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from rightsizer.fleets import Price
from rightsizer.job_heads import JobHead
from rightsizer.loading import assemble
from rightsizer.recommendation import Recommendation, Rejection, recommend
from rightsizer.results import Job
from rightsizer.spec import JobSpec, TargetSpec
from rightsizer.store import Store
from rightsizer.trials import TrialRecord

KEPT = 64
"""Ended jobs whose results are remembered: clients ask for them again and again."""
NOTHING_FOUND = "no candidate can be recommended"

PriceOf = Callable[[str], Price]


def describe_job(context: Context, request: Request) -> Answer:
    """A job as it stands, and once it has ended, however it has, what it found.

    Raises:
        ApiFault: ResourceNotFound.
    """
    name = request["JobName"]
    head = job_named(context, name)
    status, reason = _judged(context.store, head)
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
        "FailureReason": reason,
        "InputConfig": head.request.get("InputConfig", {}),
        "StoppingConditions": head.request.get("StoppingConditions"),
    }
    return {**answer, **_found(context.store, head, name)} if status in ENDED else answer


def _judged(store: Store, head: JobHead) -> tuple[str, str | None]:
    """Status and FailureReason: an older store says of no job why it found nothing."""
    status = status_of(store, head)
    if status == "COMPLETED" and not ended_job(store, head).recommendations:
        return "FAILED", NOTHING_FOUND
    return status, failure_reason(head, status)


def _found(store: Store, head: JobHead, name: str) -> Answer:
    """What an ended job found: recommendations, or how the endpoint that it was given does."""
    job = ended_job(store, head)
    if not job.recommendations:
        return {}
    if endpoint := existing_endpoint(head):
        metrics = rows.endpoint_metrics(job.recommendations[0])
        return {"EndpointPerformances": [{"Metrics": metrics, "EndpointInfo": endpoint}]}
    times = _ended_times(store, head)
    return {
        "InferenceRecommendations": [
            rows.recommendation(name, head.id, row, _measured(row, job.trials, times))
            for row in job.recommendations[: rows.MOST_RECOMMENDATIONS]
        ]
    }


def _measured(
    row: Recommendation, trials: Sequence[TrialRecord], times: Mapping[str, rows.Stretch]
) -> rows.Stretch:
    """From the first to the last invocation that a row's figures come from."""
    return rows.together(
        times[trial.id]
        for trial in trials
        if trial.candidate.id == row.candidate_id and trial.id in times
    )


def job_type(head: JobHead) -> str:
    """Default | Advanced, as it was asked for."""
    given = head.request.get("JobType")
    return str(given) if given else head.type.capitalize()


def existing_endpoint(head: JobHead) -> Mapping[str, Any] | None:
    """The EndpointInfo of the endpoint that a job measures; None where it makes its own."""
    given = head.request.get("InputConfig", {}).get("Endpoints")
    return given[0] if given else None


@lru_cache(maxsize=KEPT)
def ended_job(store: Store, head: JobHead) -> Job:
    """A job that has ended.

    A head is of one end: when a job is taken up again its status is set, and the head another.
    """
    return assemble(store, store.job(head.id))


@lru_cache(maxsize=KEPT)
def _ended_times(store: Store, head: JobHead) -> Mapping[str, rows.Stretch]:
    return rows.stretches(store.history(head.id, rows.TIMED))


def list_steps(context: Context, request: Request) -> Answer:
    """The job's tests: every trial, once for each instance type that it stands for.

    Raises:
        ApiFault: ResourceNotFound; ValidationException of a wrong token.
    """
    head = job_named(context, request["JobName"])
    wanted = request.get("Status")
    # Numbered before they are filtered: the status of one that was shown may change.
    steps = [
        (number, step)
        for number, step in enumerate(_steps(context.store, head, request["JobName"]))
        if wanted in (None, step["Status"])
    ]
    shown, token = page("steps", steps, request, key=lambda one: (one[0],))
    return {"Steps": [step for _, step in shown], "NextToken": token}


def _steps(store: Store, head: JobHead, name: str) -> Iterator[dict[str, Any]]:
    has_ended = status_of(store, head) in ENDED
    stored = store.job(head.id)
    prices = {name: Price(**price) for name, price in stored.inputs["prices"].items()}
    target = JobSpec.model_validate(dict(stored.spec)).target
    times = rows.stretches(store.history(head.id, rows.TIMED))
    endpoint = existing_endpoint(head)
    for trial in store.trials(head.id, with_usage=False):
        found = _by_type(trial, prices.__getitem__, target)
        for candidate in trial.candidates:
            yield rows.step(
                name,
                head.id,
                trial,
                candidate,
                found.get(candidate.instance_type),
                times.get(trial.id, rows.Stretch()),
                endpoint,
                has_ended=has_ended,
            )


def _by_type(
    trial: TrialRecord, price_of: PriceOf, target: TargetSpec | None
) -> dict[str, Recommendation | Rejection]:
    """What a trial would come to by itself, for each instance type; empty while it runs."""
    alone = replace(trial, stage="scout")  # a final repeats one, and is none by itself
    ranked, rejected = recommend([alone], price_of, target)
    found: list[Recommendation | Rejection] = [*ranked, *rejected]
    return {row.instance_type: row for row in found}
