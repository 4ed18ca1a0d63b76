"""Which swept variable matters, by how much, and how sure that is. Pure.

For each variable, candidates that differ in it alone are paired; the effect is the geometric mean
of their ratios of maxima (the main effect of a factorial design; Montgomery, Design and Analysis
of Experiments, ch. 5, on the log scale). Where a value brings variables that the other cannot have,
each of their settings is a pair of its own, and the effect is the mean over them (`contrasts`). A
candidate that lacks its partner is left out, as is one over the limits: of a maximum that was not
found only a bound is known, and a bound is no ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from rightsizer.analysis.figures import Interval
from rightsizer.analysis.intervals import Z95
from rightsizer.contrasts import (
    ContrastVerdict,
    Pair,
    come_with,
    distinct,
    in_order,
    pairs_of,
    sum_variance,
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
    averaged_over: tuple[str, ...] = ()
    """Variables that only one of the two values comes with: the mean is over their settings."""


@dataclass(frozen=True)
class UnknownEffect:
    """A variable that was varied, and why nothing is known of its effect."""

    variable: str
    values: tuple[str, ...]
    """That candidates had, measured or not."""
    why: str


def effects_of(rows: Sequence[Recommendation]) -> list[Effect]:
    """One effect for each two values of each swept variable, the largest first.

    Needs rows of one basis; compares only rows of the same instance type and other variables.
    """
    rows = distinct(rows)
    decisive = [x for x in interactions_of(rows) if x.verdict == "matters"]
    found = []
    for variable in dict.fromkeys(name for row in rows for name in row.environment):
        for baseline, value in combinations(values_of(rows, variable), 2):
            pairs = pairs_of(rows, variable, baseline, value)
            if pairs:
                found.append(_effect(variable, baseline, value, pairs))
    real = {effect.variable for effect in found if effect.verdict == "matters"}
    real |= {name for x in decisive for name in (x.variable, x.other)}
    found = [_told(effect, real, decisive) for effect in found]
    return sorted(found, key=lambda effect: -abs(math.log(effect.ratio)))


def _told(effect: Effect, real: set[str], decisive: Sequence[Interaction]) -> Effect:
    """What differs by the settings of one value cannot be the same as the other value."""
    depends = any(_is_of(effect, interaction) for interaction in decisive)
    if depends or real & set(effect.averaged_over):
        return replace(effect, verdict="matters")
    return effect


def unknown_effects(
    effects: Sequence[Effect],
    rows: Sequence[Recommendation],
    rejected: Sequence[Mapping[str, str]],
) -> list[UnknownEffect]:
    """Each variable of several values without any effect, where there is a maximum to compare.

    Args:
        effects: of the rows.
        rows: candidates with a maximum.
        rejected: the variables of those without.
    """
    told = {effect.variable for effect in effects}
    candidates = [row.environment for row in rows] + list(rejected)
    found = []
    for variable in dict.fromkeys(name for candidate in candidates for name in candidate):
        values = in_order(c[variable] for c in candidates if variable in c)
        if rows and len(values) > 1 and variable not in told:
            without = [value for value in values if value not in values_of(rows, variable)]
            found.append(UnknownEffect(variable, tuple(values), _why_unknown(without)))
    return found


def _why_unknown(without: Sequence[str]) -> str:
    """`without`: the values that no maximum was found at."""
    none = f" (no maximum was found at {', '.join(without)})" if without else ""
    return f"no measured pair differs in it alone{none}"


def _is_of(effect: Effect, interaction: Interaction) -> bool:
    mine = (effect.variable, effect.baseline, effect.value)
    return mine in (
        (interaction.variable, interaction.baseline, interaction.value),
        (interaction.other, interaction.other_baseline, interaction.other_value),
    )


def _effect(variable: str, baseline: str, value: str, pairs: Sequence[Pair]) -> Effect:
    logs = [
        math.log(high.max_invocations_per_min / low.max_invocations_per_min) for low, high in pairs
    ]
    mean = sum(logs) / len(logs)
    effect = Effect(
        variable,
        baseline,
        value,
        ratio=math.exp(mean),
        ratio_ci=None,
        pairs=len(pairs),
        verdict="unclear",
        averaged_over=come_with(pairs),
    )
    variance = sum_variance(term for low, high in pairs for term in ((-1, low), (1, high)))
    if variance is None:
        return effect
    half = Z95 * math.sqrt(variance) / len(pairs)
    low, high = math.exp(mean - half), math.exp(mean + half)
    return replace(effect, ratio_ci=(low, high), verdict=verdict_of(low, high))
