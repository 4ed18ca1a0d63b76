"""The closing sentence: what to run, how many, what it costs, how busy, how sure, what next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rightsizer.analysis.figures import Doubt, TrialFigures
from rightsizer.errors import TrialState
from rightsizer.recommendation import Recommendation
from rightsizer.report.columns import price_basis
from rightsizer.report.document import trial_folder
from rightsizer.report.entries import worst_first
from rightsizer.report.layout import filled, label, one_line, own_command, variables
from rightsizer.results import Job
from rightsizer.spec import LimitSpec, TargetSpec
from rightsizer.trials import TrialRecord
from rightsizer.units import (
    ABSENT,
    chance,
    fine_percent,
    given,
    interval,
    milliseconds,
    percent,
    significant,
    usd,
)

# What the sentence says in other words already.
_SAID = {"at-least", "count-uncertain", "no-price", "price-unverified"}

_STANDS = {
    "pending": "The job has not started",
    "running": "The job is still running",
    "stopping": "The job is being stopped",
    "stopped": "The job was stopped",
    "failed": "The job failed",
}


def closing_sentence(job: Job, width: int | None = None) -> str:
    """What to make of a job, with what to do next where there is something; on one line, or filled
    to a terminal."""
    step = _next_step(job)
    said = f"{finding(job)} Next: {step}" if step else finding(job)
    return said if width is None else filled(said, width)


def finding(job: Job) -> str:
    """What to make of a job: how many of what to run, or why there is no telling."""
    stands = _STANDS.get(job.status)
    so_far = f"{stands}, and this is what it has so far. " if stands else ""
    if job.best is not None:
        return f"{so_far}{_recommended(job, job.best)}."
    measured = [trial for trial in job.trials if trial.is_valid]
    found = _nothing_within(job, measured) if measured else _nothing_measured(job)
    return f"{so_far}{found}."


def promise(limit: LimitSpec) -> str:
    """`P95 within 250 ms and at most 1 % errors`."""
    errors = f"at most {fine_percent(limit.max_error_ratio)} errors"
    if limit.latency_ms is None:
        return errors
    return f"{limit.percentile} within {milliseconds(limit.latency_ms)} and {errors}"


def question(job: Job) -> str:
    """`P95 within 250 ms and at most 1 % errors, 300 invocations a minute`."""
    asked = promise(LimitSpec.model_validate(job.spec.get("limit", {})))
    target = job.spec.get("target")
    if target is None:
        return asked
    wanted = TargetSpec.model_validate(target)
    parts = [asked, f"{_invocations(wanted.invocations_per_min)} a minute"]
    if wanted.max_utilisation_ratio < 1:
        parts.append(f"at most {percent(wanted.max_utilisation_ratio)} busy")
    if wanted.spare_instances:
        parts.append(f"{wanted.spare_instances} spare")
    return ", ".join(parts)


def _next_step(job: Job) -> str:
    is_measured = any(trial.is_valid for trial in job.trials)
    if job.asked is not None and is_measured:
        return _confirmation(job.asked)
    if job.status in ("stopped", "failed"):
        return f"rightsizer resume {job.id}"
    if job.status in ("pending", "running", "stopping"):
        return f"rightsizer show {job.id}"
    log = "" if is_measured else _first_log(job)
    if log:
        return f"tail -n 40 {shlex.quote(log)}, mend it, and run the job again"
    return f"rightsizer show {job.id} --format markdown"


def _confirmation(asked: Mapping[str, Any]) -> str:
    """What would measure an answer of `what-if`: only another limit is not measured already."""
    settings = [f"limit.{name}: {_plain(value)}" for name, value in asked["limit"].items()]
    return f"run the job with {' and '.join(settings)} to confirm" if settings else ""


def _plain(value: object) -> str:
    """As a job file has it."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _recommended(job: Job, row: Recommendation) -> str:
    target = job.spec.get("target")
    if target is None:
        return f"{_alone(job, row)}{_race(job, row)}{_reservations(row)}"
    wanted = TargetSpec.model_validate(target).invocations_per_min
    return f"{_fleet(job, row, wanted)}{_race(job, row)}{_reservations(row)}"


def _fleet(job: Job, row: Recommendation, wanted_per_min: float) -> str:
    """With a target: the fleet that carries it."""
    fleet = row.fleet
    many = fleet.instance_count > 1
    carries, its = ("they carry", "their") if many else ("it carries", "its")
    at_most = "no more than " if row.max_kind == "at_least" else ""
    return (
        f"Run {fleet.instance_count} x {_with_variables(row)}: {carries} "
        f"{_invocations(wanted_per_min)} a minute at {at_most}"
        f"{percent(fleet.utilisation_at_target_ratio)} of {its} maximum{_cost(row)}; "
        f"maximum {_maximum(row)}/min{' each' if many else ''} ({_sureness(row)}), "
        f"{_latency(job, row)}"
    )


def _alone(job: Job, row: Recommendation) -> str:
    """Without a target: one instance at full load."""
    each = row.cost_per_inference_usd
    full = "" if each is None else f", {usd(each)} an inference at full load"
    return (
        f"Run {_with_variables(row)}: one instance carries {_maximum(row)} invocations a minute "
        f"({_sureness(row)}){_cost(row)}{full}; {_latency(job, row)}"
    )


