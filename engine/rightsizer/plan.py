"""What is to be run: a job's trials, where each can run, and how long that takes. Plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rightsizer.candidates import Candidate, Stage
from rightsizer.containers import Container
from rightsizer.inventory import HostSpec
from rightsizer.machines import Placement
from rightsizer.needs import Need
from rightsizer.schedule import Step

START_S = 10.0
"""What a plan reckons for a start: calibration, server, probes and stop, in its expected time."""
FINAL_SHARE = 1 / 3
"""A final's traffic over a scout's: what that looked for is known, and many starts are worth more
than one."""
USUAL_STARTS = 6
"""Of each finalist, while there are several."""
USUAL_FINALISTS = 2
SCOUT_SHARES = ((8, 1.0), (24, 0.5), (math.inf, 0.25))
"""So many candidates at the most are scouted with that share of the budget."""


def scout_share(candidates: int) -> float:
    """The share of the budget that each gets in its first trial."""
    return next(share for most, share in SCOUT_SHARES if candidates <= most)


@dataclass(frozen=True)
class PlannedTrial:
    """A candidate on a host that can run it."""

    id: str
    candidate: Candidate
    host: HostSpec
    placement: Placement
    container: Container | None = None
    """On a Docker host."""
    elsewhere: tuple[PlannedTrial, ...] = ()
    """The same trial on the other hosts that can run it, in the order of the hosts file."""
    twins: tuple[Candidate, ...] = ()
    """Candidates of other instance types that it measures too: no host tells them apart."""
    stage: Stage = "scout"
    block: int = 0
    """Finals of one block share arrivals and payloads; it is added to the job's seed."""
    steps: tuple[Step, ...] = ()
    """Of a final that drives given ones; empty: as the job's traffic says."""
    budget_s: float | None = None
    """Of its traffic, where it is not the job's."""

    @property
    def label(self) -> str:
        """The candidate, and which final of it."""
        name = self.candidate.label
        return f"{name} (final {self.block})" if self.stage == "final" else name

    @property
    def options(self) -> tuple[PlannedTrial, ...]:
        """Where it can run, the best first; it has one id, wherever that is."""
        return (self, *self.elsewhere)


@dataclass(frozen=True)
class Refusal:
    """A candidate that no host can run, and why."""

    id: str
    """That of the trial on the first host, which takes its place when the host can run it."""
    candidate: Candidate
    why: str


@dataclass(frozen=True)
class Plan:
    """What a job will do: countable and printable before anything starts."""

    trials: tuple[PlannedTrial, ...]
    refused: tuple[Refusal, ...]
    steps: tuple[Step, ...]
    """Empty for traffic that is decided as it goes."""
    traffic_s: float
    """Planned traffic of one trial, at the most."""
    at_once: int = 1
    """Trials that run at the same time, at the most."""
    finals: int = 0
    """Further short trials of those that may be the best: the usual ones that there is room for."""
    allowed_s: float | None = None
    """What the job may take: `limits.duration_s`."""
    needs: tuple[Need, ...] = ()
    """Limits that do not hold all of it with the usual finals, and what would."""

    @property
    def options(self) -> tuple[PlannedTrial, ...]:
        """Every trial on every host that can run it."""
        return tuple(option for trial in self.trials for option in trial.options)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every candidate, runnable or not."""
        runnable = (candidate for t in self.trials for candidate in (t.candidate, *t.twins))
        return (*runnable, *(r.candidate for r in self.refused))

    @property
    def expected_s(self) -> float:
        """Wall time of the whole job, roughly: of a race, if one candidate is clearly the best."""
        return self.scouting_s + math.ceil(self.finals / self.at_once) * self.final_s

    @property
    def races(self) -> bool:
        """Whether candidates meet in finals, as far as limits allow."""
        return not self.steps and len(self.trials) > 1

    @property
    def final_s(self) -> float:
        """Wall time of a final of a candidate whose latency follows a queue, roughly."""
        return START_S + FINAL_SHARE * self.traffic_s

    @property
    def scouting_s(self) -> float:
        """Wall time until every candidate was measured once, roughly."""
        return math.ceil(len(self.trials) / self.at_once) * (START_S + self.scout_traffic_s)

    @property
    def scout_traffic_s(self) -> float:
        """Planned traffic of a candidate's first trial, at the most."""
        if self.steps:
            return self.traffic_s
        return self.traffic_s * scout_share(len(self.trials))

    @property
    def generator_cpus(self) -> frozenset[int]:
        """The CPUs of the generators."""
        return frozenset(c for trial in self.options for c in trial.placement.generator_cpus)

    @property
    def fewest_generator_cpus(self) -> int:
        """Of any trial that can run: at least one can."""
        return min(len(option.placement.generator_cpus) for option in self.options)

    @property
    def cpus(self) -> frozenset[int]:
        """All CPUs that the job will use on this machine."""
        return frozenset().union(*(trial.placement.cpus for trial in self.options))

    @property
    def accelerators(self) -> frozenset[str]:
        """Ids of all accelerators that the job will use on this machine."""
        return frozenset().union(*(trial.placement.own_accelerators for trial in self.options))
