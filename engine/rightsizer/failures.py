"""Why a job that ran to its end has nothing to recommend, in words that somebody can act on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rightsizer.errors import TrialState
from rightsizer.recommendation import Rejection
from rightsizer.results import Job
from rightsizer.samples import DTYPE
from rightsizer.trials import TrialRecord

LOG_LINES = 5
LINE_CHARS = 120
"""Of a server's log, in a reason: the API's may have 1,024 characters, and the last line tells
most."""


def failure_of(job: Job, job_dir: Path) -> str:
    """Empty where the job has recommendations, and the samples that they come from."""
    if missing := unaccounted(job.trials, job_dir):
        return missing
    if job.recommendations:
        return ""
    if not job.rejected:
        return "no candidate was measured"
    return "no candidate can be recommended: " + "; ".join(map(why_rejected, _alike(job.rejected)))


def unaccounted(trials: Sequence[TrialRecord], job_dir: Path) -> str:
    """Which measured trial's samples are not on disk as it counted them; empty: all are."""
    for trial in trials:
        if trial.state is not TrialState.SUCCEEDED:
            continue
        counted = trial.requests.attempted + trial.requests.dropped
        found = sum(_samples_in(job_dir / name) for name in trial.sample_files)
        if found != counted:
            name = trial.candidate.label
            return f"{name} made {counted} requests and {found} samples of them are stored"
    return ""


def _samples_in(path: Path) -> int:
    try:
        return path.stat().st_size // DTYPE.itemsize
    except OSError:
        return 0


def _alike(rejected: Sequence[Rejection]) -> list[Rejection]:
    """One of each reason and detail: 21 types that fail alike are told once."""
    return list({(one.reason, one.detail): one for one in reversed(rejected)}.values())[::-1]


def why_rejected(one: Rejection) -> str:
    """One candidate's reason in words, with the end of its server's log."""
    variables = " ".join(f"{name}={value}" for name, value in one.environment.items())
    lines = [line.strip() for line in one.log_tail.splitlines() if line.strip()]
    log = " | ".join(line[:LINE_CHARS] for line in lines[-LOG_LINES:])
    said = f"; the server's log ends: {log}" if log else ""
    return f"{one.instance_type} {variables}".strip() + f": {one.reason}: {one.detail}{said}"
