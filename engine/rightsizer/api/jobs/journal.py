"""What the engine says of a job: lines of its log streams, and tags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from rightsizer import events
from rightsizer.api.context import Context
from rightsizer.api.faults import ApiFault
from rightsizer.api.jobs.describing import ended_job, existing_endpoint
from rightsizer.api.jobs.naming import ENDED, failure_reason, job_named, seconds_of, status_of
from rightsizer.api.logs import LogLine
from rightsizer.job_heads import JobHead
from rightsizer.recommendation import Recommendation
from rightsizer.report.board import Board
from rightsizer.report.live import line_of
from rightsizer.results import Job, endpoint_name
from rightsizer.store import StoredEvent

GROUP = "/aws/sagemaker/InferenceRecommendationsJobs"
EXECUTION = "execution"
ENDPOINT = "Endpoint"
TOLD = (
    "JobWaits",
    "JobStarted",
    "TrialStarted",
    "ServerReady",
    "StepStarted",
    "StepEnded",
    "TrialEnded",
)
"""Not the progress of a running step: a line every five seconds tells nobody anything. Not
JobEnded, which is kept after the status that says so: its line would come between others."""
MADE = "rightsizer:"
TAG_MOST = 256
_EVENTS: Mapping[str, TypeAdapter[Any]] = {
    name: TypeAdapter(getattr(events, name)) for name in TOLD
}


def lines_of(context: Context, group: str, stream: str) -> Sequence[LogLine] | None:
    """A stream's lines, oldest first; None where there is no such stream.

    `<job>/execution` has the whole job, and at its end the recommendations with their doubts;
    `<job>/Endpoint/<endpoint name>` one test.
    """
    name, _, rest = stream.partition("/")
    if group != GROUP or not name or not rest:
        return None
    try:
        head = job_named(context, name)
    except ApiFault:
        return None
    # The head was read first: where it says that the job has ended the history is whole.
    history = context.store.history(head.id, TOLD)
    if rest == EXECUTION:
        return [_queued(head), *_told(history), *_ending(context, head, name)]
    kind, _, endpoint = rest.partition("/")
    trials = _trials_of(context, head, endpoint) if kind == ENDPOINT else ()
    if not trials:
        return None
    return _told([event for event in history if event.fields.get("trial_id") in trials])


def tags_of(context: Context, name: str) -> Mapping[str, str] | None:
    """What the engine says of a job by tags; None where there is none of that name."""
    try:
        head = job_named(context, name)
    except ApiFault:
        return None
    found = {"job-id": head.id}
    if status_of(context.store, head) in ENDED:
        job = ended_job(context.store, head)
        if job.recommendations:
            best = job.recommendations[0]
            codes = [doubt.code for row in job.recommendations for doubt in row.doubts]
            found |= {
                "basis": best.basis,
                "provenance": _joined(row.provenance for row in job.recommendations),
                "percentile": best.percentile,
                "doubts": _joined([*(doubt.code for doubt in job.doubts), *codes]),
            }
    return {f"{MADE}{key}": _tag_value(value) for key, value in found.items()}


def _joined(words: Any) -> str:
    return " ".join(dict.fromkeys(words))


def _tag_value(text: str) -> str:
    """As much of a text as a tag's value may hold."""
    return re.sub(r"[^\w\s.:/=+@-]", "_", text)[:TAG_MOST]


def _trials_of(context: Context, head: JobHead, endpoint: str) -> set[str]:
    """Those that were made on an endpoint, or on the one that ran already."""
    own = existing_endpoint(head)

    def name(trial_id: str, instance_type: str) -> str:
        return own["EndpointName"] if own else endpoint_name(head.id, trial_id, instance_type)

    return {
        trial.id
        for trial in context.store.trials(head.id, with_usage=False)
        for candidate in trial.candidates
        if name(trial.id, candidate.instance_type) == endpoint
    }


def _queued(head: JobHead) -> LogLine:
    return LogLine(_ms(head.created), f"job {head.name} is queued as {head.id}")


def _told(history: Sequence[StoredEvent]) -> list[LogLine]:
    board, found = Board(), []
    for stored in history:
        event = _EVENTS[stored.kind].validate_python(dict(stored.fields))
        if isinstance(event, events.JobWaits):
            text = f"waits: {event.what} are held by {event.holders}"
            found.append(LogLine(_ms(stored.at), text))
            continue
        at_s = seconds_of(stored.at)
        board = board.after(event, at_s)
        if text := line_of(event, board, at_s):
            found.append(LogLine(_ms(stored.at), text))
    return found


def _ending(context: Context, head: JobHead, name: str) -> Iterator[LogLine]:
    """What the job came to, once it has ended."""
    status = status_of(context.store, head)
    if status not in ENDED:
        return
    at_ms = _ms(head.modified)
    reason = failure_reason(head, status) or head.cut_short
    yield LogLine(at_ms, f"job {name} is {status}" + (f": {reason}" if reason else ""))
    job = ended_job(context.store, head)
    for row in job.recommendations:
        yield LogLine(at_ms, f"recommendation {row.rank}: {_said(row)}")
    for said in _doubts(job):
        yield LogLine(at_ms, said)


def _doubts(job: Job) -> Iterator[str]:
    """Each once, with all that it is on."""
    whose: dict[tuple[str, ...], list[int]] = {}
    for rank, doubts in [(0, job.doubts), *((row.rank, row.doubts) for row in job.recommendations)]:
        for doubt in doubts:
            key = (doubt.severity, doubt.code, doubt.message, doubt.next_step)
            whose.setdefault(key, []).append(rank)
    for (severity, code, message, todo), ranks in whose.items():
        of = "the job" if 0 in ranks else ", ".join(map(str, ranks))
        said = f"doubt ({severity}) on {of}: {code}: {message}"
        yield f"{said}; {todo}" if todo else said


def _said(row: Recommendation) -> str:
    low, high = row.max_invocations_per_min_ci or (None, None)
    ci = "" if low is None or high is None else f" ({low:.1f} to {high:.1f})"
    return (
        f"{row.instance_type} {row.environment_text}".strip()
        + f": {row.max_invocations_per_min:.1f} invocations a minute{ci}, {row.basis} basis, "
        f"provenance {row.provenance}"
    )


def _ms(iso: str) -> int:
    return round(seconds_of(iso) * 1000)
