"""Which stored job a name means, and how it stands, in the API's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from rightsizer.api.arns import JOB, arn_of
from rightsizer.api.context import Context
from rightsizer.api.faults import not_found
from rightsizer.job_heads import JobHead, heads_named
from rightsizer.store import UNFINISHED, Store

LOCAL_ROLE = "rightsizer-command-line"
"""Of jobs that were made without a role: by the command line."""
ENDED = ("COMPLETED", "FAILED", "STOPPED")


def names_of(found: Sequence[JobHead]) -> dict[str, str]:
    """The API's name of each job, by id.

    One made by the API has the name it was given. Any other has its own where no other job shares
    it, else its id.
    """
    counted = Counter(head.name for head in found)
    return {
        head.id: head.name if head.is_of_api or counted[head.name] == 1 else head.id
        for head in found
    }


def job_named(context: Context, name: str) -> JobHead:
    """A job by its name in the API.

    Raises:
        ApiFault: ResourceNotFound.
    """
    found = heads_named(context.store, name)
    of_name = [head for head in found if head.name == name]
    for head in of_name:
        if head.is_of_api:
            return head
    if len(of_name) == 1:
        return of_name[0]
    for head in found:
        if head.id == name:
            return head
    more = f" {len(of_name)} jobs of the command line share it: give an id." if of_name else ""
    raise not_found(f"Inference recommendations job {name} does not exist.{more}")


def status_of(store: Store, head: JobHead) -> str:
    """PENDING | IN_PROGRESS | COMPLETED | FAILED | STOPPING | STOPPED.

    A job of the API whose engine died goes on: it is taken up again. One of the command line has
    stopped: nobody but its user takes it up. One that ran to its end and found nothing to
    recommend has FAILED, as the reference has it.
    """
    match head.status:
        case "pending" | "running" | "stopping":
            if not head.is_of_api and not store.is_owned(head.id):
                return "STOPPED"
            if head.stop_requested:
                return "STOPPING"
            return "PENDING" if head.status == "pending" else "IN_PROGRESS"
        case "completed":
            return "FAILED" if head.failure else "COMPLETED"
        case "failed":
            return "FAILED"
    return "STOPPED"


def failure_reason(head: JobHead, status: str) -> str | None:
    """Why a job failed, at most 1,024 characters; None of one that did not."""
    if status != "FAILED":
        return None
    # One that failed on its way keeps what an earlier run to its end came to.
    said = head.failure if head.status == "completed" else head.cut_short
    return " ".join((said or "the engine failed").split())[:1024]


def role_of(context: Context, head: JobHead) -> str:
    """The role it was made with: kept, and of no use here."""
    given = head.request.get("RoleArn")
    return given or f"arn:aws:iam::{context.settings.account_id}:role/{LOCAL_ROLE}"


def arn_of_job(context: Context, name: str) -> str:
    """A job's ARN, by its name in the API."""
    return arn_of(context.settings, JOB, name)


def seconds_of(iso: str) -> float:
    """ISO 8601 as seconds since the epoch."""
    return datetime.fromisoformat(iso).timestamp()


def completed_s(head: JobHead, status: str) -> float | None:
    """When it ended, in seconds since the epoch; None while it has not.

    None too of a job whose engine died: nobody knows when.
    """
    is_known = status in ENDED and head.status not in UNFINISHED
    return seconds_of(head.modified) if is_known else None
