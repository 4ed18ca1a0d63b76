"""The loop over a job's trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from rightsizer.errors import Reason, TrialState
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
            if trial.id not in done or not done[trial.id].state.is_final
        ]
        for number, (ordinal, planned) in enumerate(waiting, start=1):
            if self.context.parts.control.level():
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
            if refusal.candidate.id not in done:
                record = TrialRecord(
                    id=refusal.candidate.id,
                    ordinal=ordinal,
                    candidate=refusal.candidate,
                    host="",
                    state=TrialState.FAILED,
                    reason=Reason.NOT_RUNNABLE,
                    detail=refusal.why,
                )
                self.context.parts.save(record)
