"""Which trials come next: every candidate once, then finals among those that may be the best. Pure.

Scouting is exhaustive: each candidate is searched once. Then blocks of finals: short trials on
fresh starts that share one schedule of arrivals and payloads, run in random order, by every
candidate that may still be the best. Nobody is dropped for good: who is in the next block is asked
of the posterior after each (sequential elimination on common random numbers: Kim and Nelson, ACM
TOMACS 11, 2001; with Bayesian screening in place of their boundaries), until the promise of
`standing.py` is kept, or trials or time are used up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from rightsizer.analysis.trial import basis_of
from rightsizer.candidates import hash_of
from rightsizer.entrants import TOO_SHORT, Entrant
from rightsizer.errors import Reason, TrialState
from rightsizer.plan import FINAL_SHARE, START_S, USUAL_STARTS, Plan, PlannedTrial
from rightsizer.schedule import Step, closed_step
from rightsizer.spec import JobSpec, SaturateTraffic, SearchTraffic
from rightsizer.standing import FEWEST_STARTS, Standing, standing_of
from rightsizer.trials import TrialRecord

WARM_UP_SHARE, WARM_UP_LEAST_S = 0.05, 1.0
"""Of a final, for one user before the open step."""
COVERED = 0.98
"""Those in a block hold so much of the probability to be the best."""
KEPT_RATIO = 0.5
"""Of a block's members, at the least, meet again: one start of a rival does not tell what starts
differ by (successive halving: Karnin, Koren and Somekh, ICML 2013)."""
ENOUGH = 0.98
"""The race ends at this probability: looking after every block costs some of the promise."""
FEWEST_ALIKE = 2
"""So many that failed alike, and none that ran, make a value infeasible."""
INFEASIBLE = frozenset({Reason.EXITED_AT_START, Reason.NEVER_READY, Reason.OUT_OF_MEMORY})
MOST_ATTEMPTS = 2


@dataclass(frozen=True)
class EachOnce:
    """Every planned trial once: traffic that is given beforehand."""

    plan: Plan

    def next_trials(
        self, records: Mapping[str, TrialRecord], left_s: float
    ) -> Sequence[PlannedTrial]:
        """Those that have not ended."""
        return _missing(self.plan.trials, records)

    def why_not(self, trial: PlannedTrial, records: Mapping[str, TrialRecord]) -> str:
        """Nothing is learned from one trial for another."""
        return ""


@dataclass(frozen=True)
class Race:
    """Scouts, then finals. `per_hour_usd` gives an instance type's price, None without one."""

    plan: Plan
    spec: JobSpec
    per_hour_usd: Callable[[str], float | None]

    def next_trials(
        self, records: Mapping[str, TrialRecord], left_s: float
    ) -> Sequence[PlannedTrial]:
        """What to run when nothing runs; empty when the race is over.

        Args:
            records: by trial id, as the store has them.
            left_s: wall time that the job has left.
        """
        scouts = self.scouts(records)
        missing = _missing(scouts, records)
        if missing or len(scouts) < 2:
            return missing
        return self._unfinished(records, left_s) or self._further(records, left_s)

    def why_not(self, trial: PlannedTrial, records: Mapping[str, TrialRecord]) -> str:
        """Why a scout need not be started: a swept value that never works on its type; or ""."""
        if trial.stage == "final":
            return ""
        kind = trial.candidate.instance_type
        for name, value in trial.candidate.environment.items():
            if not self._is_swept(name, kind):
                continue
            alike = [
                record
                for record in records.values()
                if record.candidate.environment.get(name) == value
                and record.candidate.instance_type == kind
                and record.state is not TrialState.RUNNING
                and record.reason is not Reason.INFEASIBLE  # which says nothing new of the value
            ]
            failed = [record for record in alike if record.reason in INFEASIBLE]
            reasons = {record.reason for record in failed}
            if len(failed) == len(alike) >= FEWEST_ALIKE and len(reasons) == 1:
                [reason] = reasons
                assert reason is not None
                return f"{len(failed)} candidates with {name}={value} ended with {reason.value}"
        return ""

    def _is_swept(self, name: str, instance_type: str) -> bool:
        """Whether the plan has several values of it on that type: one that is fixed is no cause."""
        alike = [
            t.candidate for t in self.plan.trials if t.candidate.instance_type == instance_type
        ]
        return len({candidate.environment.get(name) for candidate in alike}) > 1

    # -- scouts --------------------------------------------------------------------------------

    def scouts(self, records: Mapping[str, TrialRecord]) -> list[PlannedTrial]:
        """One for each candidate; where a part of the budget showed no maximum, one more with the
        whole, as far as `max_trials` has room."""
        if self.plan.scout_traffic_s == self.plan.traffic_s:
            return list(self.plan.trials)
        scouts = [_with(trial, budget_s=self.plan.scout_traffic_s) for trial in self.plan.trials]
        again = [
            _with(trial, id=hash_of([trial.id, "whole"]))
            for trial in self.plan.trials
            if _is_too_short(records.get(trial.id))
        ]
        return [*scouts, *again[: max(0, self.spec.limits.max_trials - len(scouts))]]

    # -- finals --------------------------------------------------------------------------------

    def _is_over(self, standing: Standing) -> bool:
        starts = len(standing.entrants[standing.best].finals)
        if standing.p_good[standing.best] < ENOUGH or starts < FEWEST_STARTS:
            return False
        return starts >= USUAL_STARTS or len(_in_play(standing)) == 1

    def _unfinished(self, records: Mapping[str, TrialRecord], left_s: float) -> list[PlannedTrial]:
        """What is left of the last blocks, worked out anew from all before them: as far as trials
        and time allow."""
        last = max((record.block for record in records.values()), default=0)
        first = last - (last - 1) % self.plan.at_once
        before = [record for record in records.values() if record.block < first]
        standing = self._standing(before) if last else None
        if standing is None:
            return []
        blocks = [
            trial
            for number in range(first, last + 1)
            for trial in self.block(number, self._members(standing, before), standing)
        ]
        room = self.spec.limits.max_trials - len(records)
        begun = [t for t in blocks if t.id in records and _is_unfinished(records[t.id])]
        new = [trial for trial in blocks if trial.id not in records][: max(0, room)]
        return [*begun, *new][: int(left_s / self._each_s(list(records.values())))]

    def _further(self, records: Mapping[str, TrialRecord], left_s: float) -> list[PlannedTrial]:
        """A block for each host that runs at the same time, as far as trials and time allow."""
        standing = self._standing(list(records.values()))
        if standing is None or self._is_over(standing):
            return []
        so_far = list(records.values())
        number = 1 + max((record.block for record in so_far), default=0)
        members = self._members(standing, so_far)[: int(left_s / self._each_s(so_far))]
        # Alone, a start says nothing of who is better; but of how good the best is.
        if len(members) < min(2, len(_in_play(standing))):
            return []
        blocks: list[PlannedTrial] = []
        for _ in range(self.plan.at_once):
            trials = len(records) + len(blocks) + len(members)
            if not blocks or trials <= self.spec.limits.max_trials:
                blocks += self.block(number, members, standing)
                number += 1
        return blocks

    def _each_s(self, records: Sequence[TrialRecord]) -> float:
        """What a final takes."""
        finals = [record.wall_s for record in records if record.stage == "final" and record.wall_s]
        return fmean(finals) if finals else START_S + self._final_s

    def _members(self, standing: Standing, records: Sequence[TrialRecord]) -> list[str]:
        """Of the next block, after these trials: as many as `max_trials` allows."""
        last = max((record.block for record in records), default=0)
        before = sum(record.block == last for record in records) if last else 0
        wanted = _in_play(standing, math.ceil(KEPT_RATIO * before))
        return wanted[: max(0, self.spec.limits.max_trials - len(records))]

    def _standing(self, records: Sequence[TrialRecord]) -> Standing | None:
        return standing_of(records, self.per_hour_usd, self.spec.limit, self.spec.target)

    def block(self, number: int, members: Sequence[str], standing: Standing) -> list[PlannedTrial]:
        """One final of each member (candidate ids of entrants), in random order, on one host."""
        by_candidate = {trial.candidate.id: trial for trial in self.plan.trials}
        planned = [by_candidate[member] for member in members]
        shared = set.intersection(*({o.host.name for o in trial.options} for trial in planned))
        names = [o.host.name for o in planned[0].options if o.host.name in shared]
        on = names[number % len(names)] if names else None
        random = np.random.default_rng([self.spec.payload.seed, number])
        order = random.permutation(len(members)).tolist()
        return [self._final(planned[i], number, on, standing) for i in order]

    def _final(
        self, trial: PlannedTrial, number: int, on: str | None, standing: Standing
    ) -> PlannedTrial:
        """On the block's host where there is one, else wherever the candidate can run."""
        if on is not None:
            [option] = [option for option in trial.options if option.host.name == on]
            trial = replace(option, elsewhere=())
        candidate = trial.candidate.id
        entrant = standing.entrants[candidate]
        steps = self._steps(entrant, math.exp(standing.mean_log_maximum[candidate]))
        return _with(
            trial,
            id=hash_of([candidate, trial.host.name, "final", number]),
            stage="final",
            block=number,
            steps=steps,
            budget_s=self._final_s if steps else self._budget_s,
        )

    def _steps(self, entrant: Entrant, rate_per_s: float) -> tuple[Step, ...]:
        """A warm-up and one step at the maximum as it is known; none: a search of its own."""
        if not entrant.is_queue:
            return ()
        warm_up_s = max(WARM_UP_LEAST_S, WARM_UP_SHARE * self._final_s)
        first = closed_step(0, 1, warm_up_s, cut_s=0.2 * warm_up_s)
        rest_s = self._final_s - warm_up_s
        if basis_of(self.spec.traffic, self.spec.limit) == "closed":
            within = [step for step in entrant.scout.steps if step.is_within]
            best = max(within, key=lambda step: step.achieved_per_s)
            return (first, closed_step(1, best.users or 1, rest_s))
        # Four digits: a rate is named, stored and repeated as it is printed.
        return (first, Step(1, "open", rest_s, rate_per_s=float(f"{rate_per_s:.4g}")))

    @property
    def _budget_s(self) -> float:
        assert isinstance(self.spec.traffic, SearchTraffic | SaturateTraffic)
        return self.spec.traffic.budget_s

    @property
    def _final_s(self) -> float:
        return FINAL_SHARE * self._budget_s


