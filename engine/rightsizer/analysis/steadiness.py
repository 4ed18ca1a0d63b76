"""Whether a window's latencies keep one level; and a warm-up that the time cut did not cover.

Latencies are in ms, shape (n,), in the order of their starts. All is done on the share above the
median: a queue's latencies have heavy tails, and its excursions are no change of level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rightsizer.analysis.doubts import LONGER
from rightsizer.analysis.figures import Doubt
from rightsizer.analysis.intervals import correlation_time
from rightsizer.units import milliseconds, percent

Floats = npt.NDArray[np.float64]

SHIFT_DEVIATES, SHIFT_SCARCITY = 2.0, 100.0
"""The cumulative sum may go as far as the first, in its own standard deviations, and further by the
second over the independent requests' worth.

Of independent requests one window in 1,500 goes beyond the first (Kolmogorov's distribution). In a
queue their number is an estimate, and the fewer there are the worse: by simulation, windows of 3 to
30 s of nine servers, the sum leads one window in 200 astray from 75 on at 3.2, from 130 on at 2.5.
"""
FEWEST_FOR_SHIFT = 100
SLOW_FEWEST, SLOW_REQUESTS = 35, 100
"""Fewer independent requests' worth than the first, each of more requests than the second: a queue
over 90% busy, or one that fills and drains once in the window. One step in a thousand of searches.
"""
WARM_UP_RATIO = 0.5
"""Of a window, at the most, is warm-up: a level that lasts longer is as good as the other."""
MSER_BATCH = 5
FIRST_PART, FIRST_RATIO = 8, 0.75
"""The first eighth of a warm-up differs from the rest by three quarters of what all does."""

UNSTEADY = f"{LONGER}, or look for a leak, throttling or a cache that fills"


@dataclass(frozen=True)
class Shift:
    """Where the level changes most, and how surely it does."""

    at: int
    """Requests before it."""
    deviates: float
    independent: float
    """Requests' worth, within the two parts."""

    @property
    def allowed(self) -> float:
        """As far as chance goes."""
        return SHIFT_DEVIATES + SHIFT_SCARCITY / max(self.independent, 1.0)

    @property
    def is_real(self) -> bool:
        """Whether it is more than chance."""
        return self.deviates > self.allowed


def level_shift(latency_ms: Floats) -> Shift:
    """The cumulative-sum test for one change of level, which a trend fails as well.

    (Brown, Durbin, Evans 1975, in the form of Ploberger and Kraemer, Econometrica 60, 1992.) The
    correlation is that within the two parts: taken over the whole, a change of level hides itself.
    """
    n = len(latency_ms)
    if n < FEWEST_FOR_SHIFT:
        return Shift(0, 0.0, 0.0)
    above = (latency_ms > np.median(latency_ms)).astype(np.float64)
    sums = np.abs(np.cumsum(above - above.mean())[:-1])
    at = int(np.argmax(sums)) + 1
    parts = np.concatenate([part - part.mean() for part in (above[:at], above[at:])])
    variance = float(parts @ parts) / n
    if variance == 0:
        # Wholly apart, or wholly equal; the former is as sure as n requests can make it.
        return Shift(at, math.sqrt(n) if sums[at - 1] > 0 else 0.0, float(n))
    time = correlation_time(parts)
    return Shift(at, float(sums[at - 1]) / math.sqrt(n * time * variance), n / time)


def warm_up(latency_ms: Floats, shift: Shift) -> int:
    """How many requests at the window's head are still warm-up; 0 where its level is steady.

    Args:
        latency_ms: of the window.
        shift: its `level_shift`.

    Where to cut is MSER-5 (White, Simulation 69, 1997), on ranks; that there is something to cut,
    and that what is left has one level, is the cumulative-sum test. A window is never cut without
    need, or in vain.
    """
    if not shift.is_real:
        return 0
    cut = _mser(latency_ms)
    if not cut or not _is_so_from_the_first(latency_ms, cut):
        return 0
    return 0 if level_shift(latency_ms[cut:]).is_real else cut


def _is_so_from_the_first(latency_ms: Floats, cut: int) -> bool:
    """Whether the head's first part differs as the head does: else something happened in it, such
    as a pause of the server, which belongs to what is measured."""
    above = latency_ms > np.median(latency_ms[cut:])
    rest = float(above[cut:].mean())
    first, head = float(above[: max(1, cut // FIRST_PART)].mean()), float(above[:cut].mean())
    return head != rest and (first - rest) / (head - rest) >= FIRST_RATIO


def _mser(latency_ms: Floats) -> int:
    """The head whose removal makes the mean of the rest the surest; 0 where that is over half."""
    ranks = np.argsort(np.argsort(latency_ms, kind="stable")) / len(latency_ms)
    count = len(ranks) // MSER_BATCH
    means = ranks[: count * MSER_BATCH].reshape(count, MSER_BATCH).mean(axis=1)[::-1]
    left = np.arange(1, count + 1)
    sums, squares = np.cumsum(means), np.cumsum(means**2)
    errors = ((squares - sums**2 / left) / left**2)[::-1]
    most = max(1, int(WARM_UP_RATIO * count))
    # Beyond the half lie means of few batches, near 0 by chance.
    best = int(np.argmin(errors[: most + 1]))
    return best * MSER_BATCH if best < most else 0


def warm_up_doubt(cut_s: float, window_s: float) -> Doubt:
    """More was cut off than the plan had meant to be."""
    message = f"the first {percent(cut_s / window_s)} of the window were still warm-up, and are out"
    figures = {"cut_s": cut_s, "window_s": window_s}
    return Doubt("warm-up-cut", "note", message, LONGER, figures)


def drift_doubts(latency_ms: Floats, shift: Shift) -> list[Doubt]:
    """Whether the level changes in the window, by a step or a trend: there is no steady state."""
    if not shift.is_real:
        return []
    before = float(np.median(latency_ms[: shift.at]))
    after = float(np.median(latency_ms[shift.at :]))
    way = "rose" if after > before else "fell"
    message = (
        f"no steady state: latency {way} from {milliseconds(before)} to {milliseconds(after)} "
        f"(P50), most of it {percent(shift.at / len(latency_ms))} into the window"
    )
    figures = {
        "value": shift.deviates,
        "allowed": shift.allowed,
        "p50_before_ms": before,
        "p50_after_ms": after,
        "at_ratio": shift.at / len(latency_ms),
    }
    return [Doubt("no-steady-state", "weakens", message, UNSTEADY, figures)]


def wander_doubts(n: int, shift: Shift) -> list[Doubt]:
    """Open: whether latencies vary so slowly that the window holds hardly more than one excursion.

    Its level may not have changed for good, but no level can be told from its `n` requests.
    """
    if (
        n < FEWEST_FOR_SHIFT
        or shift.independent >= SLOW_FEWEST
        or n < SLOW_REQUESTS * shift.independent
    ):
        return []
    message = (
        f"no steady state: latencies vary so slowly that {n} requests are worth "
        f"{shift.independent:.0f} independent ones"
    )
    figures = {"value": shift.independent, "allowed": float(SLOW_FEWEST), "n": float(n)}
    return [Doubt("no-steady-state", "weakens", message, UNSTEADY, figures)]
