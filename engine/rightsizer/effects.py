"""Which swept variable matters, by how much, and how sure that is. Pure.

For each variable, candidates that differ in it alone are paired; the effect is the geometric mean
of their ratios of maxima (the main effect of a factorial design; Montgomery, Design and Analysis
of Experiments, ch. 5, on the log scale). A candidate that lacks its partner is left out, as is one
over the limits: of a maximum that was not found only a bound is known, and a bound is no ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from rightsizer.analysis.figures import Interval
from rightsizer.contrasts import (
    Z95,
    ContrastVerdict,
    distinct,
    log_variance,
    values_of,
    verdict_of,
)
from rightsizer.interactions import Interaction, interactions_of
from rightsizer.recommendation import Recommendation


@dataclass(frozen=True)
class Effect:
    """The maximum with `variable` at `value`, over that at `baseline`, all else equal."""

    variable: str
    baseline: str
    value: str
    ratio: float
    ratio_ci: Interval | None
    pairs: int
    verdict: ContrastVerdict
    """A variable whose effect depends on another one matters, also where it is none on average."""


def effects_of(rows: Sequence[Recommendation]) -> list[Effect]:
    """One effect for each two values of each swept variable, the largest first.

    Needs rows of one basis; compares only rows of the same instance type and other variables.
    """
    rows = distinct(rows)
    decisive = [x for x in interactions_of(rows) if x.verdict == "matters"]
    found = []
    for variable in dict.fromkeys(name for row in rows for name in row.environment):
        for baseline, value in combinations(values_of(rows, variable), 2):
            pairs = _pairs(rows, variable, baseline, value)
            if pairs:
                effect = _effect(variable, baseline, value, pairs)
                depends = any(_is_of(effect, interaction) for interaction in decisive)
                found.append(replace(effect, verdict="matters") if depends else effect)
    return sorted(found, key=lambda effect: -abs(math.log(effect.ratio)))


def _is_of(effect: Effect, interaction: Interaction) -> bool:
    mine = (effect.variable, effect.baseline, effect.value)
    return mine in (
        (interaction.variable, interaction.baseline, interaction.value),
        (interaction.other, interaction.other_baseline, interaction.other_value),
    )


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
    variances = [log_variance(row) for pair in pairs for row in pair]
    known = [variance for variance in variances if variance is not None]
    if len(known) < len(variances):
        return Effect(variable, baseline, value, math.exp(mean), None, len(pairs), "unclear")
    # The pairs share no row, so their errors are independent.
    half = Z95 * math.sqrt(sum(known)) / len(pairs)
    low, high = math.exp(mean - half), math.exp(mean + half)
    return Effect(
        variable, baseline, value, math.exp(mean), (low, high), len(pairs), verdict_of(low, high)
    )
