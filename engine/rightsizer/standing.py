"""How a job's candidates stand: probability to be the best, who cannot be told apart. Pure.

The promise is that of ranking and selection with an indifference zone: with probability 95 % the
cost of the one recommended is within 2 % of the best (Kim and Nelson, ACM TOMACS 11, 2001). It is
read off a posterior (`posterior.py`), which may be looked at after every trial (Eckman and
Henderson, INFORMS Journal on Computing 34, 2022: posterior-based stopping rules).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median

import numpy as np

from rightsizer.analysis.figures import TrialFigures
from rightsizer.analysis.intervals import Z95, log_sd
from rightsizer.analysis.repeats import Start, figures_of_starts
from rightsizer.entrants import UNKNOWN_SD, Entrant, Unknown, entrants_of, unknowns_of
from rightsizer.posterior import CAUTIOUS, EVEN, Assumptions, Beliefs, Floats, Scout, beliefs
from rightsizer.spec import LimitSpec, TargetSpec
from rightsizer.trials import TrialRecord
from rightsizer.units import per_s

INDIFFERENCE_RATIO = 0.02
CONFIDENCE = 0.95
FEWEST_STARTS = 3
"""Of a finalist, before anything is said of it."""
FAR = 1e6
"""Above all differences of log costs."""
LEAST_SD = 0.01
TIE_BREAK = 1e-6
"""Of two fleets that cost the same, the one with cheaper inferences is the better."""


@dataclass(frozen=True)
class Standing:
    """What the trials so far make of the candidates. Mappings are by candidate id."""

    limit: LimitSpec
    entrants: Mapping[str, Entrant]
    log_prices: Floats
    """Of the entrants, then of the unknown."""
    unknown: tuple[Unknown, ...]
    """Those that the race is without, as their searches told no maximum."""
    target: TargetSpec | None
    p_lead: Mapping[str, float]
    """Each one's probability to have the lowest cost, as cautiously as all decisions are taken."""
    p_good: Mapping[str, float]
    """To be within `INDIFFERENCE_RATIO` of it."""
    mean_log_maximum: Mapping[str, float]
    """Per second."""
    best: str
    """The one with the lowest expected log cost; with a target, the likeliest to be `p_good`."""
    tied: frozenset[str]
    """Those that cannot be separated from the best at 95 %, itself among them; or nobody."""
    more_starts: int | None
    """Of each of the tied, until they should be separated or known to be alike; None: none."""

    @cached_property
    def p_best(self) -> Mapping[str, float]:
        """Each one's probability to have the lowest cost, to be told: as often as it says so, it
        is the best (`benchmarks/race_truth.py p_best`). The rest is with `p_unknown`."""
        return dict(zip(self.entrants, self._told_shares, strict=False))

    @cached_property
    def p_unknown(self) -> tuple[float, ...]:
        """The probability of each of the unknown to have the lowest cost."""
        return tuple(self._told_shares[len(self.entrants) :])

    @cached_property
    def _told_shares(self) -> list[float]:
        """Of entrants and unknown."""
        return _shares_of_lowest(log_costs(self._told, self.log_prices, self.target))

    @cached_property
    def _told(self) -> Floats:
        """Log maxima as they are told: shape (draws, entrants and unknown)."""
        entrants = list(self.entrants.values())
        return _believed(entrants, self.unknown, self.log_prices, EVEN).log_maxima

    def likely_count(self, candidate_id: str) -> tuple[int, float] | None:
        """The likeliest number of instances for the target, with its probability, by all trials of
        all candidates; None without a target."""
        if self.target is None:
            return None
        counts = _counts(self._told[:, list(self.entrants).index(candidate_id)], self.target)
        values, times = np.unique(counts, return_counts=True)
        return int(values[times.argmax()]), float(times.max() / len(counts))

    @property
    def keeps_promise(self) -> bool:
        """Whether the best is within the indifference zone with the promised probability."""
        return self.p_good[self.best] >= CONFIDENCE

    @property
    def more_s(self) -> float | None:
        """Wall time that `more_starts` would take, one after the other, s."""
        if self.more_starts is None:
            return None
        tied = [self.entrants[key] for key in self.tied]
        each_s = [fmean(trial.wall_s for trial in (x.finals or (x.scout,))) for x in tied]
        return self.more_starts * fmean(each_s) * len(tied)

    def figures_of(self, candidate_id: str) -> TrialFigures | None:
        """Of a candidate's finals together, once there are enough; else None."""
        entrant = self.entrants.get(candidate_id)
        if entrant is None or len(entrant.finals) < FEWEST_STARTS:
            return None
        starts = [
            Start(final.steps, final.figures, entrant.log_maxima[final.block])
            for final in entrant.finals
            if final.figures is not None
        ]
        figures = entrant.scout.figures
        queue = figures.queue if figures else None
        return figures_of_starts(starts, entrant.scout.steps, self.limit, queue)


