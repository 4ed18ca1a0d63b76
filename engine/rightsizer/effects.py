"""Which swept variable matters, by how much, and how sure that is. Pure.

For each variable, candidates that differ in it alone are paired; the effect is the geometric mean
of their ratios of maxima (the main effect of a factorial design; Montgomery, Design and Analysis
of Experiments, ch. 5, on the log scale).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from rightsizer.analysis.figures import Interval
from rightsizer.recommendation import Recommendation

START_SPREAD_RATIO = 0.03
"""Relative sd between fresh starts of one server, reckoned until repeats measure it."""

NEGLIGIBLE_RATIO = 0.10
"""An effect whose whole interval lies within this of 1 is called none."""

Z95 = 1.96


@dataclass(frozen=True)
class Effect:
    """The maximum with `variable` at `value`, over that at `baseline`, all else equal."""

    variable: str
    baseline: str
    value: str
    ratio: float
    ratio_ci: Interval | None
    pairs: int
    verdict: Literal["matters", "no-effect", "unclear"]


def effects_of(rows: Sequence[Recommendation]) -> list[Effect]:
    """One effect for each two values of each swept variable, the largest first.

    Needs rows of one basis; compares only rows of the same instance type and other variables.
    """
    # A trial that stands for several instance types says it once.
    rows = list({row.trial_id: row for row in reversed(rows)}.values())[::-1]
    found = []
    for variable in dict.fromkeys(name for row in rows for name in row.environment):
        given = {r.environment[variable] for r in rows if variable in r.environment}
        values = sorted(given, key=_by_number)
        for baseline, value in combinations(values, 2):
            pairs = _pairs(rows, variable, baseline, value)
            if pairs:
                found.append(_effect(variable, baseline, value, pairs))
    return sorted(found, key=lambda effect: -abs(math.log(effect.ratio)))


def _by_number(value: str) -> tuple[bool, int, str]:
    """Numbers by size, before words by letter."""
    is_number = value.isdecimal()
    return not is_number, int(value) if is_number else 0, value


def _pairs(
    rows: Sequence[Recommendation], variable: str, baseline: str, value: str
) -> list[tuple[Recommendation, Recommendation]]:
    def rest(row: Recommendation) -> tuple[object, ...]:
        others = {k: v for k, v in row.environment.items() if k != variable}
        return row.instance_type, row.command, row.basis, others

    return [
        (low, high)
        for low in rows
        for high in rows
        if low.environment.get(variable) == baseline
        and high.environment.get(variable) == value
        and rest(low) == rest(high)
    ]


def _effect(
    variable: str,
    baseline: str,
    value: str,
    pairs: Sequence[tuple[Recommendation, Recommendation]],
) -> Effect:
    logs = [
        math.log(high.max_invocations_per_min / low.max_invocations_per_min) for low, high in pairs
    ]
    mean = sum(logs) / len(logs)
    sds = [_log_sd(row) for pair in pairs for row in pair]
    if any(sd is None for sd in sds):
        return Effect(variable, baseline, value, math.exp(mean), None, len(pairs), "unclear")
    # The pairs share no row, so their errors are independent.
    starts = [row.starts for pair in pairs for row in pair]
    variance = sum(map(_variance, sds, starts)) / len(pairs) ** 2
    half = Z95 * math.sqrt(variance)
    low, high = math.exp(mean - half), math.exp(mean + half)
    return Effect(
        variable, baseline, value, math.exp(mean), (low, high), len(pairs), _verdict(low, high)
    )


def _variance(sd: float | None, starts: int) -> float:
    """Of one log maximum; an interval over several starts holds the spread between them."""
    return (sd or 0.0) ** 2 + (START_SPREAD_RATIO**2 if starts == 1 else 0.0)


def _log_sd(row: Recommendation) -> float | None:
    """The sd of the log of a maximum, from its 95% interval; None for an open or missing one."""
    ci = row.max_invocations_per_min_ci
    if ci is None or ci[0] is None or ci[1] is None or ci[0] <= 0:
        return None
    return math.log(ci[1] / ci[0]) / (2 * Z95)


def _verdict(low: float, high: float) -> Literal["matters", "no-effect", "unclear"]:
    if low > 1 or high < 1:
        return "matters"
    if low > 1 - NEGLIGIBLE_RATIO and high < 1 + NEGLIGIBLE_RATIO:
        return "no-effect"
    return "unclear"
