"""Whether what one variable does depends on another: two-variable interactions. Pure.

Of four candidates that differ in two variables alone, the ratio of ratios of their maxima; over
several such fours its geometric mean (the interaction contrast of a factorial; Montgomery, Design
and Analysis of Experiments, ch. 5, on the log scale). Neighbours in a four are pairs as effects are
made of: where a value brings variables of its own, each of their settings makes its own four. The
intervals hold all at once at 95 %: Bonferroni over all that are given (Dunn, Journal of the
American Statistical Association 56, 1961).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, fmean

from rightsizer.analysis.figures import Interval
from rightsizer.contrasts import (
    ContrastVerdict,
    Pair,
    distinct,
    pairs_of,
    sum_variance,
    values_of,
    verdict_of,
)
from rightsizer.recommendation import Recommendation


@dataclass(frozen=True)
class Interaction:
    """What `variable` at `value` instead of `baseline` does, by the other variable's value."""

    variable: str
    baseline: str
    value: str
    other: str
    other_baseline: str
    other_value: str
    ratio_at_baseline: float
    """Of the maxima, with the other variable at its baseline."""
    ratio_at_value: float
    ratio: float
    """The second over the first: 1 where the one does not depend on the other."""
    ratio_ci: Interval | None
    cells: int
    """Complete fours of candidates."""
    verdict: ContrastVerdict


@dataclass(frozen=True)
class _Contrast:
    """One interaction before it is known how many there are."""

    names: tuple[str, str, str, str, str, str]
    fours: tuple[tuple[Recommendation, ...], ...]
    """Each: base, variable changed, other changed, both changed."""


def interactions_of(rows: Sequence[Recommendation]) -> list[Interaction]:
    """One for each two values of each two swept variables that has a complete four, those that
    matter first, then the largest."""
    rows = distinct(rows)
    contrasts = _contrasts(rows)
    z = NormalDist().inv_cdf(1 - 0.025 / len(contrasts)) if contrasts else 0.0
    found = [_interaction(contrast, z) for contrast in contrasts]
    return sorted(found, key=lambda x: (x.verdict != "matters", -abs(math.log(x.ratio))))


def _contrasts(rows: Sequence[Recommendation]) -> list[_Contrast]:
    pairs = {
        (name, low, high): pairs_of(rows, name, low, high)
        for name in dict.fromkeys(name for row in rows for name in row.environment)
        for low, high in combinations(values_of(rows, name), 2)
    }
    found = []
    for a, b in combinations(pairs, 2):
        fours = _fours(pairs[a], pairs[b]) if a[0] != b[0] else []
        if fours:
            found.append(_Contrast((*a, *b), tuple(fours)))
    return found


def _fours(of_a: Sequence[Pair], of_b: Sequence[Pair]) -> list[tuple[Recommendation, ...]]:
    """Every two pairs of the one variable whose rows are two pairs of the other."""
    known = {(low.trial_id, high.trial_id) for low, high in of_a}
    partners: dict[str, list[Recommendation]] = {}
    for low, high in of_b:
        partners.setdefault(low.trial_id, []).append(high)
    return [
        (base, changed, other, both)
        for base, changed in of_a
        for other in partners.get(base.trial_id, [])
        for both in partners.get(changed.trial_id, [])
        if (other.trial_id, both.trial_id) in known
    ]


def _interaction(contrast: _Contrast, z: float) -> Interaction:
    logs = [[math.log(row.max_invocations_per_min) for row in four] for four in contrast.fours]
    low = fmean(changed - base for base, changed, _, _ in logs)
    high = fmean(both - other for _, _, other, both in logs)
    signs = (1, -1, -1, 1)
    variance = sum_variance(t for four in contrast.fours for t in zip(signs, four, strict=True))
    ci: Interval | None = None
    verdict: ContrastVerdict = "unclear"
    if variance is not None:
        half = z * math.sqrt(variance) / len(logs)
        ends = math.exp(high - low - half), math.exp(high - low + half)
        ci, verdict = ends, verdict_of(*ends)
    ratios = math.exp(low), math.exp(high), math.exp(high - low)
    return Interaction(*contrast.names, *ratios, ci, len(logs), verdict)
