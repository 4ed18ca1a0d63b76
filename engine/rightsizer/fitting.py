"""How many candidates a default job has room for, in its time and its trials. Pure."""

from __future__ import annotations

import math

from rightsizer.needs import Need, need
from rightsizer.plan import FINAL_SHARE, START_S, USUAL_FINALISTS, USUAL_STARTS, scout_share
from rightsizer.spec import JobSpec, SaturateTraffic, SearchTraffic

MOST_CANDIDATES = 24
"""More would share the time at a quarter of the budget each: too short to tell much."""
SHORT_JOBS_FINALS = 1 / 3
"""Of the time of a job half of which does not hold the usual finals: its candidates come first."""
FINALS = USUAL_FINALISTS * USUAL_STARTS


def room_of(spec: JobSpec, hosts: int, at_most: int = MOST_CANDIDATES) -> int:
    """The most candidates that can be scouted once and leave time and trials for finals."""
    counts = range(1, min(at_most, most(spec)) + 1)
    return max((count for count in counts if has_time(spec, hosts, count)), default=1)


def has_time(spec: JobSpec, hosts: int, count: int) -> bool:
    """Whether so many can be scouted once and leave time for finals."""
    allowed_s = spec.limits.duration_s
    finals_s = _finals_s(spec, hosts, FINALS)
    if finals_s > allowed_s / 2:
        finals_s = SHORT_JOBS_FINALS * allowed_s
    return _scouting_s(spec, hosts, count) <= allowed_s - finals_s


def most(spec: JobSpec) -> int:
    """The most candidates that trials leave room for, whatever the time."""
    if "max_trials" not in spec.limits.model_fields_set:  # fitted to the candidates later
        return MOST_CANDIDATES
    finals = min(FINALS, spec.limits.max_trials // 2)
    return min(MOST_CANDIDATES, spec.limits.max_trials - finals)


def needs_of(spec: JobSpec, hosts: int, wanted: int) -> tuple[Need, ...]:
    """Limits that are too small for so many candidates, or for as many as any job has room for.

    What they would have to be holds the usual finals too.
    """
    count = min(wanted, MOST_CANDIDATES)
    finals_s = _finals_s(spec, hosts, FINALS)
    found: tuple[Need, ...] = ()
    if most(spec) < count:
        found += need("limits.max_trials", spec.limits.max_trials, count + FINALS)
    if not has_time(spec, hosts, count):
        long_s = max(_scouting_s(spec, hosts, count) + finals_s, 2 * finals_s)
        found += need("limits.duration_s", spec.limits.duration_s, long_s)
    return found


def too_many(spec: JobSpec, types: int) -> str:
    """Why instance types are passed over for others."""
    if most(spec) == MOST_CANDIDATES:
        return f"larger than the {MOST_CANDIDATES} that a job has room for"
    wanted = min(types, MOST_CANDIDATES) + FINALS
    return f"limits.max_trials {spec.limits.max_trials} has no room for them; raise it to {wanted}"


def with_trials(spec: JobSpec, candidates: int) -> JobSpec:
    """As many trials as the time may hold, unless the user said how many."""
    if "max_trials" in spec.limits.model_fields_set:
        return spec
    left_s = spec.limits.duration_s - _scouting_s(spec, 1, candidates)
    finals = max(FINALS, int(left_s / _finals_s(spec, 1, 1)))
    update = {"max_trials": candidates + finals}
    return spec.model_copy(update={"limits": spec.limits.model_copy(update=update)})


def _scouting_s(spec: JobSpec, hosts: int, count: int) -> float:
    return _rounds(spec, hosts, count) * (START_S + scout_share(count) * _budget_s(spec))


def _finals_s(spec: JobSpec, hosts: int, count: int) -> float:
    return _rounds(spec, hosts, count) * (START_S + FINAL_SHARE * _budget_s(spec))


def _rounds(spec: JobSpec, hosts: int, count: int) -> int:
    return math.ceil(count / max(1, min(spec.limits.max_parallel_trials, hosts)))


def _budget_s(spec: JobSpec) -> float:
    assert isinstance(spec.traffic, SearchTraffic | SaturateTraffic)
    return spec.traffic.budget_s
