"""Whether what one variable does depends on another: two-variable interactions. Pure.

Of four candidates that differ in two variables alone, the ratio of ratios of their maxima; over
several such fours its geometric mean (the interaction contrast of a factorial; Montgomery, Design
and Analysis of Experiments, ch. 5, on the log scale). The intervals hold all at once at 95 %:
Bonferroni over all that are given (Dunn, Journal of the American Statistical Association 56, 1961).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, fmean

from rightsizer.analysis.figures import Interval
from rightsizer.contrasts import ContrastVerdict, distinct, log_variance, values_of, verdict_of
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
    names = dict.fromkeys(name for row in rows for name in row.environment)
    found = []
    for a, b in combinations(names, 2):
        for a0, a1 in combinations(values_of(rows, a), 2):
            for b0, b1 in combinations(values_of(rows, b), 2):
                fours = _fours(rows, a, (a0, a1), b, (b0, b1))
                if fours:
                    found.append(_Contrast((a, a0, a1, b, b0, b1), tuple(fours)))
    return found


def _fours(
    rows: Sequence[Recommendation], a: str, of_a: tuple[str, str], b: str, of_b: tuple[str, str]
) -> list[tuple[Recommendation, ...]]:
    cells: dict[object, dict[tuple[str, str], Recommendation]] = {}
    for row in rows:
        if a in row.environment and b in row.environment:
            rest = sorted((k, v) for k, v in row.environment.items() if k not in (a, b))
            key = (row.instance_type, row.command, row.basis, tuple(rest))
            cells.setdefault(key, {})[row.environment[a], row.environment[b]] = row
    wanted = [(x, y) for y in of_b for x in of_a]
    return [
        tuple(cell[place] for place in wanted)
        for cell in cells.values()
        if all(place in cell for place in wanted)
    ]


def _interaction(contrast: _Contrast, z: float) -> Interaction:
    logs = [[math.log(row.max_invocations_per_min) for row in four] for four in contrast.fours]
    low = fmean(changed - base for base, changed, _, _ in logs)
    high = fmean(both - other for _, _, other, both in logs)
    variances = [log_variance(row) for four in contrast.fours for row in four]
    known = [variance for variance in variances if variance is not None]
    ci: Interval | None = None
    verdict: ContrastVerdict = "unclear"
    if len(known) == len(variances):
        # The fours share no row, so their errors are independent.
        half = z * math.sqrt(sum(known)) / len(logs)
        ends = math.exp(high - low - half), math.exp(high - low + half)
        ci, verdict = ends, verdict_of(*ends)
    ratios = math.exp(low), math.exp(high), math.exp(high - low)
    return Interaction(*contrast.names, *ratios, ci, len(logs), verdict)
