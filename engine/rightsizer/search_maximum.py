"""The search for the highest rate within the limit, as a step policy. Pure.

A short closed probe finds the unloaded latency and the capacity, of a server of any speed. A queue
made of the two says where the maximum should lie; open steps there, each placed by all before it,
say where it does. Steps far off are ended as soon as that is clear. The last one, a fresh step at
the estimate, is the confirmation; it counts like the others. A step that the machine spoilt is
asked for again, out of the same budget; beyond what the generator can drive the search turns back.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rightsizer.analysis.excess import Floats, excess_of, settled
from rightsizer.analysis.figures import StepFigures
from rightsizer.analysis.maximum import Knowledge, is_below_floor, is_flat, learn
from rightsizer.analysis.percentiles import PERCENTILES
from rightsizer.analysis.validity import is_beyond_generator, is_void
from rightsizer.schedule import Step, closed_step
from rightsizer.spec import LimitSpec, SearchTraffic

ONE_USER_SHARE, LEVEL_SHARE = 0.05, 0.03
"""Of the budget, for one user and for each further level of the closed probe at the most."""
ONE_USER_LEAST_S, LEVEL_LEAST_S = 1.0, 0.5
LEVEL_COMPLETIONS = 100
MOST_USERS = 512
OPEN_SHARES = (0.10, 0.15, 0.25)
"""Of what the probe left, for the first, the second and each further open step."""
CONFIRM_SHARE = 0.25
SLACK_RATIO = 0.1
"""The confirmation may be shorter by this where that gives room for one more step."""
FIRST_BUSY_RATIO = 0.9
SETTLING_COMPLETIONS = 40
"""After so many completions a queue at 70% has forgotten that it was empty."""
FIRST_LOOK_S, LOOK_RATIO = 1.0, 1.3
LOOK_FROM_RATIO = 0.3
"""Of the step: a pause of the server looks like overload until it is over."""
BACK_OFF_RATIO, RISE_RATIO = 0.7, 1.15
"""From a rate that the generator could not drive, and after each that it could."""
MOST_REPEATS = 2
"""In a row: a machine that spoils a step three times will go on."""


class MaximumSearch:
    """Closed probe, open steps, confirmation, within the budget."""

    stopped_early = False

    def __init__(self, traffic: SearchTraffic, limit: LimitSpec) -> None:
        self._limit = limit
        self._budget_s = self._left_s = traffic.budget_s
        self._confirm_given_s = traffic.confirm_s
        self._index = 0
        self._steps: list[StepFigures] = []
        self._asked: Step | None = None
        self._open_s: float | None = None
        """What the probe left; None while it runs."""
        self._opened = 0
        self._next_look_s = FIRST_LOOK_S
        self._confirmed = False
        self._repeats = 0
        self._highest_per_s = math.inf
        """As much as the generator may be asked for."""

    @property
    def planned(self) -> int | None:
        """Not known."""
        return None

    def ask(self) -> Step | None:
        """The next step, placed by all before it; None when the budget is used up."""
        if self._confirmed or self._hopeless():
            return None
        step = self._probe() or self._open()
        self._asked = step
        self._next_look_s = FIRST_LOOK_S
        return step

    def look(self, elapsed_s: float, latencies: Callable[[], Floats]) -> bool:
        """Whether the running step may end: its verdict is clear. Latencies in ms, by start."""
        step = self._asked
        if step is None or step.mode == "closed" or self._confirmed:
            return False
        if elapsed_s < max(self._next_look_s, 2 * step.warmup_s, LOOK_FROM_RATIO * step.duration_s):
            return False
        self._next_look_s = LOOK_RATIO * elapsed_s
        assert self._limit.latency_ms is not None
        excess = excess_of(latencies(), self._limit.latency_ms)
        return (
            excess is not None and settled(excess, PERCENTILES[self._limit.percentile]) is not None
        )

    def tell(self, figures: StepFigures) -> None:
        """Remembers the step; what it did not use goes to those after it."""
        assert self._asked is not None
        self._index += 1
        spent_s = self._asked.warmup_s + figures.warm_up_cut_s + figures.window_s
        self._left_s += self._asked.duration_s - spent_s
        if is_void(figures) and self._repeats < MOST_REPEATS:
            self._repeats += 1
            return
        self._repeats = 0
        self._steps.append(figures)
        if is_beyond_generator(figures):
            self._highest_per_s = BACK_OFF_RATIO * (figures.rate_per_s or figures.achieved_per_s)
        elif self._asked.mode == "open":
            self._highest_per_s *= RISE_RATIO
        if self._asked.mode == "open":
            self._opened += 1

    # -- closed --------------------------------------------------------------------------------

    def _probe(self) -> Step | None:
        """One user, then twice as many while throughput grows; None when that is done."""
        if self._open_s is not None:
            return None
        if not self._steps:
            length_s = max(ONE_USER_LEAST_S, ONE_USER_SHARE * self._budget_s)
            return self._closed(1, min(length_s, self._budget_s / 4))
        last = self._steps[-1]
        users = 2 * (last.users or 1)
        levels = {step.users or 0: step.achieved_per_s for step in self._steps}
        if is_flat(levels) or users > MOST_USERS or last.verdict == "invalid":
            self._open_s = self._left_s
            return None
        length_s = min(LEVEL_COMPLETIONS / max(levels.values()), LEVEL_SHARE * self._budget_s)
        return self._closed(users, max(length_s, LEVEL_LEAST_S))

    def _closed(self, users: int, length_s: float) -> Step:
        self._left_s -= length_s
        return closed_step(self._index, users, length_s, cut_s=0.2 * length_s)

    # -- open ----------------------------------------------------------------------------------

    def _open(self) -> Step | None:
        known = learn(self._steps, self._limit)
        if known is None or self._open_s is None:
            return None
        length_s = self._length_s(self._open_s)
        if length_s <= 0:
            return None
        self._left_s -= length_s
        settling_s = max(
            SETTLING_COMPLETIONS / known.capacity_per_s, (self._limit.latency_ms or 0) / 1e3
        )
        return Step(
            index=self._index,
            mode="open",
            duration_s=length_s,
            rate_per_s=self._rate(known),
            cut_s=min(0.25 * length_s, max(0.02 * length_s, settling_s)),
        )

    def _length_s(self, open_s: float) -> float:
        """Of the next step; the confirmation's when no other fits before it."""
        confirm_s = self._confirm_given_s or CONFIRM_SHARE * open_s
        share = OPEN_SHARES[min(self._opened, len(OPEN_SHARES) - 1)]
        length_s = share / (1 - CONFIRM_SHARE) * (open_s - confirm_s)
        if self._left_s - length_s > confirm_s * (1 - SLACK_RATIO):
            return length_s
        self._confirmed = True
        return self._left_s

    def _rate(self, known: Knowledge) -> float:
        if known.boundary is None:
            wanted = min(known.prediction.rate_per_s, FIRST_BUSY_RATIO * known.capacity_per_s)
        else:
            wanted = known.boundary.rate_per_s
        # Four digits: a rate is named, stored and repeated as it is printed.
        return float(f"{min(wanted, known.capacity_per_s, self._highest_per_s):.4g}")

    def _hopeless(self) -> bool:
        """Whether nothing answers, or even one user is over the limit."""
        if not self._steps:
            return False
        last, one = self._steps[-1], self._steps[0]
        # A pause may swallow a short level of the probe, but not an open step.
        silent = last.requests.succeeded == 0 and (last is one or last.mode == "open")
        return silent or is_below_floor(one, self._limit)
