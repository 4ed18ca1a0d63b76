"""Another question to a stored job: new target, limit, prices or headroom. Measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from rightsizer.analysis import doubts
from rightsizer.catalog import load_catalog
from rightsizer.effects import effects_of
from rightsizer.entrants import unreliable_of
from rightsizer.errors import InputError, Reason, TrialState, UsageError
from rightsizer.fleets import Price
from rightsizer.interactions import interactions_of
from rightsizer.loading import raced, unranked, with_doubts_of_api
from rightsizer.projecting import NotCovered, at_limit, covered_by_none
from rightsizer.recommendation import recommend
from rightsizer.results import Job
from rightsizer.spec import JobSpec, LimitSpec, TargetSpec
from rightsizer.standing import Standing
from rightsizer.store import Store, default_store
from rightsizer.trials import TrialRecord

T = TypeVar("T", LimitSpec, TargetSpec)

_OPTIONS = {
    "invocations_per_min": ("--invocations-per-min", "give a number above 0"),
    "latency_ms": ("--limit-ms", "give milliseconds above 0"),
    "percentile": ("--percentile", "give one of these"),
    "max_utilisation_ratio": ("--max-utilisation", "give a share such as 0.7"),
    "spare_instances": ("--spare", "give 0 or more"),
}
"""Of each field, the option that sets it and what it takes."""


@dataclass(frozen=True)
class Question:
    """What is to be different; None leaves it as the job had it."""

    invocations_per_min: float | None = None
    limit_ms: float | None = None
    percentile: str | None = None
    prices: Path | None = None
    max_utilisation_ratio: float | None = None
    spare_instances: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be different."""
        return self == Question()


def what_if(
    job: str,
    *,
    invocations_per_min: float | None = None,
    limit_ms: float | None = None,
    percentile: str | None = None,
    prices: str | Path | None = None,
    max_utilisation_ratio: float | None = None,
    spare_instances: int | None = None,
    store: str | Path | None = None,
) -> Job:
    """A stored job ranked anew, as if it had asked for something else.

    Another target, headroom, spares or prices keep the measured maxima. Another limit or percentile
    (`P50`, `P90`, `P95`, `P99`; any case) reads them off the stored latencies, and refuses what
    these do not cover. Its trials are without the readings of what their servers used.

    Args:
        job: an id or unambiguous name.
        invocations_per_min: the target.
        limit_ms: the latency limit, ms.
        percentile: of the latency.
        prices: a price file; types that it does not name keep their price.
        max_utilisation_ratio: of the target's instances, 0..1.
        spare_instances: beyond those the target needs.
        store: the folder it is kept in; RIGHTSIZER_STORE or the user's data folder if None.

    Raises:
        UsageError: no such job, nothing asked, headroom or spares without a target, or a value
            that makes no sense, by the names of the command's options.
        InputError: nothing of what was measured covers the limit; a bad price file.
    """
    question = Question(
        invocations_per_min,
        limit_ms,
        None if percentile is None else percentile.upper(),
        None if prices is None else Path(prices),
        max_utilisation_ratio,
        spare_instances,
    )
    if question.is_empty:
        raise UsageError("nothing is asked", "", "give a target, a limit or prices")
    with Store(Path(store) if store is not None else default_store()) as opened:
        stored = opened.find(job)
        found = unranked(opened, stored, with_usage=False)
    spec = JobSpec.model_validate(dict(found.spec))
    target = _target(spec.target, question)
    limit = _limit(spec.limit, question)
    price_of = _prices(stored.inputs["prices"], question.prices, target)
    trials = list(found.trials)
    if limit != spec.limit:
        trials = _at_limit(found, raced(trials, spec, price_of), spec.limit, limit)
        standing = None
    else:
        standing = raced(trials, spec.model_copy(update={"target": target}), price_of)
    unreliable = unreliable_of(found.trials, spec.limit)
    ranked, rejected = recommend(trials, price_of.__getitem__, target, standing, unreliable)
    ranked, on_job = with_doubts_of_api(ranked, stored.inputs)
    on_job += found.doubts
    missing = sum(row.reason == Reason.NOT_COVERED.value for row in rejected)
    if missing:
        on_job.append(doubts.not_covered(missing, limit.percentile, limit.latency_ms or 0.0))
    return replace(
        found,
        spec={**found.spec, "target": _dumped(target), "limit": _dumped(limit)},
        asked={
            "target": _changed(spec.target, target),
            "limit": _changed(spec.limit, limit),
            "prices": None if question.prices is None else str(question.prices),
        },
        recommendations=tuple(ranked),
        rejected=tuple(rejected),
        effects=tuple(effects_of(ranked)),
        interactions=tuple(interactions_of(ranked)),
        trials=tuple(trials),
        doubts=tuple(on_job),
    )


