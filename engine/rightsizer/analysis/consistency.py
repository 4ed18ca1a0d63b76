"""Whether a searched maximum rests on steps that had no steady state."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rightsizer.analysis.figures import Doubt, Maximum, StepFigures
from rightsizer.analysis.maximum import open_maximum
from rightsizer.spec import LimitSpec
from rightsizer.units import significant

UNSTEADY = frozenset({"no-steady-state", "not-keeping-up"})
DISAGREES_RATIO = 0.12
"""A maximum may move by so much when the unsteady steps are left out: about its own error."""


def unsteady_doubts(
    steps: Sequence[StepFigures], maximum: Maximum | None, limit: LimitSpec
) -> list[Doubt]:
    """At most one doubt, which blocks: without the unsteady steps there would be another maximum.

    A step over the capacity is unsteady by right, and agrees with the others. One in which the
    server was slow for a while does not; which of them tells the truth is not known. A cliff's
    upper end is such a step.
    """
    unsteady = [step for step in steps if step.mode == "open" and is_unsteady(step)]
    if maximum is None or maximum.kind == "bracket" or not unsteady:
        return []
    steady, _ = open_maximum([step for step in steps if step not in unsteady], limit)
    if steady is not None:
        ratio = steady.rate_per_s / maximum.rate_per_s
        if abs(math.log(ratio)) <= DISAGREES_RATIO:
            return []
        without = f"without them the maximum would be {significant(ratio)} times as high"
    else:
        ratio, without = None, "without them there is no maximum"
    labels = ", ".join(step.label for step in unsteady)
    figures = {"value": ratio, "allowed": DISAGREES_RATIO, "steps": float(len(unsteady))}
    message = f"no steady state at {labels}: {without}"
    next_step = "see what slows the server down at times, or measure again with more budget"
    return [Doubt("no-steady-state", "blocks", message, next_step, figures)]


def is_unsteady(step: StepFigures) -> bool:
    """Whether a step that counts had no steady state."""
    codes = {doubt.code for doubt in step.doubts}
    return step.verdict != "invalid" and bool(codes & UNSTEADY)
