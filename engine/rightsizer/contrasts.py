"""What effects and interactions share: rows that are compared, how sure they are, a verdict. Pure.

Two rows are compared where they differ in one variable, and in those that come with its value: with
batching off there is no size of a batch, and no row with it off that has one. Each setting of such
a variable is then a partner of its own, as levels nested in a factor are averaged over (Montgomery,
Design and Analysis of Experiments, ch. 14); none is picked, so none is picked for its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from rightsizer.analysis.intervals import log_sd
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


Pair = tuple[Recommendation, Recommendation]
"""At the first and at the second value of a variable."""


def distinct(rows: Sequence[Recommendation]) -> list[Recommendation]:
    """A trial that stands for several instance types says it once: under the first of them."""
    return list({row.trial_id: row for row in reversed(rows)}.values())[::-1]


def values_of(rows: Sequence[Recommendation], variable: str) -> list[str]:
    """The values that a variable takes, numbers by size, before words by letter."""
    return in_order(r.environment[variable] for r in rows if variable in r.environment)


def in_order(values: Iterable[str]) -> list[str]:
    """Each once: numbers by size, before words by letter."""
    return sorted(set(values), key=_order)


def pairs_of(
    rows: Sequence[Recommendation], variable: str, baseline: str, value: str
) -> list[Pair]:
    """Every two rows that differ in the variable, and in no other that both could have."""
    low, high = ([r for r in rows if r.environment.get(variable) == v] for v in (baseline, value))
    partners: dict[object, list[Recommendation]] = {}
    for rest, row in _by_rest(high, low, variable):
        partners.setdefault(rest, []).append(row)
    return [(row, p) for rest, row in _by_rest(low, high, variable) for p in partners.get(rest, [])]


def come_with(pairs: Iterable[Pair]) -> tuple[str, ...]:
    """The variables that only one row of a pair has, in the rows' order."""
    return tuple(
        dict.fromkeys(
            name
            for pair in pairs
            for one, other in (pair, pair[::-1])
            for name in one.environment
            if name not in other.environment
        )
    )


def _by_rest(
    rows: Sequence[Recommendation], others: Sequence[Recommendation], variable: str
) -> Iterator[tuple[object, Recommendation]]:
    """Rows with what a partner must share: all but the variable and what no partner has.

    What a row has and no partner does comes with its value only if that value is never without it.
    """
    known = {name for other in others for name in other.environment}
    for row in rows:
        mine = row.environment
        if not mine.keys() <= known and any(r.environment.items() < mine.items() for r in rows):
            continue
        rest = frozenset((k, v) for k, v in mine.items() if k in known and k != variable)
        yield (row.instance_type, row.command, row.basis, rest), row


def sum_variance(terms: Iterable[tuple[int, Recommendation]]) -> float | None:
    """Of a sum of log maxima, each so many times; None where one's is not known.

    A row that stands in several terms has one error, not one in each.
    """
    times: dict[str, int] = {}
    rows: dict[str, Recommendation] = {}
    for count, row in terms:
        times[row.trial_id] = times.get(row.trial_id, 0) + count
        rows[row.trial_id] = row
    variances = [(times[name], log_variance(row)) for name, row in rows.items()]
    known = [count**2 * variance for count, variance in variances if variance is not None]
    return sum(known) if len(known) == len(variances) else None


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
    own = log_sd(ci[0], ci[1]) ** 2
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
