"""The loop over a job's trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from functools import partial
from threading import RLock
from typing import Protocol

from rightsizer.assignment import next_start
from rightsizer.candidates import Stage
from rightsizer.crew import SharedControl, one_at_a_time, workers
from rightsizer.errors import Reason, TrialState
from rightsizer.events import Event, ServerReady
from rightsizer.pace import Pace
from rightsizer.plan import PlannedTrial
from rightsizer.trial_run import JobContext, Trial
from rightsizer.trials import TrialRecord

ATTEMPTS = 2
"""Of a trial that is interrupted, in one run."""
POLL_S = 0.1
AWAY = (Reason.HOST_LOST, Reason.HOST_BUSY)
RETURN_S = 60.0
"""A host that is away is waited for so long where no other can run what is left."""
ASK_EVERY_S = 2.0


@dataclass
class _Waiting:
    """A trial that has not ended."""

    ordinal: int
    planned: PlannedTrial
    attempt: int
    left: int = ATTEMPTS
    """Attempts of this run."""


class TrialPolicy(Protocol):
    """Decides the trials of one job."""

    def next_trials(
        self, records: Mapping[str, TrialRecord], left_s: float
    ) -> Sequence[PlannedTrial]:
        """What to run once nothing runs: by the records so far and the job's time left."""

    def why_not(self, trial: PlannedTrial, records: Mapping[str, TrialRecord]) -> str:
        """Why a trial that waits need not be run any more; empty: it is to run."""


