"""Whole races in virtual time: simulated servers behind the engine's own search, analysis, race and
ranking. Nothing is added to a summary: every figure comes from the samples of simulated requests.

A candidate is a queue of a mean service time. What a request costs belongs to the request: the k-th
of a step draws the same for every candidate. Each server start is faster or slower by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np
from rightsizer.analysis.figures import StepFigures, TrialFigures
from rightsizer.analysis.steps import Conditions, judge_steps
from rightsizer.analysis.trial import Setting, judge_trial
from rightsizer.candidates import Candidate
from rightsizer.errors import Reason, TrialState
from rightsizer.instrument.laws import Law
from rightsizer.inventory import HostSpec
from rightsizer.machines import Placement
from rightsizer.plan import Plan, PlannedTrial
from rightsizer.racing import Race
from rightsizer.search_maximum import MaximumSearch
from rightsizer.spec import JobSpec, LimitSpec, SearchTraffic
from rightsizer.standing import Standing, standing_of
from rightsizer.trials import Measurement, TrialRecord
from truth_servers import Queue
from virtual_traffic import TIMEOUT_S, Case, drive, simulate

START_S = 2.0
"""A server start, in a trial's wall time."""
P95 = LimitSpec(percentile="P95", latency_ms=30.0)
TRUTH_REQUESTS = 2_000_000
NS = 1e9
LONG_S = 1e9
SETTING = Setting(
    instance_type="x",
    host="local",
    placement=Placement((1,), (0,), 1 << 30, "native"),
    pinned=True,
    traffic_type="search",
    stopped_early=False,
    cut_short=False,
    probe_latency_ms=None,
)


@dataclass(frozen=True)
class Fleet:
    """Candidates of one law, by name: their mean service times and what is random in them."""

    law: Law
    service_s: Mapping[str, float]
    start_sd: float
    infeasible: frozenset[str] = frozenset()
    limit: LimitSpec = P95
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    own_draws: bool = False
    """Each start draws its service times by itself: nothing belongs to the request."""

    def true_log_cost(self, name: str) -> float:
        """Of one of its candidates, at a price of 1."""
        return -true_log_maximum(self.law, self.service_s[name], self.limit)

    @property
    def feasible(self) -> list[str]:
        """Names of those that start."""
        return [name for name in self.service_s if name not in self.infeasible]

    @property
    def best_log_cost(self) -> float:
        """The lowest there is."""
        return min(map(self.true_log_cost, self.feasible))


