"""ListInferenceRecommendationsJobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from rightsizer.api.paging import page, within
from rightsizer.job_heads import JobHead, heads


@dataclass(frozen=True)
class _Listed:
    name: str
    status: str
    head: JobHead
    created_s: float
    modified_s: float


SORTS: dict[str, Callable[[_Listed], tuple[str | float, ...]]] = {
    "Name": lambda job: (job.name,),
    "CreationTime": lambda job: (job.created_s, job.name),
    "Status": lambda job: (job.status, job.name),
}


def list_jobs(context: Context, request: Request) -> Answer:
    """The jobs that meet every filter, of the command line too; newest first unless asked.

    Raises:
        ApiFault: ValidationException of a wrong token.
    """
    found = heads(context.store)
    names = names_of(found)
    listed = [
        _Listed(
            names[head.id],
            status_of(context.store, head),
            head,
            seconds_of(head.created),
            seconds_of(head.modified),
        )
        for head in found
    ]
    shown, token = page(
        "jobs",
        [job for job in listed if _is_wanted(job, request)],
        request,
        SORTS[request.get("SortBy", "CreationTime")],
        descending=request.get("SortOrder", "Descending") == "Descending",
    )
    return {
        "InferenceRecommendationsJobs": [_summary(context, job) for job in shown],
        "NextToken": token,
    }


def _is_wanted(job: _Listed, request: Request) -> bool:
    config = job.head.request.get("InputConfig", {}) if _asks_of_model(request) else {}
    return (
        within(job.created_s, request)
        and within(job.modified_s, request, "LastModifiedTime")
        and request.get("NameContains", "").lower() in job.name.lower()
        and request.get("StatusEquals") in (None, job.status)
        and request.get("ModelNameEquals") in (None, config.get("ModelName"))
        and request.get("ModelPackageVersionArnEquals")
        in (None, config.get("ModelPackageVersionArn"))
    )


def _asks_of_model(request: Request) -> bool:
    return "ModelNameEquals" in request or "ModelPackageVersionArnEquals" in request


def _summary(context: Context, job: _Listed) -> dict[str, Any]:
    config = job.head.request.get("InputConfig", {})
    payload = config.get("ContainerConfig", {}).get("PayloadConfig", {})
    return {
        "JobName": job.name,
        "JobDescription": job.head.request.get("JobDescription", ""),
        "JobType": job_type(job.head),
        "JobArn": arn_of_job(context, job.name),
        "Status": job.status,
        "CreationTime": job.created_s,
        "CompletionTime": completed_s(job.head, job.status),
        "RoleArn": role_of(context, job.head),
        "LastModifiedTime": job.modified_s,
        "FailureReason": failure_reason(job.head, job.status),
        "ModelName": config.get("ModelName"),
        "SamplePayloadUrl": payload.get("SamplePayloadUrl"),
        "ModelPackageVersionArn": config.get("ModelPackageVersionArn"),
    }