def policy_of(
    plan: Plan, spec: JobSpec, per_hour_usd: Callable[[str], float | None]
) -> EachOnce | Race:
    """Races where the traffic finds maxima; other traffic runs each candidate once."""
    if isinstance(spec.traffic, SearchTraffic | SaturateTraffic):
        return Race(plan, spec, per_hour_usd)
    return EachOnce(plan)


def _in_play(standing: Standing, least: int = 0) -> list[str]:
    """The fewest that hold nearly all probability to be the best, but so many at the `least`; the
    likeliest first."""
    found: list[str] = []
    covered = 0.0
    for key in sorted(standing.p_lead, key=lambda key: -standing.p_lead[key]):
        if covered >= COVERED and len(found) >= least:
            break
        found.append(key)
        covered += standing.p_lead[key]
    return found if standing.best in found else [standing.best, *found]


def _missing(
    trials: Sequence[PlannedTrial], records: Mapping[str, TrialRecord]
) -> list[PlannedTrial]:
    return [trial for trial in trials if trial.id not in records or not records[trial.id].is_final]


def _is_too_short(record: TrialRecord | None) -> bool:
    """Whether a scout ended before it showed a maximum, by no doing of the user's."""
    if record is None or record.figures is None or record.measurement.stopped_early:
        return False
    codes = {doubt.code for doubt in record.figures.doubts}
    return TOO_SHORT in codes or record.figures.max_kind == "at_least"


def _is_unfinished(record: TrialRecord) -> bool:
    """Whether a final is to be run again: one that its host lost twice is given up."""
    if record.state is TrialState.STOPPED:
        return True
    return not record.is_final and record.attempt < MOST_ATTEMPTS


def _with(trial: PlannedTrial, **changes: object) -> PlannedTrial:
    """The same change on every host that can run it."""
    elsewhere = tuple(replace(option, **changes) for option in trial.elsewhere)  # type: ignore[arg-type]
    return replace(trial, elsewhere=elsewhere, **changes)  # type: ignore[arg-type]