class Runner:
    """Runs the trials of one job: one after the other, or on several hosts at once."""

    def __init__(
        self,
        context: JobContext,
        policy: TrialPolicy,
        deadline_s: float,
        of_trial: Callable[[PlannedTrial, JobContext], JobContext] = lambda trial, context: context,
    ) -> None:
        """The deadline is the job's, on the monotonic clock, s; `of_trial` is what a trial sees of
        the context, where trials of two jobs are run together."""
        parts, lock = context.parts, RLock()
        self._policy, self._deadline_s, self._of_trial = policy, deadline_s, of_trial
        self._control = SharedControl(parts.control, lock)
        parts = replace(
            parts,
            control=self._control,
            save=one_at_a_time(parts.save, lock),
            say=one_at_a_time(self._overheard(parts.say), lock),
        )
        self._context = replace(context, parts=parts)
        self._waiting: list[_Waiting] = []
        self._running: dict[Future[TrialRecord], tuple[_Waiting, PlannedTrial]] = {}
        self._lost: dict[str, float] = {}
        """Hosts that do not answer, and since when (monotonic clock, s)."""
        self._given_up: set[str] = set()
        self._asked_s = 0.0
        self._records: dict[str, TrialRecord] = {}
        self._asked: set[str] = set()
        """Trials that this run has been given."""
        self._pace = Pace(context.plan)
        self._finals: set[str] = set()
        """Ids of those that the policy has asked for, in this run or before."""
        self._of = self._started = 0

    def run(self, done: Mapping[str, TrialRecord]) -> None:
        """Measure what the policy asks for and `done` does not hold with a final state.

        Each ends in a saved record whatever happens; only the machine's own faults are raised.
        """
        self._records = dict(done)
        self._finals = {record.id for record in done.values() if record.stage == "final"}
        self._record_refusals(done)
        self._ask()
        with workers(self._context.plan.at_once) as crew:
            try:
                while (self._waiting or self._running) and not self._is_over():
                    self._start_what_can(crew)
                    self._gather()
                    self._look_for_lost_hosts()
                    if not self._waiting and not self._running and not self._control.level():
                        self._ask()
            except BaseException:
                self._control.abandon()  # the others' threads, which are waited for
                raise
        self._leave(done)

    def _left_s(self, running: Stage, in_trial_s: float) -> float:
        """Wall time until the job ends, at its deadline at the latest."""
        waiting = [one.planned.stage for one in self._waiting]
        left_s = self._pace.left_s(running, in_trial_s, waiting, len(self._finals))
        return max(0.0, min(left_s, self._deadline_s - time.monotonic()))

    def _overheard(self, say: Callable[[Event], None]) -> Callable[[Event], None]:
        def heard(event: Event) -> None:
            if isinstance(event, ServerReady):
                self._pace.starts_s.append(event.ready_s)
            say(event)

        return heard

    # -- the loop ------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Take in the policy's next trials; one that this run has had is not run again."""
        left_s = self._deadline_s - time.monotonic()
        records = {
            key: _given_up(record) if key in self._asked else record
            for key, record in self._records.items()
        }
        for trial in self._policy.next_trials(records, left_s):
            if trial.id in self._asked:
                continue
            self._asked.add(trial.id)
            if trial.stage == "final":
                self._finals.add(trial.id)
            before = self._records.get(trial.id)
            attempt = before.attempt + 1 if before else 1
            self._waiting.append(_Waiting(self._ordinal(trial), trial, attempt))
            self._of += 1

    def _ordinal(self, trial: PlannedTrial) -> int:
        """The plan's trials in its order, then what it refused, then finals as they come."""
        if trial.id in self._records:
            return self._records[trial.id].ordinal
        planned = [one.id for one in self._context.plan.trials]
        if trial.id in planned:
            return planned.index(trial.id)
        first = len(planned) + len(self._context.plan.refused)
        taken = [record.ordinal for record in self._records.values()]
        return max([first - 1, *taken, *(waiting.ordinal for waiting in self._waiting)]) + 1

    def _drop_needless(self) -> None:
        """Record the trials that others have made needless."""
        for waiting in list(self._waiting):
            why = self._policy.why_not(waiting.planned, self._records)
            if why and waiting.left == ATTEMPTS:
                self._waiting.remove(waiting)
                self._of -= 1
                self._save(_unmeasured(waiting, TrialState.FAILED, Reason.INFEASIBLE, why))

    def _save(self, record: TrialRecord) -> None:
        self._records[record.id] = record
        self._context.parts.save(record)

    def _is_over(self) -> bool:
        """Whether no further trial is to start, and none runs."""
        return bool(self._control.level()) and not self._running

    def _start_what_can(self, crew: Executor) -> None:
        while not self._control.level() and len(self._running) < self._context.plan.at_once:
            by_id = {waiting.planned.id: waiting for waiting in self._waiting}
            option = next_start(
                [waiting.planned for waiting in self._waiting],
                [option for _, option in self._running.values()],
                self._lost,
            )
            if option is None:
                return
            chosen = by_id[option.id]
            self._waiting.remove(chosen)
            if chosen.left == ATTEMPTS:
                self._started += 1
            trial = Trial(
                self._of_trial(option, self._context),
                option,
                chosen.ordinal,
                chosen.attempt,
                self._started,
                self._of,
                partial(self._left_s, option.stage),
            )
            self._running[crew.submit(trial.run)] = (chosen, option)
            self._gather(patience_s=0.0)

    def _gather(self, patience_s: float = POLL_S) -> None:
        """Take in what has ended; raises what a trial has raised."""
        if not self._running:
            return
        ended, _ = wait(self._running, timeout=patience_s, return_when=FIRST_COMPLETED)
        for future in ended:
            chosen, option = self._running.pop(future)
            record = future.result()
            self._records[record.id] = record
            self._pace.ended(record.stage, record.wall_s)
            chosen.left -= 1
            chosen.attempt += 1
            if record.state is not TrialState.INTERRUPTED:
                continue
            if record.reason in AWAY and option.host.name not in self._given_up:
                self._lost.setdefault(option.host.name, time.monotonic())
            if chosen.left:
                self._waiting.insert(0, chosen)
        if ended:
            self._drop_needless()

    def _look_for_lost_hosts(self) -> None:
        """Those that answer again are back; those awaited for too long are tried as they are."""
        if not self._lost:
            return
        now_s = time.monotonic()
        if now_s - self._asked_s < ASK_EVERY_S:
            time.sleep(POLL_S)
            return
        for name, since_s in list(self._lost.items()):
            if self._context.parts.hosts[name].answers():
                del self._lost[name]
            elif now_s - since_s > RETURN_S and not self._running:
                del self._lost[name]
                self._given_up.add(name)
        self._asked_s = time.monotonic()

    # -- what is not measured ------------------------------------------------------------------

    def _leave(self, done: Mapping[str, TrialRecord]) -> None:
        """Record the trials that were not come to: a candidate must not vanish."""
        for waiting in self._waiting:
            planned = waiting.planned
            if planned.stage == "final" or planned.id in done or waiting.left < ATTEMPTS:
                continue
            why, reason = "not measured: the job ended before", self._control.reason()
            self._save(_unmeasured(waiting, TrialState.STOPPED, reason, why))

    def _record_refusals(self, done: Mapping[str, TrialRecord]) -> None:
        """Candidates that no host can run are results too."""
        plan = self._context.plan
        for ordinal, refusal in enumerate(plan.refused, start=len(plan.trials)):
            if refusal.id not in done:
                self._save(
                    TrialRecord(
                        id=refusal.id,
                        ordinal=ordinal,
                        candidate=refusal.candidate,
                        host="",
                        state=TrialState.FAILED,
                        reason=Reason.NOT_RUNNABLE,
                        detail=refusal.why,
                    )
                )


def _given_up(record: TrialRecord) -> TrialRecord:
    """As the policy sees it when nothing runs: what was lost for good in this run has failed."""
    if record.state is not TrialState.INTERRUPTED:
        return record
    return replace(record, state=TrialState.FAILED)


def _unmeasured(waiting: _Waiting, state: TrialState, reason: Reason, detail: str) -> TrialRecord:
    """The record of a trial that was never started."""
    planned = waiting.planned
    return TrialRecord(
        id=planned.id,
        ordinal=waiting.ordinal,
        candidate=planned.candidate,
        twins=planned.twins,
        host=planned.host.name,
        state=state,
        reason=reason,
        detail=detail,
        attempt=0,
        stage=planned.stage,
        block=planned.block,
    )
