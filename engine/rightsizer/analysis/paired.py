"""One final's log maximum, made to be compared with others that had the same arrivals.

A fit of all that a trial saw (`analysis.boundary`) is right on its own, but two trials of one
schedule do not err alike in it: it counts requests over the limit, and a handful more or less moves
it. The percentile itself moves with the schedule alike in both. So the rate is read off the
percentile: the queue made of the candidate's own service times says by how much another rate would
have another percentile, and where that is the limit is the maximum. What is wrong in it is wrong
in all candidates of a block alike, and cancels in their ratios.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rightsizer.analysis.figures import Basis, StepFigures
from rightsizer.analysis.queue_model import LatencyCurve
from rightsizer.analysis.validity import is_void
from rightsizer.spec import LimitSpec


def log_maximum(
    steps: Sequence[StepFigures], basis: Basis, limit: LimitSpec, curve: LatencyCurve | None
) -> float | None:
    """Natural logarithm of the maximum per second as the steps of one final show it, or None.

    Args:
        steps: of one trial.
        basis: `open`, or `closed` for the saturated throughput.
        limit: of latency and errors.
        curve: the candidate's; needed where the basis is open.
    """
    if basis == "closed":
        # With the most users, and the last such: before it comes a warm-up, which is no maximum.
        last = max(reversed(steps), key=lambda step: step.users or 0, default=None)
        if last is None or last.verdict != "within-limits" or last.achieved_per_s <= 0:
            return None
        return math.log(last.achieved_per_s)
    found = [
        _of_step(step, limit, curve)
        for step in steps
        if step.mode == "open" and step.verdict != "invalid" and not is_void(step)
    ]
    told = [value for value in found if value is not None]
    return sum(told) / len(told) if told and len(told) == len(found) else None


def _of_step(step: StepFigures, limit: LimitSpec, curve: LatencyCurve | None) -> float | None:
    if curve is None or limit.latency_ms is None or not step.latency_ms or not step.rate_per_s:
        return None
    if step.error_ratio > limit.max_error_ratio:
        return None
    return math.log(step.rate_per_s / curve.rate_ratio(step.latency_ms / limit.latency_ms))
