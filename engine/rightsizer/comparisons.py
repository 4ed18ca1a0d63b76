"""Two stored jobs compared: their own arrivals, their own days. Measures nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from statistics import median

from rightsizer.analysis.figures import Basis
from rightsizer.compared import Compared, Matched
from rightsizer.comparing import Comparison, Side, apart, inconclusive
from rightsizer.contrasts import log_variance
from rightsizer.errors import InputError, UsageError
from rightsizer.loading import load
from rightsizer.recommendation import Recommendation
from rightsizer.results import Job

ASPECTS = ("model", "payload", "basis", "host")
"""What two jobs must have in common unless told otherwise."""


def compare(
    job_a: str,
    job_b: str,
    *,
    across: Collection[str] = (),
    fail_on_regression_percent: float | None = None,
    store: str | Path | None = None,
) -> Compared:
    """What B costs over A, candidate by candidate: those that are equal, or the only one of each.

    Args:
        job_a, job_b: ids or unambiguous names of stored jobs; A is the baseline.
        across: of `ASPECTS`, those in which the jobs may differ all the same.
        fail_on_regression_percent: what B may cost more before `exit_code` is 8.
        store: the folder they are kept in; RIGHTSIZER_STORE or the user's data folder if None.

    Raises:
        UsageError: no such job, or an unknown aspect.
        InputError: the jobs differ in what makes them comparable, or have no candidate in common.
    """
    unknown = sorted(set(across) - set(ASPECTS))
    if unknown:
        raise UsageError(f"--across {unknown[0]} is not known", "", f"name {', '.join(ASPECTS)}")
    a, b = load(job_a, store=store), load(job_b, store=store)
    notes = _differences(a, b, across)
    moved = host_moved_ratio(a, b)
    pairs = tuple(_pairs(a, b, moved)) if a.recommendations and b.recommendations else ()
    best = a.best or b.best
    basis: Basis = "closed" if best is None else best.basis
    if moved is None:
        notes.append("the hosts' own speed was not measured in both: a change of it is not seen")
    return Compared(
        a,
        b,
        basis,
        is_paired=False,
        pairs=pairs,
        moved_ratio=moved,
        fail_on_regression_ratio=None
        if fail_on_regression_percent is None
        else fail_on_regression_percent / 100,
        notes=tuple(notes),
    )


def host_moved_ratio(a: Job, b: Job) -> float | None:
    """By how much the slower of processor and memory differs between the jobs' calibrations."""
    speeds: list[Callable[[Job], list[float]]] = [
        lambda job: [
            t.measurement.calibration.hashed_bytes_per_s
            for t in job.trials
            if t.measurement.calibration is not None
        ],
        lambda job: [
            t.measurement.calibration.copied_bytes_per_s
            for t in job.trials
            if t.measurement.calibration is not None
        ],
    ]
    moved = []
    for speed in speeds:
        ours, theirs = speed(a), speed(b)
        if not ours or not theirs:
            return None
        moved.append(math.exp(abs(math.log(median(theirs) / median(ours)))) - 1)
    return max(moved)


def _differences(a: Job, b: Job, across: Collection[str]) -> list[str]:
    """What differs although it should not, as notes where it was allowed; else raised."""
    notes: list[tuple[str, str]] = []
    refused: list[tuple[str, str]] = []
    for aspect, of in _OF_ASPECT.items():
        one, other = of(a), of(b)
        if one == other:
            continue
        said = f"{aspect} differs: {one} and {other}"
        (notes if aspect in across else refused).append((aspect, said))
    if refused:
        names = ",".join(aspect for aspect, _ in refused)
        raise InputError(
            f"{a.id} and {b.id} cannot be compared",
            "; ".join(said for _, said in refused),
            f"give --across {names} to compare them all the same",
        )
    return [said for _, said in notes]


def _basis(job: Job) -> str:
    limit = job.spec.get("limit", {})
    target = f"{limit.get('percentile')} {limit.get('latency_ms')} ms"
    return f"{job.spec['traffic']['type']} traffic, {target}"


def _host(job: Job) -> str:
    names = sorted({trial.host for trial in job.trials if trial.host})
    machine = job.origin.machine
    return f"{', '.join(names)} of {machine.get('host', '')} ({machine.get('processor', '')})"


_OF_ASPECT: dict[str, Callable[[Job], str]] = {
    "model": lambda job: str(job.spec["model"].get("name")),
    "payload": lambda job: job.origin.digests.get("payload", "")[:12],
    "basis": _basis,
    "host": _host,
}


def _pairs(a: Job, b: Job, moved: float | None) -> list[Matched]:
    together = _together(a.recommendations, b.recommendations)
    if not together:
        raise InputError(
            f"{a.id} and {b.id} have no candidate in common",
            "they are matched by instance type and environment",
            "compare jobs of one candidate each, or with the same ones",
        )
    return [
        Matched(
            (one.instance_type, other.instance_type),
            (one.environment, other.environment),
            (one.max_invocations_per_min, other.max_invocations_per_min),
            _comparison(one, other, moved, len(together)),
        )
        for one, other in together
    ]


def _together(
    a: Sequence[Recommendation], b: Sequence[Recommendation]
) -> list[tuple[Recommendation, Recommendation]]:
    if len(a) == len(b) == 1:
        return [(a[0], b[0])]

    def key(row: Recommendation) -> tuple[str, frozenset[tuple[str, str]]]:
        return row.instance_type, frozenset(row.environment.items())

    theirs = {key(row): row for row in b}
    return [(row, theirs[key(row)]) for row in a if key(row) in theirs]


def _comparison(
    a: Recommendation, b: Recommendation, moved: float | None, comparisons: int
) -> Comparison:
    if "at_least" in (a.max_kind, b.max_kind):
        return inconclusive("a maximum is a lower bound only")
    variances = log_variance(a), log_variance(b)
    if variances[0] is None or variances[1] is None:
        return inconclusive("a maximum has no interval")
    priced = bool(a.price_per_hour_usd and b.price_per_hour_usd)
    sides = [
        Side(_log_cost(row, priced), variance, row.starts)
        for row, variance in ((a, variances[0]), (b, variances[1]))
    ]
    return apart(sides[0], sides[1], moved, comparisons)


def _log_cost(row: Recommendation, priced: bool) -> float:
    price = row.price_per_hour_usd if priced and row.price_per_hour_usd else 1.0
    return math.log(price / row.max_invocations_per_min)
