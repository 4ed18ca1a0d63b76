"""Ranking: which candidate to run, how many of it, what it costs. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rightsizer.analysis import doubts
from rightsizer.analysis.figures import (
    Basis,
    CurvePoint,
    Doubt,
    Interval,
    MaxKind,
    TrialFigures,
)
from rightsizer.bottlenecks import Bottleneck, bottleneck_of
from rightsizer.candidates import Candidate
from rightsizer.entrants import Entrant
from rightsizer.errors import TrialState
from rightsizer.fleets import (
    Fleet,
    Price,
    cost_interval_usd,
    cost_per_inference_usd,
    count_doubts,
    fleet_of,
)
from rightsizer.spec import TargetSpec
from rightsizer.standing import CONFIDENCE, FEWEST_STARTS, Standing
from rightsizer.trials import TrialRecord

BOUNDED = ("generator-limited", "at-least")
"""Doubts that say why a maximum is a lower bound, and how to learn it."""
MORE_TRAFFIC = "drive it until a level is over the limit"


@dataclass(frozen=True)
class Recommendation:
    """One candidate within the limits. Field names are those of the JSON document."""

    rank: int
    trial_id: str
    instance_type: str
    environment: Mapping[str, str]
    command: tuple[str, ...] | None
    """Where the candidate brings its own server."""
    basis: Basis
    provenance: str
    max_invocations_per_min: float
    max_invocations_per_min_ci: Interval | None
    max_kind: MaxKind
    percentile: str
    model_latency_ms: float | None
    model_latency_ms_ci: Interval | None
    unloaded_latency_ms: float | None
    price_per_hour_usd: float | None
    price_basis: str
    cost_per_inference_usd: float | None
    cost_per_inference_usd_ci: Interval | None
    fleet: Fleet
    p_best: float | None
    tied_with_best: bool | None
    cpu_utilization_percent: float | None
    memory_utilization_percent: float | None
    curve: tuple[CurvePoint, ...]
    doubts: tuple[Doubt, ...]
    accelerator_utilization_percent: float | None = None
    candidate_id: str = ""
    """Of the candidate measured: that of another type where no host tells the two apart."""
    starts: int = 1
    """Fresh server starts that were measured."""
    bottleneck: Bottleneck | None = None
    """What runs out first; None where the data does not show it."""
    cost_per_million_inferences_usd: float | None = None
    """At full load."""
    price_date: str | None = None
    """ISO 8601, of a price file that gives one."""

    @property
    def environment_text(self) -> str:
        """`OMP_NUM_THREADS=1 TF_ENABLE_ONEDNN_OPTS=1`."""
        return " ".join(f"{name}={value}" for name, value in self.environment.items())


@dataclass(frozen=True)
class Rejection:
    """A candidate that is no recommendation, and why."""

    instance_type: str
    environment: Mapping[str, str]
    reason: str
    detail: str
    command: tuple[str, ...] | None = None
    """Of a candidate that brings its own."""
    log_tail: str = ""


def recommend(
    trials: Sequence[TrialRecord],
    price_of: Callable[[str], Price],
    target: TargetSpec | None,
    standing: Standing | None = None,
    unreliable: Mapping[str, TrialRecord] | None = None,
) -> tuple[list[Recommendation], list[Rejection]]:
    """Rank every candidate measured within the limits; give the others their reasons.

    With a target: cheapest fleet, then cost per inference, then latency. Without: cost per
    inference. Without prices: throughput. Lower bounds come after estimates and brackets. Where
    candidates were raced, the best of the `standing` comes before all.

    Args:
        trials: of all stages.
        price_of: by instance type.
        target: of the fleets.
        standing: where candidates were raced.
        unreliable: by candidate id, a failed start of each that fails too often.
    """
    ranked: list[Recommendation] = []
    rejected: list[Rejection] = []
    for trial in _one_each(trials):
        if trial.state is TrialState.RUNNING:
            continue
        again = unreliable.get(trial.candidate.id) if unreliable else None
        if again is not None:
            rejected += [_rejection(again, candidate) for candidate in trial.candidates]
            continue
        together = standing.figures_of(trial.candidate.id) if standing else None
        figures = together or trial.figures
        if (
            trial.state in (TrialState.SUCCEEDED, TrialState.STOPPED)
            and figures is not None
            and figures.max_invocations_per_min
        ):
            ranked += [
                _recommendation(trial, candidate, figures, price_of, target)
                for candidate in trial.candidates
            ]
        else:
            rejected += [_rejection(trial, candidate) for candidate in trial.candidates]
    ranked.sort(key=lambda row: _order(row, target))
    if standing is not None:
        others = len(standing.entrants) > 1 or unreliable or standing.unknown
        ranked = _raced(ranked, standing, is_alone=not others)
    ranked = [replace(row, rank=rank) for rank, row in enumerate(ranked, start=1)]
    return _with_undercut(ranked, target), rejected


def _one_each(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Each candidate's scout, the last one where it had to be repeated."""
    scouts = {trial.candidate.id: trial for trial in trials if trial.stage == "scout"}
    return list(scouts.values())


