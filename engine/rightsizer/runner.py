"""The loop over a job's trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from rightsizer.errors import Reason, TrialState
from rightsizer.plan import PlannedTrial
from rightsizer.trial_run import JobContext, Trial
from rightsizer.trials import TrialRecord


@dataclass
class Runner:
    """Runs the trials of one job, one after the other."""

    context: JobContext
    _walls_s: list[float] = field(default_factory=list)

    def run(self, done: Mapping[str, TrialRecord]) -> None:
        """Measure every planned trial that `done` does not hold with a final state.

        Each ends in a saved record whatever happens; only the machine's own faults are raised.
        """
        self._record_refusals(done)
        waiting = [
            (ordinal, trial)
            for ordinal, trial in enumerate(self.context.plan.trials)
            if trial.id not in done or not done[trial.id].is_final
        ]
        for number, (ordinal, planned) in enumerate(waiting, start=1):
            if self.context.parts.control.level():
                self._leave(waiting[number - 1 :], done)
                return
            earlier = done.get(planned.id)
            attempt = 1 if earlier is None else earlier.attempt + 1
            for _ in range(2):
                left_s = partial(self.left_s, number, len(waiting))
                record = Trial(
                    self.context, planned, ordinal, attempt, number, len(waiting), left_s
                ).run()
                self._walls_s.append(record.wall_s)
                if record.state is not TrialState.INTERRUPTED:
                    break
                attempt += 1

    def _leave(
        self, waiting: Sequence[tuple[int, PlannedTrial]], done: Mapping[str, TrialRecord]
    ) -> None:
        """Record the trials that were not come to: a candidate must not vanish."""
        for ordinal, planned in waiting:
            if planned.id not in done:
                record = TrialRecord(
                    id=planned.id,
                    ordinal=ordinal,
                    candidate=planned.candidate,
                    host=planned.host.name,
                    state=TrialState.STOPPED,
                    reason=self.context.parts.control.reason(),
                    detail="not measured: the job ended before",
                    attempt=0,
                )
                self.context.parts.save(record)

    def left_s(self, number: int, of: int, in_trial_s: float) -> float:
        """Wall time until the job ends: measured trials, or the plan, for those to come."""
        planned_s = self.context.plan.expected_s / max(1, len(self.context.plan.trials))
        each_s = sum(self._walls_s) / len(self._walls_s) if self._walls_s else planned_s
        return (of - number) * each_s + max(0.0, each_s - in_trial_s)

    def _record_refusals(self, done: Mapping[str, TrialRecord]) -> None:
        """Candidates that no host can run are results too."""
        for ordinal, refusal in enumerate(
            self.context.plan.refused, start=len(self.context.plan.trials)
        ):
            if refusal.id not in done:
                record = TrialRecord(
                    id=refusal.id,
                    ordinal=ordinal,
                    candidate=refusal.candidate,
                    host="",
                    state=TrialState.FAILED,
                    reason=Reason.NOT_RUNNABLE,
                    detail=refusal.why,
                )
                self.context.parts.save(record)