def standing_of(
    trials: Sequence[TrialRecord],
    per_hour_usd: Callable[[str], float | None],
    limit: LimitSpec,
    target: TargetSpec | None,
) -> Standing | None:
    """How the candidates stand; None where there never were two that may be the best, nor finals of
    one. One alone with a maximum, beside some without, stands too: its finals tell its figures."""
    every = entrants_of(trials, limit)
    entrants, unknown, log_prices = _contenders(every, unknowns_of(trials, limit), per_hour_usd)
    compared = len(entrants) + len(unknown) > 1 or any(x.is_unreliable for x in every)
    if not entrants or not (compared or any(entrant.finals for entrant in entrants.values())):
        return None
    ids, prices = list(entrants), log_prices[: len(entrants)]
    believed = _believed(list(entrants.values()), (), prices, CAUTIOUS)
    costs = log_costs(believed.log_maxima, prices, target)
    lowest = costs.min(axis=1)
    within = lowest[:, None] + math.log1p(INDIFFERENCE_RATIO)
    p_good = (costs <= within).mean(axis=0)
    means = costs.mean(axis=0)
    # Fleets' costs jump: the mean of two counts is the cost of neither, and no promise is of it.
    best = int((means if target is None else means - p_good * FAR).argmin())
    tied = _tied(costs, best)
    return Standing(
        limit=limit,
        entrants=entrants,
        log_prices=log_prices,
        unknown=tuple(unknown),
        target=target,
        p_lead=dict(zip(ids, _shares_of_lowest(costs), strict=True)),
        p_good=dict(zip(ids, p_good.tolist(), strict=True)),
        mean_log_maximum=dict(zip(ids, believed.log_maxima.mean(axis=0).tolist(), strict=True)),
        best=ids[best],
        tied=frozenset(ids[i] for i in tied) if len(tied) > 1 else frozenset(),
        more_starts=_more_starts(
            costs, best, tied, len(entrants[ids[best]].finals), believed.spread
        ),
    )


def _contenders(
    every: Sequence[Entrant],
    unknown: Sequence[Unknown],
    per_hour_usd: Callable[[str], float | None],
) -> tuple[dict[str, Entrant], list[Unknown], Floats]:
    """Who may be the best, by candidate id, and the log prices of all of them. Where one entrant
    has a price, those without are not compared; where none has, prices do not count."""
    entrants = {x.candidate_id: x for x in every if not x.is_unreliable}
    prices = {key: _lowest_price(x.scout, per_hour_usd) for key, x in entrants.items()}
    others = [(x, _lowest_price(x.scout, per_hour_usd)) for x in unknown]
    if all(price is None for price in prices.values()):
        return entrants, list(unknown), np.zeros(len(entrants) + len(others))
    entrants = {key: x for key, x in entrants.items() if prices[key] is not None}
    others = [(x, price) for x, price in others if price is not None]
    usd = [*(prices[key] for key in entrants), *(price for _, price in others)]
    return entrants, [x for x, _ in others], np.log(np.array(usd, dtype=np.float64))


def _shares_of_lowest(costs: Floats) -> list[float]:
    """In how many of the draws each has the lowest cost; shape (draws, candidates)."""
    shares: list[float] = (
        np.bincount(costs.argmin(axis=1), minlength=costs.shape[1]) / len(costs)
    ).tolist()
    return shares


