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
from statistics import fmean

import numpy as np

from rightsizer.analysis.figures import TrialFigures
from rightsizer.analysis.maximum import is_set_by_errors, probed
from rightsizer.analysis.paired import log_maximum
from rightsizer.analysis.percentiles import PERCENTILES
from rightsizer.analysis.queue_model import LatencyCurve, latency_curve
from rightsizer.analysis.repeats import Start, figures_of_starts
from rightsizer.errors import TrialState
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
UNKNOWN_SD = 0.3
"""Of the log maximum of a scout without an interval, or not to be relied on."""
LEAST_SD = 0.01
TIE_BREAK = 1e-6
"""Of two fleets that cost the same, the one with cheaper inferences is the better."""
NO_QUEUE = frozenset({"model-disagrees"})
Z95 = 1.96


@dataclass(frozen=True)
class Entrant:
    """One measured candidate: what its trials said."""

    candidate_id: str
    scout: TrialRecord
    finals: tuple[TrialRecord, ...]
    """Those that gave an observation, in the order of their blocks."""
    failed: tuple[TrialRecord, ...]
    """Those that gave none."""
    log_maxima: Mapping[int, float]
    """Per second, by block."""
    limit: LimitSpec

    @property
    def own_failures(self) -> tuple[TrialRecord, ...]:
        """Of those that gave none, the ones that the machine did not spoil."""
        return tuple(trial for trial in self.failed if not _is_spoilt(trial))

    @property
    def is_queue(self) -> bool:
        """Whether its latency follows a queue: else its finals are searches of their own."""
        return _is_queue(self.scout, self.limit)


@dataclass(frozen=True)
class Standing:
    """What the trials so far make of the candidates. Mappings are by candidate id."""

    limit: LimitSpec
    entrants: Mapping[str, Entrant]
    log_prices: Floats
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
        is the best (`benchmarks/race_truth.py p_best`)."""
        return _shares_of_lowest(
            list(self.entrants), log_costs(self._told, self.log_prices, self.target)
        )

    @cached_property
    def _told(self) -> Floats:
        """Log maxima as they are told: shape (draws, entrants)."""
        return _believed(list(self.entrants.values()), self.log_prices, EVEN).log_maxima

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
        return figures_of_starts(starts, entrant.scout.steps, self.limit)


def standing_of(
    trials: Sequence[TrialRecord],
    per_hour_usd: Callable[[str], float | None],
    limit: LimitSpec,
    target: TargetSpec | None,
) -> Standing | None:
    """How the candidates stand; None where there never were two to compare, nor finals of one."""
    every = _entrants(trials, limit)
    entrants = {x.candidate_id: x for x in every if not _is_unreliable(x)}
    prices_usd = {
        key: _lowest_price(entrant.scout, per_hour_usd) for key, entrant in entrants.items()
    }
    if any(price is not None for price in prices_usd.values()):
        entrants = {key: x for key, x in entrants.items() if prices_usd[key] is not None}
    compared = len(entrants) > 1 or any(_is_unreliable(x) for x in every)
    if not entrants or not (compared or any(entrant.finals for entrant in entrants.values())):
        return None
    ids = list(entrants)
    prices = np.log([prices_usd[key] or 1.0 for key in ids])
    believed = _believed(list(entrants.values()), prices, CAUTIOUS)
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
        log_prices=prices,
        target=target,
        p_lead=_shares_of_lowest(ids, costs),
        p_good=dict(zip(ids, p_good.tolist(), strict=True)),
        mean_log_maximum=dict(zip(ids, believed.log_maxima.mean(axis=0).tolist(), strict=True)),
        best=ids[best],
        tied=frozenset(ids[i] for i in tied) if len(tied) > 1 else frozenset(),
        more_starts=_more_starts(
            costs, best, tied, len(entrants[ids[best]].finals), believed.spread
        ),
    )


def unreliable_of(trials: Sequence[TrialRecord], limit: LimitSpec) -> dict[str, TrialRecord]:
    """Those that failed when they were started again: by candidate id the last failed final."""
    every = _entrants(trials, limit)
    return {x.candidate_id: x.own_failures[-1] for x in every if _is_unreliable(x)}


def _shares_of_lowest(ids: Sequence[str], costs: Floats) -> dict[str, float]:
    """In how many of the draws each has the lowest cost."""
    shares = np.bincount(costs.argmin(axis=1), minlength=len(ids)) / len(costs)
    return dict(zip(ids, shares.tolist(), strict=True))


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


def _entrants(trials: Sequence[TrialRecord], limit: LimitSpec) -> list[Entrant]:
    found = []
    # A scout that had to be repeated with more budget comes after the one that was too short.
    scouts = {trial.candidate.id: trial for trial in trials if trial.stage == "scout"}
    for scout in scouts.values():
        figures = scout.figures
        if not _is_sound(scout) or figures is None:
            continue
        if figures.max_kind not in ("estimate", "bracket") or not figures.max_invocations_per_min:
            continue
        finals = sorted(
            (
                trial
                for trial in trials
                if trial.stage == "final"
                and trial.candidate.id == scout.candidate.id
                and trial.state.is_final
            ),
            key=lambda trial: trial.block,
        )
        logs = {
            trial.block: value
            for trial in finals
            if (value := _observed(trial, scout, limit)) is not None
        }
        useful = tuple(trial for trial in finals if trial.block in logs)
        failed = tuple(trial for trial in finals if trial.block not in logs)
        found.append(Entrant(scout.candidate.id, scout, useful, failed, logs, limit))
    return found


def _is_spoilt(trial: TrialRecord) -> bool:
    """Whether the machine, and not the candidate, kept it from telling anything."""
    if trial.state is TrialState.FAILED:
        return False
    return trial.state is TrialState.INVALID or any(s.verdict == "invalid" for s in trial.steps)


def _is_unreliable(entrant: Entrant) -> bool:
    """Whether it is none to recommend: it fails as often as not when it is started again."""
    return len(entrant.own_failures) >= max(2, len(entrant.finals))


def _is_sound(trial: TrialRecord) -> bool:
    return trial.state in (TrialState.SUCCEEDED, TrialState.STOPPED)


def curve_of(scout: TrialRecord, limit: LimitSpec) -> LatencyCurve | None:
    """How its latency rises with the rate, by the scout's closed probe; None: not known."""
    probe = probed(scout.steps)
    if probe is None or limit.latency_ms is None:
        return None
    p = PERCENTILES[limit.percentile]
    return latency_curve(probe.unloaded_ms, probe.capacity_per_s, limit.latency_ms, p)