def _with_variables(row: Recommendation) -> str:
    names = " ".join([*variables(row.environment), *own_command(row.command)])
    return f"{row.instance_type} with {names}" if names else row.instance_type


def _invocations(number: float) -> str:
    return f"{given(number)} invocation{'' if number == 1 else 's'}"


def _cost(row: Recommendation) -> str:
    if row.fleet.cost_per_month_usd is None:
        return f", cost unknown as {row.instance_type} has no price"
    basis = price_basis(row)
    said = "" if basis == ABSENT else f" (price: {basis})"
    return f" for {usd(row.fleet.cost_per_month_usd)} a month{said}"


def _maximum(row: Recommendation) -> str:
    text = significant(row.max_invocations_per_min)
    return f"at least {text}" if row.max_kind == "at_least" else text


def _sureness(row: Recommendation) -> str:
    ci = row.max_invocations_per_min_ci
    known = interval(ci)
    cliff = "a cliff, " if row.max_kind == "bracket" else ""
    sure = "no honest 95 % interval" if known == ABSENT else f"95 % interval {known}"
    return f"{cliff}{sure}, {row.basis} basis"


def _latency(job: Job, row: Recommendation) -> str:
    limit = LimitSpec.model_validate(job.spec.get("limit", {}))
    allowed = "" if limit.latency_ms is None else f" of {milliseconds(limit.latency_ms)} allowed"
    return f"{row.percentile} {milliseconds(row.model_latency_ms)}{allowed}"


def _race(job: Job, row: Recommendation) -> str:
    """How surely it is the best, where candidates were raced."""
    if row.p_best is None:
        return ""
    if not row.tied_with_best:
        return f"; the best with probability {chance(row.p_best)}"
    others = [x for x in job.recommendations if x.tied_with_best and x.rank != row.rank]
    which = ", ".join(str(other.rank) for other in others)
    return f"; not to be told from row{'s' if len(others) > 1 else ''} {which}"


def _reservations(row: Recommendation) -> str:
    """What makes the numbers less than sure, the count first."""
    said = ""
    for doubt in row.doubts:
        if doubt.code == "count-uncertain":
            said += f"; {doubt.message}: {_count_to_plan(doubt)}"
    weighty = [
        doubt
        for doubt in worst_first(row.doubts)
        if doubt.severity != "note" and doubt.code not in _SAID
    ]
    if any(doubt.severity == "blocks" for doubt in weighty):
        said += "; not to be relied on: "
    elif weighty:
        said += "; weakened by: "
    return said + ", ".join(doubt.code for doubt in weighty)


def _count_to_plan(doubt: Doubt) -> str:
    likely = doubt.figures.get("likely")
    return "plan for the higher count" if likely is None else f"plan for {likely:g} or more"


def _nothing_within(job: Job, measured: Sequence[TrialRecord]) -> str:
    """What came nearest to the limits, and what to try."""
    limit = LimitSpec.model_validate(job.spec.get("limit", {}))
    nearest = min(measured, key=_excess)
    assert nearest.figures is not None
    return (
        f"Nothing measured keeps {promise(limit)}; nearest was {_name(nearest)}: "
        f"{one_line(nearest.figures.limit_detail)}; {_what_to_try(job, nearest, nearest.figures)}"
    )


def _what_to_try(job: Job, nearest: TrialRecord, figures: TrialFigures) -> str:
    for doubt in figures.doubts:
        if doubt.code == "limit-below-floor":
            return f"{doubt.message}; {doubt.next_step}"
    if any(step.verdict == "over-latency" for step in nearest.steps):
        return "try a larger instance type or a higher latency limit"
    return f"see what the server answers in {_log(job, nearest)}"


def _excess(trial: TrialRecord) -> tuple[int, float]:
    """Orders by distance from the limits: the slow by latency, then the failing by errors."""
    slow = [s.latency_ms for s in trial.steps if s.verdict == "over-latency" and s.latency_ms]
    if slow:
        return 0, min(slow)
    return 1, min(step.error_ratio for step in trial.steps if step.verdict != "invalid")


def _nothing_measured(job: Job) -> str:
    ended = [trial for trial in job.trials if trial.state is not TrialState.RUNNING]
    if not ended:
        return "Nothing is measured yet"
    # The one whose log the next command shows, if any has one.
    first = next((trial for trial in ended if trial.log_tail), ended[0])
    reason = first.state.value if first.reason is None else first.reason.value
    detail = first.detail or ("" if first.figures is None else first.figures.limit_detail)
    why = one_line(f"{reason}: {detail}" if detail else reason)
    who = "the trial" if len(ended) == 1 else f"none of {len(ended)} trials"
    gave = "gave no" if len(ended) == 1 else "gave a"
    return f"Nothing to recommend: {who} {gave} valid measurement; {_name(first)}: {why}"


def _first_log(job: Job) -> str:
    """The log of the first server that said something; a candidate that no host runs has none."""
    return next((_log(job, trial) for trial in job.trials if trial.log_tail), "")


def _log(job: Job, trial: TrialRecord) -> str:
    return f"{trial_folder(job, trial)}/server.log"


def _name(trial: TrialRecord) -> str:
    candidate = trial.candidate
    return label(candidate.instance_type, candidate.environment, candidate.own_server)
