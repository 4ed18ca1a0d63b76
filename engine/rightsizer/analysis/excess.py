"""The share of a window's requests that is over the latency limit, and what it is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rightsizer.analysis.intervals import design_effect

Floats = npt.NDArray[np.float64]

BATCHES = 20
FEWEST_IN_BATCH = 5
EARLY_DEVIATES = 2.3
"""So many standard deviations settle a step, however often it is looked at.

By simulation (`benchmarks/step_rule.py`): with a look at every 1.3-fold length, under 5% of servers
at 1.10 of their maximum pass and under 5% at 0.90 of it fail, from an empty queue and a backlog.
"""
FEWEST_EARLY = 200
"""Requests before a step may be settled."""


@dataclass(frozen=True)
class Excess:
    """How many of `n` requests were over the limit, and how many weigh as an independent one."""

    n: int
    ratio: float
    design_effect: float


def excess_of(latency_ms: Floats, limit_ms: float) -> Excess | None:
    """The excess of one window's latencies, shape (n,), in the order of their starts.

    The design effect is the larger of two estimates: from batch means of the share itself, and
    from how long latencies stay above their median, which needs no excess to be seen.
    """
    n = len(latency_ms)
    if n == 0:
        return None
    over = latency_ms > limit_ms
    ratio = float(np.mean(over))
    return Excess(n, ratio, max(design_effect(latency_ms), _batch_effect(over, ratio)))


def settled(excess: Excess, p: float) -> Literal["over", "within"] | None:
    """Whether the share is clearly over, or clearly within, 1 - `p`; None: not clear yet."""
    if excess.n < FEWEST_EARLY:
        return None
    allowed = 1 - p
    # Whichever variance is the larger: the one at the allowed share, or that of the share seen.
    share = max(allowed, min(excess.ratio, 0.5))
    sd = math.sqrt(share * (1 - share) * excess.design_effect / excess.n)
    deviates = (excess.ratio - allowed) / sd
    if abs(deviates) < EARLY_DEVIATES:
        return None
    return "over" if deviates > 0 else "within"


def _batch_effect(over: npt.NDArray[np.bool_], ratio: float) -> float:
    if ratio in (0.0, 1.0) or len(over) < BATCHES * FEWEST_IN_BATCH:
        return 1.0
    shares = [float(np.mean(batch)) for batch in np.array_split(over, BATCHES)]
    seen = float(np.var(shares, ddof=1)) / BATCHES
    return seen * len(over) / (ratio * (1 - ratio))
