"""Which step comes next in a trial: ask for one, tell what came of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rightsizer.analysis.excess import Floats
from rightsizer.analysis.figures import StepFigures
from rightsizer.analysis.maximum import DOUBLED_GAIN_RATIO, FLAT_GAIN_RATIO, is_flat, levels_of
from rightsizer.analysis.validity import is_void
from rightsizer.schedule import Step, closed_step
from rightsizer.search_maximum import MOST_REPEATS, MaximumSearch
from rightsizer.spec import LimitSpec, SaturateTraffic, SearchTraffic, StopSpec, Traffic
from rightsizer.units import per_min

SATURATE_STEP_S = 10.0
FLAT_STEPS = 2
"""So many steps in a row without a gain make a plateau; one alone may be noise."""
FEWEST_LEVELS = FLAT_STEPS + 2
"""What the smallest budget is shared by: fewer levels could show no plateau."""


class StepPolicy(Protocol):
    """Decides the steps of one trial."""

    @property
    def planned(self) -> int | None:
        """How many steps there will be at the most; None: not known."""

    @property
    def stopped_early(self) -> bool:
        """Whether a stop condition ended it before its plan did."""

    def ask(self) -> Step | None:
        """The next step; None when there is none."""

    def look(self, elapsed_s: float, latencies: Callable[[], Floats]) -> bool:
        """Whether the running step has told enough. `latencies` reads them; ms, by start."""

    def tell(self, figures: StepFigures) -> None:
        """What came of the step asked for last."""


def policy_for(
    traffic: Traffic, steps: Sequence[Step], stop: StopSpec, limit: LimitSpec
) -> StepPolicy:
    """The policy that a job's traffic means. Without a latency limit the maximum is saturation."""
    if isinstance(traffic, SearchTraffic) and limit.latency_ms is not None:
        return MaximumSearch(traffic, limit)
    if isinstance(traffic, SaturateTraffic | SearchTraffic):
        return Saturate(traffic.budget_s, stop)
    return PlannedSteps(steps, stop)


def plateau(rates: Sequence[float], gain_ratio: float) -> bool:
    """Whether the last steps all failed to gain so much on the best before them."""
    if len(rates) <= FLAT_STEPS:
        return False
    best = max(rates[:-FLAT_STEPS])
    return all(rate < best * (1 + gain_ratio) for rate in rates[-FLAT_STEPS:])


class PlannedSteps:
    """Steps known before, ended early by the job's stop conditions."""

    def __init__(self, steps: Sequence[Step], stop: StopSpec) -> None:
        self._steps = list(steps)
        self._next = 0
        self._stop = stop
        self._rates: list[float] = []
        self._told: list[StepFigures] = []
        self._answered = True
        self.stopped_early = False

    @property
    def planned(self) -> int | None:
        """All of them."""
        return len(self._steps)

    def ask(self) -> Step | None:
        """The next step of the plan, unless a stop condition holds."""
        if self.stopped_early or not self._answered or self._next == len(self._steps):
            return None
        self._next += 1
        return self._steps[self._next - 1]

    def look(self, elapsed_s: float, latencies: Callable[[], Floats]) -> bool:
        """Planned steps run to their end."""
        return False

    def tell(self, figures: StepFigures) -> None:
        """Checks the stop conditions. A server that answered nothing is not asked again."""
        self._rates.append(figures.achieved_per_s)
        self._told.append(figures)
        self._answered = figures.requests.succeeded > 0
        if self._next == len(self._steps):
            return
        enough = self._stop.max_invocations_per_min
        reached = enough is not None and per_min(figures.achieved_per_s) >= enough
        # Among many users one more brings little anyway: only `is_flat` knows how many they are.
        flat = plateau(self._rates, FLAT_GAIN_RATIO) and is_flat(levels_of(self._told))
        self.stopped_early = reached or (flat and self._stop.flat_invocations == "stop")


class Saturate:
    """Closed users 1, 2, 4, 8 ... until throughput is flat or the budget is used up.

    A level that the machine spoilt is asked for again.
    """

    def __init__(self, budget_s: float, stop: StopSpec | None = None) -> None:
        self.stopped_early = False
        self._enough_per_min = stop.max_invocations_per_min if stop else None
        self._left_s = budget_s
        self._step_s = min(SATURATE_STEP_S, budget_s / FEWEST_LEVELS)
        self._users = 1
        self._count = self._repeats = 0
        self._rates: list[float] = []
        self._answered = True

    @property
    def planned(self) -> int | None:
        """Not known."""
        return None

    def ask(self) -> Step | None:
        """Twice the users, while there is budget and something to gain."""
        enough = plateau(self._rates, DOUBLED_GAIN_RATIO) or not self._answered
        if enough or self.stopped_early or self._left_s < self._step_s - 1e-9:
            return None
        self._left_s -= self._step_s
        self._count += 1
        return closed_step(self._count - 1, self._users, self._step_s)

    def look(self, elapsed_s: float, latencies: Callable[[], Floats]) -> bool:
        """Every level runs to its end."""
        return False

    def tell(self, figures: StepFigures) -> None:
        """Remembers the throughput."""
        if is_void(figures) and self._repeats < MOST_REPEATS:
            self._repeats += 1
            return
        self._repeats = 0
        self._users *= 2
        self._rates.append(figures.achieved_per_s)
        self._answered = figures.requests.succeeded > 0
        if self._enough_per_min is not None:
            self.stopped_early = per_min(figures.achieved_per_s) >= self._enough_per_min
