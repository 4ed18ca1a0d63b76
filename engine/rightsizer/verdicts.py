"""What one measurement of an endpoint is worth: its verdict, and the doubts that say why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from rightsizer.analysis.consistency import UNSTEADY
from rightsizer.analysis.doubts import LONGER
from rightsizer.analysis.figures import Doubt, Severity, StepFigures, TrialFigures
from rightsizer.analysis.validity import OF_GENERATOR
from rightsizer.errors import Reason, TrialState
from rightsizer.spec import LimitSpec
from rightsizer.trials import TrialRecord
from rightsizer.units import milliseconds

Verdict = Literal["valid", "limit-unmet", "no-steady-state", "generator-limited", "invalid"]

SENSIBLE_LIMIT_RATIO = 1.5
"""Of the unloaded latency: a single queue can then be about a third busy; below, hardly at all."""

_UNSTEADY = "no-steady-state"
_BY_DOUBT: Mapping[str, Verdict] = {
    **dict.fromkeys(OF_GENERATOR, "generator-limited"),
    _UNSTEADY: "no-steady-state",
}
"""Verdicts by the code of a doubt that blocks."""
_BELOW_FLOOR = "limit-below-floor"
_JUDGED_BY_STEPS = (Reason.GENERATOR_LIMITED, Reason.NO_VALID_STEP, Reason.ERRORS)
"""Reasons that say no more than the steps' own verdicts."""

# Of a server that the engine starts, on CPUs that it gave out.
_NOT_OF_AN_ENDPOINT = {"server-elsewhere", "stand-in", "co-located", "shared-core", "not-pinned"}

_ADVICE = (
    ("a redirect to ", "redirects are not followed: measure the address that it points to"),
    ("WRONG_VERSION", "the port does not speak TLS: use http, or the port that does"),
    ("SSL", "mend the certificate, or name its authority with SSL_CERT_FILE"),
    ("certificate", "mend the certificate, or name its authority with SSL_CERT_FILE"),
    ("not HTTP", "check the port, and whether it wants http or https"),
    ("reset by peer", "check the port, and whether it wants http or https"),
    ("no connection", "check the address, and that the server runs"),
    ("no answer within", "see why it is slow, or allow it more with --timeout-s"),
    ("status 404", "check the URL: of raw it is the whole address, path included"),
    ("", "check --payload, --content-type, --header and --protocol"),
)
"""By what a refused probe says; the first that fits."""

_NEXT_STEPS = {
    Reason.HUNG: "see why the server stopped answering, then measure again",
    Reason.ERRORS: "see what the server answers, then measure again",
    Reason.GENERATOR_LOST: "see generator.log in the folder of the samples",
    Reason.NO_SAMPLES: "give a longer --duration-s or --budget-s",
}


def verdict_of(record: TrialRecord, *, has_maximum: bool) -> Verdict:
    """What a measurement is worth, by how its trial ended and what its steps were judged.

    `has_maximum` is whether the traffic is such as finds one (not users, not rate). A trial that
    the user cut short counts by what it has.
    """
    figures = record.figures
    if figures is None or _ended_badly(record, figures):
        return "invalid"
    judged = [step for step in record.steps if step.verdict != "invalid"]
    blocking = _codes(figures.doubts)
    if not judged:
        blocking |= _codes(doubt for step in record.steps for doubt in step.doubts)
    said = _by_doubt(blocking)
    if said is not None:
        return said
    if not judged or record.requests.succeeded == 0:
        return "invalid"
    if _BELOW_FLOOR in blocking:
        return "limit-unmet"
    if blocking:
        return "invalid"
    if figures.max_invocations_per_min is not None:
        # A maximum rests on several steps; of one load a drift leaves no number that describes it.
        drifts = any(doubt.code in UNSTEADY for step in judged for doubt in step.doubts)
        return "no-steady-state" if drifts and not has_maximum else "valid"
    if not any(step.is_within for step in judged):
        return "limit-unmet"
    # One that holds the limit, and yet no maximum: there was too little to claim one.
    lost = _codes(doubt for step in record.steps for doubt in step.doubts)
    return _by_doubt(lost) or "invalid"


def why_all_invalid(steps: Sequence[StepFigures]) -> tuple[Reason, str]:
    """Why no step of a trial could be judged: whose fault, and the first doubt that says so."""
    blocking = [doubt for step in steps for doubt in step.doubts if doubt.severity == "blocks"]
    if not blocking:
        return Reason.NO_VALID_STEP, "no request was made in the measured part of any step"
    of_generator = [d for d in blocking if d.code in OF_GENERATOR]
    reason = Reason.GENERATOR_LIMITED if of_generator else Reason.NO_VALID_STEP
    first = (of_generator or blocking)[0]
    return reason, f"no step could be judged: {first.message}; {first.next_step}"