def _is_queue(scout: TrialRecord, limit: LimitSpec) -> bool:
    """Asked of finalists alone: a curve of several servers takes a while to make."""
    figures = scout.figures
    if figures is None or figures.max_kind != "estimate":
        return False
    if {doubt.code for doubt in figures.doubts} & NO_QUEUE or is_set_by_errors(scout.steps, limit):
        return False
    return figures.basis == "closed" or curve_of(scout, limit) is not None


def _observed(trial: TrialRecord, scout: TrialRecord, limit: LimitSpec) -> float | None:
    """The log maximum per second that a final shows."""
    assert scout.figures is not None
    if not _is_sound(trial):
        return None
    if _is_queue(scout, limit):
        basis = scout.figures.basis
        curve = curve_of(scout, limit) if basis == "open" else None
        return log_maximum(trial.steps, basis, limit, curve)
    figures = trial.figures
    if figures is None or not figures.max_invocations_per_min:
        return None
    return math.log(per_s(figures.max_invocations_per_min))


def _lowest_price(scout: TrialRecord, per_hour_usd: Callable[[str], float | None]) -> float | None:
    """USD an hour of the cheapest instance type that the trial stands for."""
    prices = [per_hour_usd(candidate.instance_type) for candidate in scout.candidates]
    return min((price for price in prices if price), default=None)


def _believed(entrants: Sequence[Entrant], log_prices: Floats, assumed: Assumptions) -> Beliefs:
    scouts = [_scouted(number, entrant.scout) for number, entrant in enumerate(entrants)]
    blocks: dict[int, dict[int, float]] = {}
    for number, entrant in enumerate(entrants):
        for block, value in entrant.log_maxima.items():
            blocks.setdefault(block, {})[number] = value
    return beliefs(len(entrants), scouts, list(blocks.values()), log_prices, assumed)


def _scouted(number: int, scout: TrialRecord) -> Scout:
    assert scout.figures is not None
    maximum, ci = scout.figures.max_invocations_per_min, scout.figures.max_invocations_per_min_ci
    assert maximum
    blocked = any(doubt.severity == "blocks" for doubt in scout.figures.doubts)
    log = math.log(per_s(maximum))
    if ci is None or not ci[0] or not ci[1] or blocked:
        return Scout(number, log, UNKNOWN_SD, is_alone=True)
    return Scout(number, log, max(LEAST_SD, math.log(ci[1] / ci[0]) / (2 * Z95)))


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
