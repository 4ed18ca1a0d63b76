"""Whether B is better or worse than A, by how much, and what could have been seen. Pure.

All ratios are B over A of the cost per inference: below 1 B is cheaper. Logarithms of costs are
compared, with Student's t; several comparisons share the 5 % (Bonferroni), so that all intervals
hold together with 95 % confidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Literal

from rightsizer.analysis.figures import Interval
from rightsizer.analysis.intervals import t_quantile
from rightsizer.standing import CONFIDENCE, FEWEST_STARTS, INDIFFERENCE_RATIO

Verdict = Literal["better", "worse", "same", "inconclusive"]
POWER_Z = 0.8416
"""Normal quantile of 80 %: so often the smallest difference that could be seen is seen."""
MANY = 1000
"""Degrees of freedom from which Student's t is the normal."""


@dataclass(frozen=True)
class Comparison:
    """What B costs over what A costs; figures are None where nothing honest can be said."""

    verdict: Verdict
    ratio: float | None
    ratio_ci: Interval | None
    """Simultaneous over all that were compared together, 95 %."""
    detectable_ratio: float | None
    """The smallest cost ratio above 1 that would have been seen four times in five."""
    starts: int
    """Of each side, that count."""
    why: str = ""
    """Why it is inconclusive."""


def paired(log_ratios: Sequence[float], comparisons: int = 1) -> Comparison:
    """From the log cost ratio of each block, both sides of which shared arrivals and payloads.

    Args:
        log_ratios: ln(cost of B / cost of A), one a block of fresh starts.
        comparisons: how many are read together.
    """
    n = len(log_ratios)
    if n < FEWEST_STARTS:
        return inconclusive(f"{n} paired starts are too few; {FEWEST_STARTS} are needed", n)
    error = stdev(log_ratios) / math.sqrt(n)
    return _judged(fmean(log_ratios), error, n - 1, comparisons, n)


@dataclass(frozen=True)
class Side:
    """A stored candidate: its log cost per inference, with the variance of that."""

    log_cost: float
    log_variance: float
    starts: int


def apart(a: Side, b: Side, moved_ratio: float | None, comparisons: int = 1) -> Comparison:
    """From two results of their own arrivals and days.

    Args:
        a, b: the sides.
        moved_ratio: by how much the host's own speed differs between the two (0.06: 6 %); None
            where it was not measured.
        comparisons: how many are read together.
    """
    variance = a.log_variance + b.log_variance
    starts = min(a.starts, b.starts)
    mean, error = b.log_cost - a.log_cost, math.sqrt(variance)
    found = _judged(mean, error, MANY, comparisons, starts)
    if moved_ratio is None:
        return found
    # All of the movement may be in the difference: the interval has to hold that too.
    moved = _judged(mean, error, MANY, comparisons, starts, math.log1p(moved_ratio))
    if moved.verdict == "inconclusive" and found.verdict != "inconclusive":
        return replace(moved, why=f"host moved {moved_ratio:.0%}")
    return moved


def inconclusive(why: str, starts: int = 0) -> Comparison:
    """Nothing to say, and the reason."""
    return Comparison("inconclusive", None, None, None, starts, why)


def is_regression(comparison: Comparison, ratio: float) -> bool:
    """Whether B costs more than A by over `ratio` (0.05: 5 %), with 95 % confidence.

    What is not known is none: an inconclusive comparison does not fail a build.
    """
    low = None if comparison.ratio_ci is None else comparison.ratio_ci[0]
    return comparison.verdict != "inconclusive" and low is not None and low > 1 + ratio


def _judged(
    mean: float, error: float, freedom: int, comparisons: int, starts: int, slack: float = 0.0
) -> Comparison:
    """`slack` is what both ends of the interval are moved outward by, on the log scale."""
    t = t_quantile(freedom, 1 - (1 - CONFIDENCE) / max(1, comparisons))
    half = t * error + slack
    low, high = math.exp(mean - half), math.exp(mean + half)
    verdict = _verdict(low, high)
    why = ""
    if verdict == "inconclusive":
        why = "the interval holds both no difference and one that matters"
    detectable = math.exp((t + POWER_Z) * error + slack)
    return Comparison(verdict, math.exp(mean), (low, high), detectable, starts, why)


def _verdict(low: float, high: float) -> Verdict:
    """`same` where the whole interval is within the indifference zone, also beside 1."""
    if low >= 1 / (1 + INDIFFERENCE_RATIO) and high <= 1 + INDIFFERENCE_RATIO:
        return "same"
    if high < 1:
        return "better"
    return "worse" if low > 1 else "inconclusive"