def measurement_doubts(
    record: TrialRecord, verdict: Verdict, limit: LimitSpec, *, has_maximum: bool
) -> tuple[Doubt, ...]:
    """The doubts on a measurement, those that explain its verdict first, each code once."""
    figures = record.figures
    found = _ending_doubts(record)
    if figures is not None and verdict == "limit-unmet":
        found.append(_limit_doubt(record.steps, figures, limit))
    if verdict != "valid":
        # Those on a maximum's own step are among the figures' doubts.
        on_steps = [doubt for step in record.steps for doubt in step.doubts]
        if verdict == _UNSTEADY and figures is not None:
            found += [d for d in figures.doubts if d.code == _UNSTEADY and d.severity == "blocks"]
            found += [replace(d, severity="blocks") for d in on_steps if d.code in UNSTEADY]
        found += [d for weight in ("blocks", "weakens") for d in on_steps if d.severity == weight]
    if figures is not None:
        # Of the floor the limit's own doubt speaks, from more than the probes.
        said = {_BELOW_FLOOR} if verdict == "limit-unmet" else set()
        found += [d for d in figures.doubts if _applies(d, has_maximum) and d.code not in said]
    once = {doubt.code: doubt for doubt in reversed(found)}
    longer = f"give a longer {'--budget-s' if has_maximum else '--duration-s'}"
    return tuple(_advised(once[code], longer) for code in dict.fromkeys(d.code for d in found))


def _ended_badly(record: TrialRecord, figures: TrialFigures) -> bool:
    if record.state in (TrialState.SUCCEEDED, TrialState.STOPPED):
        return False
    if record.reason in _JUDGED_BY_STEPS:
        # Errors after steps that held: the server broke, and what it gave before is no maximum.
        return figures.max_invocations_per_min is not None
    return True


def _by_doubt(codes: set[str]) -> Verdict | None:
    """The verdict of the first doubt that says it all."""
    return next((verdict for code, verdict in _BY_DOUBT.items() if code in codes), None)


def _codes(doubts: Iterable[Doubt]) -> set[str]:
    return {doubt.code for doubt in doubts if doubt.severity == "blocks"}


def _applies(doubt: Doubt, has_maximum: bool) -> bool:
    of_a_maximum = doubt.code == "at-least"
    return doubt.code not in _NOT_OF_AN_ENDPOINT and (has_maximum or not of_a_maximum)


def _advised(doubt: Doubt, longer: str) -> Doubt:
    """What to do about a doubt on a job's trial, in the words of this command."""
    instead = {
        **dict.fromkeys(("cut-short", "step-cut-short"), "measure again"),
        "at-least": longer,
        "not-soaked": "before production soak it: a job with server.url and traffic.confirm_s: 600",
    }
    same = doubt.next_step.replace(LONGER, longer)
    return replace(doubt, next_step=instead.get(doubt.code, same))


def _ending_doubts(record: TrialRecord) -> list[Doubt]:
    """Why it ended before its plan, unless its steps say it better."""
    reason = record.reason
    if record.state is TrialState.STOPPED and record.figures is not None:
        return []  # cut-short says it
    if reason is None or (reason in _JUDGED_BY_STEPS and record.requests.succeeded):
        return []
    if reason is Reason.NEVER_READY:
        # A status comes from a server that was reached.
        reached = record.detail.rpartition("last: ")[2].startswith("status")
        if not reached:
            return [_doubt("unreachable", record.detail, "check the address, and that it runs")]
        next_step = "check that the address is the base, and --protocol"
        return [_doubt(Reason.PROBE_REFUSED.value, record.detail, next_step)]
    if reason is Reason.PROBE_REFUSED:
        next_step = next(advice for part, advice in _ADVICE if part in record.detail)
        return [_doubt(reason.value, record.detail, next_step)]
    return [_doubt(reason.value, record.detail, _NEXT_STEPS.get(reason, "measure again"))]


def _doubt(code: str, message: str, next_step: str, severity: Severity = "blocks") -> Doubt:
    return Doubt(code, severity, message, next_step)


def _limit_doubt(steps: Sequence[StepFigures], figures: TrialFigures, limit: LimitSpec) -> Doubt:
    """Which limit was not met, by how much, and what limit could be."""
    slow = [s.latency_ms for s in steps if s.verdict == "over-latency" and s.latency_ms is not None]
    limit_ms, unloaded_ms = limit.latency_ms, figures.unloaded_latency_ms
    if limit_ms is None or not slow:
        next_step = "see what the server answers, or lower the load"
        return _doubt("limit-unmet", figures.limit_detail, next_step)
    # The probes may have met a cold server: what a whole step did faster is the better floor.
    floor_ms = min(slow) if unloaded_ms is None else min(*slow, unloaded_ms)
    if floor_ms <= limit_ms:
        next_step = "lower the load, raise the limit, or find the maximum with --traffic search"
        return replace(
            _doubt("limit-unmet", figures.limit_detail, next_step),
            figures={"latency_ms": min(slow), "limit_ms": limit_ms, "floor_ms": floor_ms},
        )
    sensible_ms = SENSIBLE_LIMIT_RATIO * floor_ms
    return Doubt(
        _BELOW_FLOOR,
        "blocks",
        f"the limit of {milliseconds(limit_ms)} on {limit.percentile} is below the floor of "
        f"{milliseconds(floor_ms)} that was measured without load: no load can meet it",
        f"the smallest sensible limit is {milliseconds(sensible_ms)}; at the floor itself "
        "there is no room for any queue",
        {
            "unloaded_latency_ms": unloaded_ms,
            "floor_ms": floor_ms,
            "limit_ms": limit_ms,
            "smallest_sensible_limit_ms": sensible_ms,
        },
    )