def _raced(
    rows: Sequence[Recommendation], standing: Standing, *, is_alone: bool
) -> list[Recommendation]:
    """The rows with what the race says of them, in their order but for the best, which is first."""
    found = []
    claimed: set[str] = set()
    for row in rows:  # of the types that a trial stands for the cheapest comes first
        entrant = standing.entrants.get(row.candidate_id)
        if entrant is None:
            found.append(row)
            continue
        first = row.candidate_id not in claimed
        claimed.add(row.candidate_id)
        if is_alone:
            found.append(replace(row, starts=1 + len(entrant.finals)))
            continue
        found.append(
            replace(
                row,
                p_best=standing.p_best[row.candidate_id] if first else 0.0,
                tied_with_best=first and row.candidate_id in standing.tied,
                starts=1 + len(entrant.finals),
                doubts=(*_race_doubts(row, entrant, standing), *_with_likely_count(row, standing)),
            )
        )

    best = next(row for row in found if row.candidate_id == standing.best)
    behind = [row for row in found if row is not best]
    return [best if is_alone else _with_unknown(best, standing), *behind]


def _with_unknown(best: Recommendation, standing: Standing) -> Recommendation:
    """The best row; it says so where those that the race was without may well be better."""
    p_unknown = sum(standing.p_unknown)
    if p_unknown < 1 - CONFIDENCE:
        return best
    _, first = max(zip(standing.p_unknown, standing.unknown, strict=True), key=lambda one: one[0])
    name, others = first.scout.candidate.label, len(standing.unknown) - 1
    doubt = doubts.race_without(name, others, p_unknown, first.next_step)
    return replace(best, doubts=(doubt, *best.doubts))


def _with_likely_count(row: Recommendation, standing: Standing) -> tuple[Doubt, ...]:
    """The row's doubts; that of its count says what all candidates' trials together make likely."""
    likely = standing.likely_count(row.candidate_id)
    if likely is None:
        return row.doubts
    ci = row.max_invocations_per_min_ci
    counted = count_doubts(row.max_invocations_per_min, ci, standing.target, likely)
    return (*counted, *(doubt for doubt in row.doubts if doubt.code != "count-uncertain"))


def _race_doubts(row: Recommendation, entrant: Entrant, standing: Standing) -> tuple[Doubt, ...]:
    """What its starts are too few for: to be known as the best, or to have figures of finals."""
    key, starts = row.candidate_id, 1 + len(entrant.finals)
    few = len(entrant.finals) < FEWEST_STARTS
    if few and key != standing.best and key not in standing.tied:
        return (doubts.dropped(standing.p_good[key], starts),)
    found = [doubts.few_starts(starts, FEWEST_STARTS)] if few else []
    kept = standing.keeps_promise
    if key == standing.best and (standing.tied or not kept):
        tied, more = len(standing.tied), standing.more_starts
        found.append(
            doubts.not_separated(
                standing.p_good[key], kept=kept, tied=tied, more_starts=more, more_s=standing.more_s
            )
        )
    return tuple(found)