@cache
def _law_curve(law: Law, limit_ms: float, p: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(ln service, ln maximum) per second, by very long runs: a table to read maxima off."""
    rng = np.random.default_rng(5)
    work = law(rng, TRUTH_REQUESTS)
    gaps = np.cumsum(rng.exponential(1.0, TRUTH_REQUESTS))
    busy = np.linspace(0.05, 0.97, 24)
    done = np.cumsum(work)
    services, maxima = [], []
    for rho in busy.tolist():
        arrival = gaps / rho
        latency = done + np.maximum.accumulate(arrival - (done - work)) - arrival
        # In a queue `rho` busy the percentile is so many mean service times.
        times = float(np.quantile(latency, p))
        service_s = limit_ms / 1e3 / times
        services.append(math.log(service_s))
        maxima.append(math.log(rho / service_s))
    order = np.argsort(services)
    return tuple(np.array(services)[order]), tuple(np.array(maxima)[order])


def true_log_maximum(law: Law, service_s: float, limit: LimitSpec) -> float:
    """Per second."""
    assert limit.latency_ms is not None
    x, y = _law_curve(law, limit.latency_ms, 0.95)
    return float(np.interp(math.log(service_s), x, y))


def planned(name: str, environment: Mapping[str, str]) -> PlannedTrial:
    """A candidate on the only host."""
    candidate = Candidate(name, "x", environment)
    return PlannedTrial(name, candidate, HostSpec(name="local"), SETTING.placement)


class VirtualRace:
    """One race of a fleet; `trials` and `traffic_s` count what it took."""

    def __init__(self, fleet: Fleet, seed: int, budget_s: float, most: int = 2000) -> None:
        self.fleet, self.seed, self.budget_s = fleet, seed, budget_s
        traffic = {"type": "search", "budget_s": budget_s}
        self.spec = JobSpec.model_validate(
            {
                "name": "race",
                "server": {"url": "http://127.0.0.1:1/", "protocol": "raw"},
                "payload": {"archive": "x", "seed": seed * 100_000},
                "candidates": [{"instance_type": "x"}],
                "traffic": traffic,
                "limit": fleet.limit.model_dump(),
                "limits": {"max_trials": most},
            }
        )
        every = tuple(
            planned(name, fleet.environments.get(name, {"N": name})) for name in fleet.service_s
        )
        self.plan = Plan(every, (), (), budget_s)
        self.race = Race(self.plan, self.spec, lambda name: 1.0)
        self.records: dict[str, TrialRecord] = {}
        self.traffic_s = 0.0
        self._random = np.random.default_rng([seed, 3])

    def run(self) -> None:
        """To its end, by the race's own rules."""
        while trials := self.race.next_trials(self.records, LONG_S):
            for trial in trials:
                self.run_trial(trial)

    def traffic_s_of(self, stage: str) -> float:
        """What the trials of one stage took."""
        records = [record for record in self.records.values() if record.stage == stage]
        return sum(step.window_s for record in records for step in record.steps)

    def finals(self, block: int, names: Sequence[str], standing: Standing) -> list[PlannedTrial]:
        """A block as the race would plan it."""
        return self.race.block(block, names, standing)

    def observed(self, trial: PlannedTrial) -> float:
        """The log maximum that a final shows, per second."""
        self.run_trial(trial)
        standing = standing_of(
            list(self.records.values()), lambda name: 1.0, self.fleet.limit, None
        )
        assert standing is not None
        return standing.entrants[trial.candidate.id].log_maxima[trial.block]

    def run_trial(self, trial: PlannedTrial) -> TrialRecord:
        """Measure one and remember it."""
        why = self.race.why_not(trial, self.records)
        record = self._skipped(trial, why) if why else self._measured(trial)
        self.records[trial.id] = record
        return record

    def _skipped(self, trial: PlannedTrial, why: str) -> TrialRecord:
        return replace(
            _record(trial), state=TrialState.FAILED, reason=Reason.INFEASIBLE, detail=why
        )

    def _measured(self, trial: PlannedTrial) -> TrialRecord:
        if trial.candidate.id in self.fleet.infeasible:
            state, reason = TrialState.FAILED, Reason.OUT_OF_MEMORY
            return replace(_record(trial), state=state, reason=reason, wall_s=START_S)
        fleet = self.fleet
        speed = math.exp(fleet.start_sd * self._random.standard_normal())
        service_s = fleet.service_s[trial.candidate.id] * speed
        seed = self.spec.payload.seed + trial.block
        case = Case(Queue(fleet.law), service_s, fleet.limit, seed)
        own = [int(self._random.integers(1 << 30))] if fleet.own_draws else []
        steps = self._steps(case, trial, own)
        figures: TrialFigures = judge_trial(steps, "open", fleet.limit, SETTING)
        used_s = sum(step.window_s for step in steps)
        self.traffic_s += used_s
        return replace(
            _record(trial),
            state=TrialState.SUCCEEDED,
            steps=tuple(steps),
            figures=figures,
            wall_s=START_S + used_s,
        )

    def _steps(self, case: Case, trial: PlannedTrial, own: Sequence[int]) -> list[StepFigures]:
        conditions = Conditions(case.limit, TIMEOUT_S, ["x"], 1, 1, merges_short=False)
        traffic = SearchTraffic(budget_s=trial.budget_s or self.budget_s)
        policy = MaximumSearch(traffic, case.limit)
        given = iter(trial.steps)
        ask = partial(next, given, None) if trial.steps else policy.ask
        now_s, steps = 1.0, []
        while (step := ask()) is not None:
            rng = np.random.default_rng([case.seed, step.index, *own])
            samples = simulate(case, step, now_s, rng)
            looks = Unlooked() if trial.steps else policy
            record, samples = drive(looks, step, samples, now_s, conditions)
            [figures] = judge_steps(samples, [record], [], conditions)
            if not trial.steps:
                policy.tell(figures)
            steps.append(figures)
            now_s = record.drained_ns / NS + 0.01
        return steps


class Unlooked:
    """Lets every step run to its end."""

    def look(self, elapsed_s: float, latencies: object) -> bool:
        """Never enough."""
        return False


def _record(trial: PlannedTrial) -> TrialRecord:
    return TrialRecord(
        id=trial.id,
        ordinal=0,
        candidate=trial.candidate,
        host="local",
        state=TrialState.RUNNING,
        measurement=Measurement(placement=trial.placement),
        stage=trial.stage,
        block=trial.block,
    )
