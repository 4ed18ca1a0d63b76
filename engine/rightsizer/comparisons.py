"""Two stored jobs compared: their own arrivals, their own days. Measures nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
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
OF_API = ("time-scaled", "other-image")
"""Doubts on every row of a job that the API made otherwise than it was asked."""


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
        InputError: the jobs differ in what makes them comparable, or have no candidate in common,
            or nothing was tried yet.
    """
    unknown = sorted(set(across) - set(ASPECTS))
    if unknown:
        raise UsageError(f"--across {unknown[0]} is not known", "", f"name {', '.join(ASPECTS)}")
    a, b = load(job_a, store=store), load(job_b, store=store)
    notes = _differences(a, b, across) + _of_api(a, b)
    moved = host_moved_ratio(a, b)
    pairs, alone = _pairs(a, b, moved)
    notes += alone
    best = a.best or b.best
    basis: Basis = "closed" if best is None else best.basis
    if moved is None:
        notes.append("the hosts' own speed was not measured in both: a change of it is not seen")
    return Compared(
        a,
        b,
        basis,
        is_paired=False,
        pairs=tuple(pairs),
        moved_ratio=moved,
        fail_on_regression_ratio=None
        if fail_on_regression_percent is None
        else fail_on_regression_percent / 100,
        notes=tuple(notes),
    )


def host_moved_ratio(a: Job, b: Job) -> float | None:
    """By how much processor or memory of a host differ between the jobs' calibrations, at the most.

    None where no host was calibrated in both.
    """
    moved = []
    for host in {trial.host for trial in a.trials}:
        for speeds in zip(_speeds(a, host), _speeds(b, host), strict=True):
            if all(speeds):
                ours, theirs = map(median, speeds)
                moved.append(math.exp(abs(math.log(theirs / ours))) - 1)
    return max(moved, default=None)


def _speeds(job: Job, host: str) -> tuple[list[float], list[float]]:
    """What the host's processor, and its memory, did before each trial."""
    found = [t.measurement.calibration for t in job.trials if t.host == host]
    told = [calibration for calibration in found if calibration is not None]
    return [c.hashed_bytes_per_s for c in told], [c.copied_bytes_per_s for c in told]


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


def _of_api(a: Job, b: Job) -> list[str]:
    """What the API made otherwise in either job than its caller asked."""
    said = [
        f"{name} is {doubt.code}: {doubt.message}"
        for name, job in (("A", a), ("B", b))
        for row in job.recommendations
        for doubt in row.doubts
        if doubt.code in OF_API
    ]
    return list(dict.fromkeys(said))


def _basis(job: Job) -> str:
    limit = job.spec["limit"]
    latency = f"{limit['percentile']} {limit['latency_ms']} ms" if limit["latency_ms"] else "none"
    return (
        f"{job.spec['traffic']['type']} traffic, limit {latency}, errors {limit['max_error_ratio']}"
    )


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


@dataclass(frozen=True)
class _Measured:
    """A candidate of a stored job: its row, or why there is none."""

    instance_type: str
    environment: Mapping[str, str]
    own_server: tuple[str, ...] | None
    row: Recommendation | None
    why_not: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What its equal has too."""
        return self.instance_type, frozenset(self.environment.items()), self.own_server


def _measured(job: Job) -> list[_Measured]:
    """All candidates: one that was rejected must not pass for one that nobody asked about."""
    rows = [_Measured(x.instance_type, x.environment, x.command, x) for x in job.recommendations]
    return rows + [
        _Measured(x.instance_type, x.environment, x.command, None, f"{x.reason}: {x.detail}")
        for x in job.rejected
    ]


def _pairs(a: Job, b: Job, moved: float | None) -> tuple[list[Matched], list[str]]:
    """The candidates in pairs, and notes on those that have no partner."""
    ours, theirs = _measured(a), _measured(b)
    if len(ours) == len(theirs) == 1:
        together, alone = [(ours[0], theirs[0])], []
    else:
        by_key = {one.key: one for one in theirs}
        together = [(one, by_key[one.key]) for one in ours if one.key in by_key]
        both = {one.key for one, _ in together}
        alone = [(n, x) for n, of in (("A", ours), ("B", theirs)) for x in of if x.key not in both]
    if not together:
        raise InputError(
            f"{a.id} and {b.id} have no candidate in common",
            "they are matched by instance type and environment",
            "compare jobs of one candidate each, or with the same ones",
        )
    notes = [f"only {name} has {_label(one)}: not compared" for name, one in alone]
    return [_matched(one, other, moved, len(together)) for one, other in together], notes


def _label(one: _Measured) -> str:
    variables = " ".join(f"{key}={value}" for key, value in one.environment.items())
    return f"{one.instance_type} {variables}".strip()


def _matched(a: _Measured, b: _Measured, moved: float | None, comparisons: int) -> Matched:
    types, environments = (a.instance_type, b.instance_type), (a.environment, b.environment)
    if a.row is None or b.row is None:
        why = "; ".join(f"{n}: {x.why_not}" for n, x in (("A", a), ("B", b)) if x.row is None)
        return Matched(types, environments, None, inconclusive(why))
    maxima = a.row.max_invocations_per_min, b.row.max_invocations_per_min
    return Matched(types, environments, maxima, _comparison(a.row, b.row, moved, comparisons))


def _comparison(
    a: Recommendation, b: Recommendation, moved: float | None, comparisons: int
) -> Comparison:
    if a.basis != b.basis:
        return inconclusive(f"one maximum is {a.basis}, the other {b.basis}")
    if "at_least" in (a.max_kind, b.max_kind):
        return inconclusive("a maximum is a lower bound only")
    variances = log_variance(a), log_variance(b)
    if variances[0] is None or variances[1] is None:
        return inconclusive("a maximum has no interval")
    priced = bool(a.price_per_hour_usd and b.price_per_hour_usd)
    if not priced and a.instance_type != b.instance_type:
        return inconclusive(f"{a.instance_type} and {b.instance_type} do not both have a price")
    sides = [
        Side(_log_cost(row, priced), variance, row.starts)
        for row, variance in ((a, variances[0]), (b, variances[1]))
    ]
    return apart(sides[0], sides[1], moved, comparisons)


def _log_cost(row: Recommendation, priced: bool) -> float:
    price = row.price_per_hour_usd if priced and row.price_per_hour_usd else 1.0
    return math.log(price / row.max_invocations_per_min)
