"""A trial as a record: what is stored, replayed and reported. No reference to anything live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rightsizer.analysis.figures import Requests, StepFigures, TrialFigures
from rightsizer.candidates import Candidate, Stage
from rightsizer.errors import Reason, TrialState
from rightsizer.hosts.records import Calibration, Usage
from rightsizer.machines import Placement
from rightsizer.traffic.records import Reach, StepRecord


@dataclass(frozen=True)
class Measurement:
    """What measuring left behind beside the samples; with them, analysis can be run again."""

    records: tuple[StepRecord, ...] = ()
    usage: tuple[Usage, ...] = ()
    placement: Placement | None = None
    probe_latency_ms: Mapping[str, float] = field(default_factory=dict)
    """By payload; one request each, before any traffic."""
    reach: Reach | None = None
    """Of a far server."""
    ready_s: float | None = None
    stopped_early: bool = False
    cut_short: bool = False
    calibration: Calibration | None = None
    """Of the host, before the server was started; None on a far one."""


@dataclass(frozen=True)
class TrialRecord:
    """One candidate measured, or not, on one fresh server start."""

    id: str
    ordinal: int
    candidate: Candidate
    host: str
    state: TrialState
    reason: Reason | None = None
    detail: str = ""
    log_tail: str = ""
    attempt: int = 1
    """2 when it is the re-run of an interrupted one."""
    measurement: Measurement = field(default_factory=Measurement)
    steps: tuple[StepFigures, ...] = ()
    figures: TrialFigures | None = None
    requests: Requests = field(default_factory=Requests)
    sample_files: tuple[str, ...] = ()
    """Relative to the job's folder."""
    wall_s: float = 0.0
    twins: tuple[Candidate, ...] = ()
    """Candidates of other instance types that it stands for: no host tells them apart."""
    stage: Stage = "scout"
    block: int = 0
    """Finals of one block share arrivals and payloads."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All that it measured, or was to."""
        return (self.candidate, *self.twins)

    @property
    def is_final(self) -> bool:
        """Whether `resume` keeps it. What no host could run may be run by now."""
        return self.state.is_final and self.reason is not Reason.NOT_RUNNABLE

    @property
    def is_valid(self) -> bool:
        """Whether it measured anything: within the limits or not."""
        ended = self.state in (TrialState.SUCCEEDED, TrialState.STOPPED)
        return ended and any(step.verdict != "invalid" for step in self.steps)
