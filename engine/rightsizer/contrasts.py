"""What effects and interactions share: a row's log maximum, how sure it is, and a verdict. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from rightsizer.recommendation import Recommendation
from rightsizer.standing import FEWEST_STARTS

ContrastVerdict = Literal["matters", "no-effect", "unclear"]

START_SPREAD_RATIO = 0.03
"""Relative sd between fresh starts of one server, reckoned until repeats measure it."""

NEGLIGIBLE_RATIO = 0.10
"""A ratio whose whole interval lies within this of 1 is called no effect."""

DROPPED_WEIGHT = 2.0
"""Variance of a dropped candidate's log maximum, over that of its interval. It was dropped for a
scout that looked bad, while those kept have fresh figures: in simulated races of eight equal
candidates 10 % of the effects were then called real by their plain intervals, and 5 % so."""

Z95 = 1.96


def distinct(rows: Sequence[Recommendation]) -> list[Recommendation]:
    """A trial that stands for several instance types says it once: under the first of them."""
    return list({row.trial_id: row for row in reversed(rows)}.values())[::-1]


def values_of(rows: Sequence[Recommendation], variable: str) -> list[str]:
    """The values that a variable takes, numbers by size, before words by letter."""
    return sorted({r.environment[variable] for r in rows if variable in r.environment}, key=_order)


def _order(value: str) -> tuple[bool, int, str]:
    is_number = value.isdecimal()
    return not is_number, int(value) if is_number else 0, value


def log_variance(row: Recommendation) -> float | None:
    """Of the log of a row's maximum, from its 95 % interval; None for an open or missing one.

    Figures of finals hold the spread between starts; those of one search do not.
    """
    ci = row.max_invocations_per_min_ci
    if ci is None or ci[0] is None or ci[1] is None or ci[0] <= 0:
        return None
    own = (math.log(ci[1] / ci[0]) / (2 * Z95)) ** 2
    if row.starts > FEWEST_STARTS:
        return own
    weight = DROPPED_WEIGHT if any(d.code == "dropped" for d in row.doubts) else 1.0
    return weight * (own + START_SPREAD_RATIO**2)


def verdict_of(low: float, high: float) -> ContrastVerdict:
    """What the interval of a ratio says of it."""
    if low > 1 or high < 1:
        return "matters"
    if low > 1 - NEGLIGIBLE_RATIO and high < 1 + NEGLIGIBLE_RATIO:
        return "no-effect"
    return "unclear"
