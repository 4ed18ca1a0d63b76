"""What the trials of each candidate say of it: scouts, finals and failures, put together. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rightsizer.analysis.maximum import is_set_by_errors, learn, queue_of
from rightsizer.analysis.paired import log_maximum
from rightsizer.analysis.queue_model import LatencyCurve
from rightsizer.errors import TrialState
from rightsizer.spec import LimitSpec
from rightsizer.trials import TrialRecord
from rightsizer.units import per_s

TOO_SHORT = "budget-too-short"
UNKNOWN_SD = 0.3
"""Of the log maximum of a scout that told none, or no interval, or is not to be relied on."""
NO_QUEUE = frozenset({"model-disagrees"})


@dataclass(frozen=True)
class Entrant:
    """One measured candidate: what its trials said."""

    candidate_id: str
    scout: TrialRecord
    finals: tuple[TrialRecord, ...]
    """Those that gave an observation, in the order of their blocks."""
    failed: tuple[TrialRecord, ...]
    """Those that gave none."""
    log_maxima: Mapping[int, float]
    """Per second, by block."""
    limit: LimitSpec

    @property
    def own_failures(self) -> tuple[TrialRecord, ...]:
        """Of those that gave none, the ones that the machine did not spoil."""
        return tuple(trial for trial in self.failed if not _is_spoilt(trial))

    @property
    def is_unreliable(self) -> bool:
        """Whether it is none to recommend: it fails as often as not when it is started again."""
        return len(self.own_failures) >= max(2, len(self.finals))

    @property
    def is_queue(self) -> bool:
        """Whether its latency follows a queue: else its finals are searches of their own."""
        return _is_queue(self.scout, self.limit)

    def requests_of(self, final: TrialRecord) -> int:
        """How many requests a final's observation stands on."""
        assert self.scout.figures is not None
        basis = self.scout.figures.basis
        return max(1, sum(step.n for step in final.steps if step.mode == basis))


def entrants_of(trials: Sequence[TrialRecord], limit: LimitSpec) -> list[Entrant]:
    """Those whose scout found a maximum, in the order of their scouts."""
    found = []
    # A scout that had to be repeated with more budget comes after the one that was too short.
    scouts = {trial.candidate.id: trial for trial in trials if trial.stage == "scout"}
    for scout in scouts.values():
        figures = scout.figures
        if not _is_sound(scout) or figures is None:
            continue
        if figures.max_kind not in ("estimate", "bracket") or not figures.max_invocations_per_min:
            continue
        finals = sorted(
            (
                trial
                for trial in trials
                if trial.stage == "final"
                and trial.candidate.id == scout.candidate.id
                and trial.state.is_final
            ),
            key=lambda trial: trial.block,
        )
        logs = {
            trial.block: value
            for trial in finals
            if (value := _observed(trial, scout, limit)) is not None
        }
        useful = tuple(trial for trial in finals if trial.block in logs)
        failed = tuple(trial for trial in finals if trial.block not in logs)
        found.append(Entrant(scout.candidate.id, scout, useful, failed, logs, limit))
    return found


@dataclass(frozen=True)
class Unknown:
    """A candidate whose search was too short to tell its maximum."""

    scout: TrialRecord
    log_maximum: float
    """As far as its steps say: per second,"""
    sd: float
    """and its standard error."""
    next_step: str
    """What would tell it."""


def unknowns_of(trials: Sequence[TrialRecord], limit: LimitSpec) -> list[Unknown]:
    """Those that sent traffic and learned too little, in the order of their scouts."""
    found = []
    for scout in {trial.candidate.id: trial for trial in trials if trial.stage == "scout"}.values():
        figures = scout.figures
        if not _is_sound(scout) or figures is None or figures.max_invocations_per_min:
            continue
        short = next((doubt for doubt in figures.doubts if doubt.code == TOO_SHORT), None)
        known = learn(scout.steps, limit, figures.queue) if short else None
        if short is None or known is None:
            continue
        # The fit begins with the closed steps' promise: where it is, it knows more.
        fit = known.boundary
        rate_per_s = fit.rate_per_s if fit else known.prediction.rate_per_s
        sd = max(UNKNOWN_SD, fit.relative_sd if fit else 0.0)
        found.append(Unknown(scout, math.log(rate_per_s), sd, short.next_step))
    return found


def unreliable_of(trials: Sequence[TrialRecord], limit: LimitSpec) -> dict[str, TrialRecord]:
    """Those that failed when they were started again: by candidate id the last failed final."""
    every = entrants_of(trials, limit)
    return {x.candidate_id: x.own_failures[-1] for x in every if x.is_unreliable}


def _is_spoilt(trial: TrialRecord) -> bool:
    """Whether the machine, and not the candidate, kept it from telling anything."""
    if trial.state is TrialState.FAILED:
        return False
    return trial.state is TrialState.INVALID or any(s.verdict == "invalid" for s in trial.steps)


def _is_sound(trial: TrialRecord) -> bool:
    return trial.state in (TrialState.SUCCEEDED, TrialState.STOPPED)


def curve_of(scout: TrialRecord, limit: LimitSpec) -> LatencyCurve | None:
    """How its latency rises with the rate, by the scout's closed steps; None: not known."""
    kept = scout.figures.queue if scout.figures else None
    queue = kept or queue_of(scout.steps, limit)
    return queue.curve if queue else None


def _is_queue(scout: TrialRecord, limit: LimitSpec) -> bool:
    figures = scout.figures
    if figures is None or figures.max_kind != "estimate":
        return False
    if {doubt.code for doubt in figures.doubts} & NO_QUEUE or is_set_by_errors(scout.steps, limit):
        return False
    return figures.basis == "closed" or curve_of(scout, limit) is not None


def _observed(trial: TrialRecord, scout: TrialRecord, limit: LimitSpec) -> float | None:
    """The log maximum per second that a final shows."""
    assert scout.figures is not None
    if not _is_sound(trial):
        return None
    if _is_queue(scout, limit):
        basis = scout.figures.basis
        curve = curve_of(scout, limit) if basis == "open" else None
        return log_maximum(trial.steps, basis, limit, curve)
    figures = trial.figures
    if figures is None or not figures.max_invocations_per_min:
        return None
    return math.log(per_s(figures.max_invocations_per_min))
