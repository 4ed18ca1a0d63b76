"""What happens while a job runs, as values: the runner says them, the store keeps them, displays
show them. Nothing else passes from running to showing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rightsizer.analysis.figures import StepFigures
from rightsizer.calibration.judging import Check
from rightsizer.traffic.records import Progress


@dataclass(frozen=True)
class JobStarted:
    """The plan stands and the first trial is about to start."""

    job_id: str
    folder: str
    """Where samples and logs lie."""
    trials: int
    """Trials to run now; on resume, those still missing."""
    refused: int
    expected_s: float
    shared: Mapping[str, str] = field(default_factory=dict)
    """Variables that every candidate has with one value."""


@dataclass(frozen=True)
class TrialStarted:
    """A server is being started; `number` counts from 1."""

    trial_id: str
    number: int
    of: int
    label: str
    """Instance type and environment."""
    host: str
    left_s: float
    """Wall time until the job ends, roughly."""
    starts_server: bool = True
    """False: it runs already, and is only waited for."""
    brief: str = ""
    """The label without the shared variables."""


@dataclass(frozen=True)
class ServerReady:
    """The server answers, and has answered one probe for each payload."""

    trial_id: str
    ready_s: float
    probe_latency_ms: float | None
    """Of the slowest payload's probe."""


@dataclass(frozen=True)
class StepStarted:
    """Traffic at one level begins; `of` is None where the number of steps is not known."""

    trial_id: str
    number: int
    of: int | None
    label: str
    """Users or rate."""
    duration_s: float


@dataclass(frozen=True)
class StepProgress:
    """About once a second while a step runs."""

    trial_id: str
    progress: Progress
    left_s: float
    """Wall time until the job ends, roughly."""


@dataclass(frozen=True)
class StepEnded:
    """The step was drained and judged (alone; neighbours may be merged later)."""

    trial_id: str
    figures: StepFigures


@dataclass(frozen=True)
class TrialEnded:
    """The trial is saved."""

    trial_id: str
    number: int
    of: int
    label: str
    state: str
    reason: str | None
    detail: str
    max_invocations_per_min: float | None
    max_kind: str | None
    basis: str | None
    percentile: str | None
    model_latency_ms: float | None
    wall_s: float
    brief: str = ""
    """As in `TrialStarted`."""


@dataclass(frozen=True)
class JobEnded:
    """Everything is saved."""

    job_id: str
    status: str
    wall_s: float


Event = (
    JobStarted
    | TrialStarted
    | ServerReady
    | StepStarted
    | StepProgress
    | StepEnded
    | TrialEnded
    | JobEnded
)


@dataclass(frozen=True)
class JobWaits:
    """A queued job of the API cannot start yet: told in its log, not by the live display."""

    what: str
    """CPUs or accelerators."""
    holders: str
    """Who has them, in their own words."""


@dataclass(frozen=True)
class SelftestStarted:
    """The self-test is about to start its first server."""

    folder: str
    """Where samples and logs lie."""
    groups: int
    """Groups of checks; each has servers of its own."""
    expected_s: float


@dataclass(frozen=True)
class ChecksStarted:
    """A group of checks begins; `number` counts from 1."""

    number: int
    of: int
    title: str
    expected_s: float


@dataclass(frozen=True)
class CheckEnded:
    """One check is judged."""

    check: Check


SelftestEvent = SelftestStarted | ChecksStarted | CheckEnded
