"""ListInferenceRecommendationsJobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from rightsizer.api.context import Answer, Context, Request
from rightsizer.api.jobs.describing import job_type
from rightsizer.api.jobs.naming import (
    arn_of_job,
    completed_s,
    failure_reason,
    names_of,
    role_of,
    seconds_of,
    status_of,
)
from rightsizer.api.paging import Key, page, within
from rightsizer.job_heads import JobHead, heads

StatusOf = Callable[[JobHead], str]


@dataclass(frozen=True)
class _Listed:
    number: int
    """Of all jobs, in the order in which they were made; none is ever removed."""
    name: str
    head: JobHead


def list_jobs(context: Context, request: Request) -> Answer:
    """The jobs that meet every filter, of the command line too; newest first unless asked.

    Raises:
        ApiFault: ValidationException of a wrong token.
    """
    # To tell a job's status may need its lock, so it is told of those alone that need it.
    status = cache(lambda head: status_of(context.store, head))
    shown, token = page(
        "jobs",
        _wanted(context, request, status),
        request,
        _order(request.get("SortBy", "CreationTime"), status),
        descending=request.get("SortOrder", "Descending") == "Descending",
    )
    return {
        "InferenceRecommendationsJobs": [
            _summary(context, job.name, job.head, status(job.head)) for job in shown
        ],
        "NextToken": token,
    }


def _wanted(context: Context, request: Request, status: StatusOf) -> Iterator[_Listed]:
    found = heads(context.store)
    names = names_of(found)
    for number, head in enumerate(found):
        name = names[head.id]
        if (
            request.get("NameContains", "") in name
            and _in_time(head, request)
            and _is_of_model(head, request)
            and ("StatusEquals" not in request or status(head) == request["StatusEquals"])
        ):
            yield _Listed(number, name, head)


def _order(by: str, status: StatusOf) -> Callable[[_Listed], Key]:
    match by:
        case "Name":
            return lambda job: (job.name,)
        case "Status":
            return lambda job: (status(job.head), job.number)
    return lambda job: (job.head.created, job.number)


def _in_time(head: JobHead, request: Request) -> bool:
    return all(
        within(seconds_of(iso), request, time)
        for time, iso in (("CreationTime", head.created), ("LastModifiedTime", head.modified))
        if f"{time}After" in request or f"{time}Before" in request
    )


def _is_of_model(head: JobHead, request: Request) -> bool:
    return all(
        head.request.get("InputConfig", {}).get(member) == request[f"{member}Equals"]
        for member in ("ModelName", "ModelPackageVersionArn")
        if f"{member}Equals" in request
    )


def _summary(context: Context, name: str, head: JobHead, status: str) -> dict[str, Any]:
    config = head.request.get("InputConfig", {})
    payload = config.get("ContainerConfig", {}).get("PayloadConfig", {})
    return {
        "JobName": name,
        "JobDescription": head.request.get("JobDescription", ""),
        "JobType": job_type(head),
        "JobArn": arn_of_job(context, name),
        "Status": status,
        "CreationTime": seconds_of(head.created),
        "CompletionTime": completed_s(head, status),
        "RoleArn": role_of(context, head),
        "LastModifiedTime": seconds_of(head.modified),
        "FailureReason": failure_reason(head, status),
        "ModelName": config.get("ModelName"),
        "SamplePayloadUrl": payload.get("SamplePayloadUrl"),
        "ModelPackageVersionArn": config.get("ModelPackageVersionArn"),
    }