def log_costs(log_maxima: Floats, log_prices: Floats, target: TargetSpec | None) -> Floats:
    """What ranks candidates, as logarithms: of an inference at full load, or of the target's fleet.

    Args:
        log_maxima: shape (draws, candidates), per second.
        log_prices: shape (candidates,), of an instance; zeros where none has a price.
    """
    each: Floats = log_prices - log_maxima
    if target is None:
        return each
    fleet: Floats = np.log(_counts(log_maxima, target)) + log_prices + TIE_BREAK * each
    return fleet


def _counts(log_maxima: Floats, target: TargetSpec) -> Floats:
    """Instances that carry the target, of each of these maxima."""
    wanted_per_s = per_s(target.invocations_per_min) / target.max_utilisation_ratio
    needed = np.ceil(wanted_per_s / np.exp(log_maxima) - 1e-9)
    counts: Floats = np.maximum(target.min_instances, needed) + target.spare_instances
    return counts


def _lowest_price(scout: TrialRecord, per_hour_usd: Callable[[str], float | None]) -> float | None:
    """USD an hour of the cheapest instance type that the trial stands for."""
    prices = [per_hour_usd(candidate.instance_type) for candidate in scout.candidates]
    return min((price for price in prices if price), default=None)


def _believed(
    entrants: Sequence[Entrant],
    unknown: Sequence[Unknown],
    log_prices: Floats,
    assumed: Assumptions,
) -> Beliefs:
    scouts = [_scouted(number, entrant.scout) for number, entrant in enumerate(entrants)]
    scouts += [
        Scout(number, one.log_maximum, one.sd, is_alone=True)
        for number, one in enumerate(unknown, start=len(entrants))
    ]
    blocks: dict[int, dict[int, float]] = {}
    for number, entrant in enumerate(entrants):
        for block, value in entrant.log_maxima.items():
            blocks.setdefault(block, {})[number] = value
    seen = [entrant.requests_of(final) for entrant in entrants for final in entrant.finals]
    requests = median(seen) if seen else math.inf
    return beliefs(len(scouts), scouts, list(blocks.values()), log_prices, assumed, requests)


def _scouted(number: int, scout: TrialRecord) -> Scout:
    assert scout.figures is not None
    maximum, ci = scout.figures.max_invocations_per_min, scout.figures.max_invocations_per_min_ci
    assert maximum
    blocked = any(doubt.severity == "blocks" for doubt in scout.figures.doubts)
    log = math.log(per_s(maximum))
    if ci is None or not ci[0] or not ci[1] or blocked:
        return Scout(number, log, UNKNOWN_SD, is_alone=True)
    return Scout(number, log, max(LEAST_SD, log_sd(ci[0], ci[1])))


def _tied(costs: Floats, best: int) -> list[int]:
    """Who may be cheaper than the best with more than the share of 5 % that each comparison gets
    (Bonferroni over all others)."""
    others = max(1, costs.shape[1] - 1)
    cheaper = (costs < costs[:, [best]]).mean(axis=0)
    return [i for i in range(costs.shape[1]) if i == best or cheaper[i] > 0.025 / others]


def _more_starts(
    costs: Floats, best: int, tied: Sequence[int], starts: int, spread: float
) -> int | None:
    """So many more starts of each until the nearest is apart, or known to be within the zone.

    Before any final by what starts are believed to differ by, `spread`: a log ratio of so many
    paired starts has a variance of twice that spread's square over their number.
    """
    if len(tied) < 2:
        return None
    wanted = 0.0
    for other in tied:
        if other == best:
            continue
        apart = costs[:, other] - costs[:, best]
        goal = max(abs(float(apart.mean())), math.log1p(INDIFFERENCE_RATIO)) / Z95
        variance = starts * float(apart.var()) if starts else 2 * spread**2
        wanted = max(wanted, variance / goal**2, FEWEST_STARTS)
    return max(0, math.ceil(wanted) - starts) or None
