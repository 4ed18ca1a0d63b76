"""How long trials take: as planned, until this run has measured some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rightsizer.candidates import Stage
from rightsizer.plan import FINAL_SHARE, START_S, Plan


@dataclass
class Pace:
    """What a run has measured of its trials, s."""

    plan: Plan
    starts_s: list[float] = field(default_factory=list)
    """From each server's start until it was ready."""
    walls_s: dict[Stage, list[float]] = field(default_factory=dict)
    """Of trials that have ended."""

    def ended(self, stage: Stage, wall_s: float) -> None:
        """A trial took so long."""
        self.walls_s.setdefault(stage, []).append(wall_s)

    def each_s(self, stage: Stage) -> float:
        """Wall time of a trial."""
        if walls_s := self.walls_s.get(stage):
            return fmean(walls_s)
        traffic_s = self.plan.scout_traffic_s
        if stage == "final":
            traffic_s = FINAL_SHARE * self.plan.traffic_s
        return max([START_S, *([fmean(self.starts_s)] if self.starts_s else [])]) + traffic_s

    def left_s(
        self, running: Stage, in_trial_s: float, waiting: Sequence[Stage], finals: int
    ) -> float:
        """Wall time until the job ends.

        Args:
            running: what runs now, for `in_trial_s`.
            waiting: what is to run after it.
            finals: how many the race has asked for; those of the plan are to come.
        """
        to_come = max(0, self.plan.finals - finals)
        after_s = sum(map(self.each_s, waiting)) + to_come * self.each_s("final")
        return max(0.0, self.each_s(running) - in_trial_s) + after_s / self.plan.at_once
