"""Two jobs against each other: matched candidates in paired finals, as many as fixed before. Pure.

Each candidate is scouted once; then both of a pair meet in blocks of finals, on fresh starts that
share arrivals and payloads, A first and B first by turns, at one rate: the lower of their maxima as
they are known. What was measured is read by one latency curve for both. So two equal sides are
exchangeable in every block, and no error of a scout leans the same way in all of them. Nobody looks
before the end: so many blocks are run, and Student's t on their log ratios has the error that it
claims.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from rightsizer.analysis.paired import log_maximum
from rightsizer.comparing import Comparison, inconclusive, paired
from rightsizer.entrants import Entrant, curve_of
from rightsizer.plan import PlannedTrial
from rightsizer.racing import Race
from rightsizer.spec import LimitSpec
from rightsizer.standing import Standing, standing_of
from rightsizer.trials import TrialRecord

PriceOf = Callable[[str], float | None]

FAR_APART_RATIO = 1.5
"""Of maxima: beyond it each side has a rate of its own."""


@dataclass(frozen=True)
class Pair:
    """Candidate ids of the two that are compared."""

    a: str
    b: str

    @property
    def both(self) -> tuple[str, str]:
        """A, then B."""
        return self.a, self.b


@dataclass(frozen=True)
class PairedRace:
    """The trials of an A/B comparison; a `runner.TrialPolicy`."""

    race: Race
    """Of both jobs' candidates together: it makes the finals."""
    pairs: Sequence[Pair]
    starts: int
    """Blocks of finals."""

    def next_trials(
        self, records: Mapping[str, TrialRecord], left_s: float
    ) -> Sequence[PlannedTrial]:
        """The scouts, then one block of finals after the other."""
        ended = {key for key, record in records.items() if record.is_final}
        scouts = self.race.scouts(records)
        missing = [trial for trial in scouts if trial.id not in ended]
        if missing:
            random = np.random.default_rng(self.race.spec.payload.seed)
            return [missing[place] for place in random.permutation(len(missing)).tolist()]
        finals = [record for record in records.values() if record.stage == "final"]
        number = 1 + max((record.block for record in finals), default=0)
        if number > self.starts:
            return []
        trials: list[PlannedTrial] = []
        for place, pair in enumerate(self.pairs):
            standing = _standing(list(records.values()), pair, self.race.spec.limit)
            if standing is not None:
                block = self._in_turn(self.race.block(number, pair.both, standing), place, number)
                trials += block if _is_far_apart(standing, pair) else _alike(block)
        each_s = fmean([final.wall_s for final in finals]) if finals else 0.0
        return trials if len(trials) * each_s <= left_s else []

    def _in_turn(
        self, block: Sequence[PlannedTrial], place: int, number: int
    ) -> list[PlannedTrial]:
        """A first or B first, by turns from one drawn by chance: a drift favours neither."""
        random = np.random.default_rng([self.race.spec.payload.seed, place])
        first = (int(random.integers(2)) + number) % 2
        return sorted(block, key=lambda t: (t.candidate.id == self.pairs[place].a) == bool(first))

    def why_not(self, trial: PlannedTrial, records: Mapping[str, TrialRecord]) -> str:
        """Nothing is learned from one trial for another."""
        return ""


@dataclass(frozen=True)
class PairFigures:
    """What a pair's finals show; maxima are per second, None where there are no finals."""

    comparison: Comparison
    maxima_per_s: tuple[float, float] | None = None


def figures_of(
    records: Sequence[TrialRecord],
    pair: Pair,
    per_hour_usd: PriceOf,
    limit: LimitSpec,
    comparisons: int,
) -> PairFigures:
    """The comparison of one pair out of so many, from the records of both jobs."""
    standing = _standing(records, pair, limit)
    if standing is None:
        return PairFigures(inconclusive(_why_none(records, pair)))
    a, b = (standing.entrants[key] for key in pair.both)
    maxima = _log_maxima(a, b, limit)
    blocks = sorted(maxima)
    types = [entrant.scout.candidate.instance_type for entrant in (a, b)]
    prices = [per_hour_usd(name) for name in types]
    if types[0] != types[1] and not all(prices):
        return PairFigures(inconclusive(f"{types[0]} and {types[1]} do not both have a price"))
    of_prices = 0.0
    if prices[0] and prices[1]:
        of_prices = float(np.log(prices[1] / prices[0]))
    logs = [of_prices + maxima[block][0] - maxima[block][1] for block in blocks]
    found = paired(logs, comparisons)
    if not blocks:
        return PairFigures(found)
    means = [fmean(maxima[block][side] for block in blocks) for side in (0, 1)]
    first, second = np.exp(means).tolist()
    return PairFigures(found, (first, second))


def _is_far_apart(standing: Standing, pair: Pair) -> bool:
    """Whether finals showed that at one rate the faster would tell nothing of its maximum."""
    finals = [standing.entrants[key].finals for key in pair.both]
    a, b = (standing.mean_log_maximum[key] for key in pair.both)
    return all(finals) and abs(a - b) > math.log(FAR_APART_RATIO)


def _alike(block: Sequence[PlannedTrial]) -> list[PlannedTrial]:
    """The same steps for both: of the lower rate, or of more users. Searches stay as they are."""
    given = [trial.steps for trial in block if trial.steps]
    if len(given) < len(block):
        return list(block)
    steps = min(given, key=lambda steps: steps[-1].rate_per_s or -(steps[-1].users or 0))
    return [replace(trial, steps=steps) for trial in block]


def _log_maxima(a: Entrant, b: Entrant, limit: LimitSpec) -> dict[int, tuple[float, float]]:
    """By block, A's and B's log maximum: by the mean of both curves, where there are two."""
    blocks = set(a.log_maxima) & set(b.log_maxima)
    curves = [curve_of(entrant.scout, limit) for entrant in (a, b)]
    if not (a.is_queue and b.is_queue and all(curves)):
        return {block: (a.log_maxima[block], b.log_maxima[block]) for block in blocks}
    found = {}
    for block in blocks:
        finals = [f for entrant in (a, b) for f in entrant.finals if f.block == block]
        one, other = (
            [log_maximum(final.steps, "open", limit, curve) for curve in curves] for final in finals
        )
        told = [value for value in (*one, *other) if value is not None]
        if len(told) == len(one) + len(other):
            found[block] = fmean(told[: len(one)]), fmean(told[len(one) :])
    return found


def _standing(records: Sequence[TrialRecord], pair: Pair, limit: LimitSpec) -> Standing | None:
    """Of the two; None where one of them has no maximum."""
    theirs = [record for record in records if record.candidate.id in pair.both]
    # Who is compared does not hang on prices.
    standing = standing_of(theirs, lambda name: 1.0, limit, None)
    if standing is None or not set(pair.both) <= set(standing.entrants):
        return None
    return standing


def _why_none(records: Sequence[TrialRecord], pair: Pair) -> str:
    said = []
    for name, key in zip("AB", pair.both, strict=True):
        scouts = [r for r in records if r.candidate.id == key and r.stage == "scout"]
        if not scouts:
            said.append(f"{name} was not measured")
            continue
        figures, last = scouts[-1].figures, scouts[-1]
        if last.reason is not None:
            said.append(f"{name}: {last.reason.value}")
        elif figures is not None and figures.max_kind == "at_least":
            said.append(f"{name} has no more than a lower bound; give traffic.budget_s more")
        elif figures is None or figures.max_kind not in ("estimate", "bracket"):
            said.append(f"{name}: {figures.limit_detail if figures else last.state.value}")
    return "; ".join(said) or "one of them fails when it is started again"