def _target(target: TargetSpec | None, question: Question) -> TargetSpec | None:
    wanted: dict[str, Any] = {
        "invocations_per_min": question.invocations_per_min,
        "max_utilisation_ratio": question.max_utilisation_ratio,
        "spare_instances": question.spare_instances,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    if not changes:
        return target
    if target is None and question.invocations_per_min is None:
        why = "the job has no target for headroom and spares to apply to"
        raise UsageError(why, "", "give --invocations-per-min")
    before = {} if target is None else target.model_dump()
    return _checked(TargetSpec, {**before, **changes})


def _limit(limit: LimitSpec, question: Question) -> LimitSpec:
    changes = {
        name: value
        for name, value in (
            ("latency_ms", question.limit_ms),
            ("percentile", question.percentile),
        )
        if value is not None
    }
    changed = _checked(LimitSpec, {**limit.model_dump(), **changes})
    if changed.latency_ms is None and changed != limit:
        raise UsageError("the job has no latency limit", "", "give --limit-ms with the percentile")
    return changed


def _checked(kind: type[T], values: Mapping[str, Any]) -> T:
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        option, todo = _OPTIONS[str(first["loc"][-1])]
        wrong = first["input"]
        said = f"{wrong:g}" if isinstance(wrong, float) else wrong
        raise UsageError(f"{option} cannot be {said}", first["msg"], todo) from None


def _prices(
    stored: Mapping[str, Mapping[str, Any]], file: Path | None, target: TargetSpec | None
) -> dict[str, Price]:
    """Those of the file, and where it names none those that the job has."""
    utilisation = target.max_utilisation_ratio if target else 1.0
    prices = {name: Price(**price).at(utilisation) for name, price in stored.items()}
    if file is None:
        return prices
    from rightsizer.hosts.probe import this_machine  # psutil takes a while: not for other questions

    catalog = load_catalog(this_machine().size, file)
    for name in prices.keys() & catalog.own:
        kind = catalog.find(name)
        per_hour_usd = None if kind is None else catalog.price(kind, utilisation)
        if kind is not None and per_hour_usd is not None:
            prices[name] = Price(per_hour_usd, kind.price_basis, kind.price_date)
    return prices


def _at_limit(
    job: Job, standing: Standing | None, own: LimitSpec, limit: LimitSpec
) -> list[TrialRecord]:
    """Each candidate's first trial with the figures that it would have had at the limit."""
    found = []
    refused: list[NotCovered] = []
    for trial in job.trials:
        if trial.stage != "scout" or trial.figures is None:
            found.append(trial)
            continue
        steps = [
            step
            for other in job.trials
            if other.candidate.id == trial.candidate.id
            for step in other.steps
        ]
        together = standing.figures_of(trial.candidate.id) if standing else None
        projected = at_limit(together or trial.figures, steps, own, limit)
        if isinstance(projected, NotCovered):
            refused.append(projected)
            found.append(
                replace(
                    trial,
                    state=TrialState.INVALID,
                    reason=Reason.NOT_COVERED,
                    detail=projected.why,
                    figures=None,
                )
            )
        else:
            found.append(replace(trial, figures=projected))
    if refused and not any(_has_maximum(trial) for trial in found):
        todo = "ask for a limit that was measured, or run the job with this one"
        raise InputError("the stored curves do not tell", covered_by_none(refused, limit), todo)
    return found


def _has_maximum(trial: TrialRecord) -> bool:
    figures = trial.figures if trial.stage == "scout" else None
    return figures is not None and bool(figures.max_invocations_per_min)


def _dumped(asked: LimitSpec | TargetSpec | None) -> Mapping[str, Any] | None:
    return None if asked is None else asked.model_dump(mode="json")


def _changed(own: T | None, asked: T | None) -> Mapping[str, Any]:
    """What is asked otherwise than the job did."""
    before = _dumped(own) or {}
    return {k: v for k, v in (_dumped(asked) or {}).items() if k not in before or v != before[k]}