def _recommendation(
    trial: TrialRecord,
    candidate: Candidate,
    figures: TrialFigures,
    price_of: Callable[[str], Price],
    target: TargetSpec | None,
) -> Recommendation:
    maximum, ci = figures.max_invocations_per_min, figures.max_invocations_per_min_ci
    assert maximum is not None
    assert figures.max_kind is not None
    price = price_of(candidate.instance_type)
    placement = trial.measurement.placement
    per_hour = price.per_hour_usd
    return Recommendation(
        rank=0,
        trial_id=trial.id,
        candidate_id=trial.candidate.id,
        instance_type=candidate.instance_type,
        environment=candidate.environment,
        command=candidate.own_server,
        basis=figures.basis,
        provenance="native" if placement is None else placement.provenance,
        max_invocations_per_min=maximum,
        max_invocations_per_min_ci=ci,
        max_kind=figures.max_kind,
        percentile=figures.percentile,
        model_latency_ms=figures.model_latency_ms,
        model_latency_ms_ci=figures.model_latency_ms_ci,
        unloaded_latency_ms=figures.unloaded_latency_ms,
        price_per_hour_usd=per_hour,
        price_basis=price.basis,
        price_date=price.date or None,
        cost_per_inference_usd=None
        if per_hour is None
        else cost_per_inference_usd(per_hour, maximum),
        cost_per_inference_usd_ci=cost_interval_usd(per_hour, ci),
        fleet=fleet_of(maximum, ci, price, target),
        p_best=None,
        tied_with_best=None,
        cpu_utilization_percent=figures.cpu_utilization_percent,
        memory_utilization_percent=figures.memory_utilization_percent,
        curve=figures.curve,
        doubts=(
            *count_doubts(maximum, ci, target),
            *_price_doubts(candidate, price),
            *_group_doubts(trial),
            *figures.doubts,
        ),
        accelerator_utilization_percent=figures.accelerator_utilization_percent,
        bottleneck=bottleneck_of(
            figures, trial.steps, 0 if placement is None else len(placement.server_cpus)
        ),
        cost_per_million_inferences_usd=None
        if per_hour is None
        else 1e6 * cost_per_inference_usd(per_hour, maximum),
    )


def _price_doubts(candidate: Candidate, price: Price) -> tuple[Doubt, ...]:
    if price.per_hour_usd is None:
        return (doubts.no_price(candidate.instance_type),)
    return doubts.price_basis(candidate.instance_type, price.basis)


def _group_doubts(trial: TrialRecord) -> tuple[Doubt, ...]:
    names = [candidate.instance_type for candidate in trial.candidates]
    return (doubts.by_price_only(names, trial.host),) if len(names) > 1 else ()


def _rejection(trial: TrialRecord, candidate: Candidate) -> Rejection:
    if trial.reason is not None:
        reason, detail = trial.reason.value, trial.detail
    elif trial.figures is not None:
        codes = {doubt.code for doubt in trial.figures.doubts}
        reason = "budget-too-short" if "budget-too-short" in codes else "limit-unmet"
        detail = trial.figures.limit_detail
    else:
        reason, detail = trial.state.value, trial.detail
    return Rejection(
        candidate.instance_type,
        candidate.environment,
        reason,
        detail,
        candidate.own_server,
        trial.log_tail,
    )


def _order(row: Recommendation, target: TargetSpec | None) -> tuple[float, ...]:
    lower_bound = 1.0 if row.max_kind == "at_least" else 0.0
    cost, each = _cost(row, target), row.cost_per_inference_usd
    latency = row.model_latency_ms or math.inf
    if cost is None or each is None:
        # Rows without a price go after those with one: their cost cannot be compared.
        return (lower_bound, 1.0, -row.max_invocations_per_min, latency)
    return (lower_bound, 0.0, cost, each, latency)


def _cost(row: Recommendation, target: TargetSpec | None) -> float | None:
    """USD, what ranks first of all: of the target's fleet an hour, or of an inference."""
    return row.cost_per_inference_usd if target is None else row.fleet.cost_per_hour_usd


def _with_undercut(
    rows: Sequence[Recommendation], target: TargetSpec | None
) -> list[Recommendation]:
    """The rows; the first says so where one behind it is better even at its lower bound.

    How probably a row is the best is then not known: the race was without that one.
    """
    if not rows:
        return []
    best, *behind = rows
    better = [row for row in behind if row.max_kind == "at_least" and _beats(row, best, target)]
    if not better:
        return [best, *behind]
    # Lower bounds stand by the same rule: the first of them is the best.
    first, is_priced = better[0], best.price_per_hour_usd is not None
    doubt = doubts.undercut(
        f"row {first.rank} ({first.instance_type} {first.environment_text}".rstrip() + ")",
        first.max_invocations_per_min,
        others=len(better) - 1,
        is_priced=is_priced,
        next_step=next((d.next_step for d in first.doubts if d.code in BOUNDED), MORE_TRAFFIC),
    )
    kept = [known for known in best.doubts if known.code != "race-without"]
    best = replace(best, doubts=(doubt, *kept))
    return [replace(row, p_best=None) for row in (best, *behind)]


def _beats(row: Recommendation, best: Recommendation, target: TargetSpec | None) -> bool:
    """Whether it costs less; where neither has a price, carries more."""
    cost, least = _cost(row, target), _cost(best, target)
    if cost is None and least is None:
        return row.max_invocations_per_min > best.max_invocations_per_min
    return cost is not None and least is not None and cost < least
