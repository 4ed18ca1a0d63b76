"""Two jobs made ready to be measured together: what may differ, and which candidates meet. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rightsizer.candidates import Candidate, hash_of
from rightsizer.errors import InputError
from rightsizer.paired_race import Pair
from rightsizer.plan import USUAL_STARTS, Plan, PlannedTrial
from rightsizer.spec import JobSpec, SaturateTraffic, SearchTraffic
from rightsizer.standing import FEWEST_STARTS

ALIKE = ("traffic", "limit", "stop")
"""Keys of the job file that both must have alike: they are the conditions of the measurement."""
SERVER_ALIKE = ("protocol", "request_timeout_s")


@dataclass(frozen=True)
class Asked:
    """One of the two jobs: what it asks, what it read, what it would run."""

    spec: JobSpec
    digests: Mapping[str, str]
    plan: Plan


@dataclass(frozen=True)
class Match:
    """The trials of both as one plan, with the pairs and whose trial is whose."""

    plan: Plan
    pairs: tuple[Pair, ...]
    starts: int


def matched(a: Asked, b: Asked) -> Match:
    """The candidates of two jobs in pairs: those that are equal, or the only one of each.

    Raises:
        InputError: the jobs ask under different conditions, a candidate has no partner or no host,
            or `limits.max_trials` leaves no room for paired starts.
    """
    _require_alike(a, b)
    trials_a, trials_b = (_of_side(asked.plan.trials, side) for asked, side in ((a, "A"), (b, "B")))
    together = [_on_one_host(*pair) for pair in _together(trials_a, trials_b)]
    pairs = tuple(Pair(one.candidate.id, other.candidate.id) for one, other in together)
    starts = min(USUAL_STARTS, *(x.spec.limits.max_trials // len(pairs) - 1 for x in (a, b)))
    if starts < FEWEST_STARTS:
        wanted = (1 + FEWEST_STARTS) * len(pairs)
        raise InputError(
            "limits.max_trials leaves no room for paired starts",
            f"{len(pairs)} candidate(s) need a scout and {FEWEST_STARTS} finals each",
            f"allow {wanted} or more in both jobs",
        )
    trials = tuple(trial for pair in together for trial in pair)
    finals = 2 * starts * len(pairs)
    # One after the other: side by side they would share the machine.
    plan = replace(a.plan, trials=trials, refused=(), at_once=1, finals=finals)
    return Match(plan, pairs, starts)


def _require_alike(a: Asked, b: Asked) -> None:
    if not isinstance(a.spec.traffic, SearchTraffic | SaturateTraffic):
        why = f"{a.spec.traffic.type} traffic finds no maximum that could be paired"
        raise InputError("traffic.type cannot be compared", why, "use search or saturate")
    named = [name for name in ALIKE if getattr(a.spec, name) != getattr(b.spec, name)]
    named += [
        f"server.{name}"
        for name in SERVER_ALIKE
        if getattr(a.spec.server, name) != getattr(b.spec.server, name)
    ]
    if a.spec.payload.content_type != b.spec.payload.content_type:
        named.append("payload.content_type")
    for name in ("payload", "hosts", "prices"):
        if a.digests.get(name) != b.digests.get(name):
            named.append(f"the content of {name}")
    if named:
        raise InputError(
            f"A and B differ in {', '.join(named)}",
            "they would not be measured under the same conditions",
            "make them alike; server, model, image and environments may differ",
        )
    for side, asked in (("A", a), ("B", b)):
        if asked.plan.refused:
            refusal = asked.plan.refused[0]
            what = f"{side}'s {refusal.candidate.label} cannot run here"
            raise InputError(what, refusal.why, "drop it from the job")


def _of_side(trials: Sequence[PlannedTrial], side: str) -> list[PlannedTrial]:
    """The trials under ids of the side's own: both jobs may have the very same candidates."""

    def own(trial: PlannedTrial) -> PlannedTrial:
        return replace(
            trial,
            id=hash_of([side, trial.id]),
            candidate=replace(trial.candidate, id=hash_of([side, trial.candidate.id])),
            elsewhere=tuple(own(option) for option in trial.elsewhere),
        )

    return [own(trial) for trial in trials]


def _together(
    a: Sequence[PlannedTrial], b: Sequence[PlannedTrial]
) -> list[tuple[PlannedTrial, PlannedTrial]]:
    if len(a) == len(b) == 1:
        return [(a[0], b[0])]
    by_name_a = {_name(trial.candidate): trial for trial in a}
    by_name_b = {_name(trial.candidate): trial for trial in b}
    alone = sorted(set(by_name_a) ^ set(by_name_b))
    if alone:
        first = alone[0]
        side = "A" if first in by_name_a else "B"
        raise InputError(
            f"{len(alone)} candidate(s) have no partner, {first} of {side} the first",
            "several are matched by instance type and environment",
            "give both jobs the same candidates, or one each",
        )
    return [(trial, by_name_b[name]) for name, trial in by_name_a.items()]


def _on_one_host(a: PlannedTrial, b: PlannedTrial) -> tuple[PlannedTrial, PlannedTrial]:
    """Both on the first host that can run the two."""
    theirs = {option.host.name: option for option in b.options}
    for option in a.options:
        if option.host.name in theirs:
            other = theirs[option.host.name]
            return replace(option, elsewhere=()), replace(other, elsewhere=())
    raise InputError(
        f"no host can run both {a.candidate.label} and {b.candidate.label}",
        "only one host compares",
        "give a hosts file with one that can",
    )


def _name(candidate: Candidate) -> str:
    variables = " ".join(f"{k}={v}" for k, v in sorted(candidate.environment.items()))
    own = " ".join(candidate.own_server or ())
    return f"{candidate.instance_type} {variables} {own}".strip()
