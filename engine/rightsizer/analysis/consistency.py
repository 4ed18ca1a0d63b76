"""Whether the steps of a search speak of one server that stayed the same throughout."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rightsizer.analysis.figures import Doubt, Maximum, StepFigures
from rightsizer.analysis.maximum import open_maximum
from rightsizer.spec import LimitSpec
from rightsizer.units import significant

UNSTEADY = frozenset({"no-steady-state", "not-keeping-up"})
"""Doubts on a step by which it has no level that a figure could stand for."""
DISAGREES_RATIO = 0.12
"""On the log scale: a maximum may move by so much when the unsteady steps are left out. At 0.08 a
server that pauses is refused in one measurement of five, at 0.12 in one of twenty."""
SLOWER_DEVIATES = 2.5
"""More over the limit at a lower rate than at a higher one: chance does it in one pair in 200."""


def unsteady_doubts(
    steps: Sequence[StepFigures], maximum: Maximum | None, limit: LimitSpec
) -> list[Doubt]:
    """At most one doubt, which blocks: without the unsteady steps there would be another maximum.

    A step over the capacity is unsteady by right, and agrees with the others. One in which the
    server was slow for a while does not; which of them tells the truth is not known. A cliff's
    upper end is such a step.
    """
    opened = [s for s in steps if s.mode == "open" and s.verdict != "invalid"]
    unsteady = [s for s in opened if _is_unsteady(s) or any(_is_slower(s, x) for x in opened)]
    if maximum is None or maximum.kind == "bracket" or not unsteady:
        return []
    steady, _ = open_maximum([step for step in steps if step not in unsteady], limit)
    ratio = None if steady is None else steady.rate_per_s / maximum.rate_per_s
    if ratio is not None and abs(math.log(ratio)) <= DISAGREES_RATIO:
        return []
    labels = ", ".join(step.label for step in unsteady)
    without = f"{significant(ratio)} times as high" if ratio is not None else "none"
    message = f"no steady state at {labels}: without that the maximum would be {without}"
    next_step = "see what slows the server down at times, or measure again with more budget"
    figures = {"value": ratio, "allowed": DISAGREES_RATIO, "steps": float(len(unsteady))}
    return [Doubt("no-steady-state", "blocks", message, next_step, figures)]


def _is_unsteady(step: StepFigures) -> bool:
    return any(doubt.code in UNSTEADY for doubt in step.doubts)


def _is_slower(step: StepFigures, other: StepFigures) -> bool:
    """Whether a step was clearly more over the limit than another at a higher rate."""
    if (step.rate_per_s or 0.0) >= (other.rate_per_s or 0.0):
        return False
    if step.over_limit_ratio is None or other.over_limit_ratio is None:
        return False
    n, m = (max(1.0, x.n / (x.design_effect or 1.0)) for x in (step, other))
    pooled = (n * step.over_limit_ratio + m * other.over_limit_ratio) / (n + m)
    sd = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return step.over_limit_ratio - other.over_limit_ratio > SLOWER_DEVIATES * sd
