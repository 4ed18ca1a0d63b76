"""A job as a result: what `rightsizer.run` and `rightsizer.load` return; reports render it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rightsizer.analysis.figures import Doubt
from rightsizer.candidates import hash_of
from rightsizer.effects import Effect, UnknownEffect, unknown_effects
from rightsizer.errors import ExitCode
from rightsizer.interactions import Interaction
from rightsizer.recommendation import Recommendation, Rejection
from rightsizer.trials import TrialRecord

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "CostPerHour",
    "CostPerInference",
    "EndpointName",
    "EnvironmentParameters",
    "InitialInstanceCount",
    "InstanceType",
    "MaxInvocations",
    "ModelLatency",
)
"""The reference service's result columns. Costs in USD, MaxInvocations per minute and of the whole
fleet as CostPerHour is, ModelLatency in ms."""


@dataclass(frozen=True)
class Origin:
    """What a job was made from and with, as far as was kept: older stores lack some."""

    job_file: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    """sha256 of every input file, and the ids of images."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of this package, Python and the packages that measure."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """Where the engine ran, in words."""


@dataclass(frozen=True)
class Job:
    """A stored job with its recommendations, best first. Plain values; nothing here is live."""

    id: str
    name: str
    type: str
    status: str
    """pending | running | completed | failed | stopping | stopped"""
    created: str
    """UTC, ISO 8601."""
    spec: Mapping[str, Any]
    """The job file's content, defaults filled in; secrets only by name."""
    recommendations: tuple[Recommendation, ...]
    rejected: tuple[Rejection, ...]
    effects: tuple[Effect, ...]
    trials: tuple[TrialRecord, ...]
    doubts: tuple[Doubt, ...]
    """On the job as a whole."""
    samples_dir: str
    origin: Origin = Origin()
    interactions: tuple[Interaction, ...] = ()
    choice: Mapping[str, Any] | None = None
    """How a default job came by its candidates: `rightsizer.defaults.Choice` as plain values."""
    asked: Mapping[str, Any] | None = None
    """Of an answer of `what-if`: what differs from the stored job, by the job file's names (`limit`
    and `target` hold only what differs); None for the job itself."""

    @property
    def best(self) -> Recommendation | None:
        """The first recommendation."""
        return self.recommendations[0] if self.recommendations else None

    @property
    def unknown_effects(self) -> tuple[UnknownEffect, ...]:
        """Variables that were varied and have no effect to report, each with the reason."""
        without = [row.environment for row in self.rejected]
        return tuple(unknown_effects(self.effects, self.recommendations, without))

    @property
    def exit_code(self) -> ExitCode:
        """What `rightsizer run` ends with for this result."""
        valid = {trial.candidate.id for trial in self.trials if trial.is_valid}
        if not valid:
            return ExitCode.NO_VALID_MEASUREMENT
        if not self.recommendations:
            return ExitCode.LIMIT_UNMET
        every = {trial.candidate.id for trial in self.trials}
        return ExitCode.OK if valid == every else ExitCode.PARTIAL

    def frame(self) -> pd.DataFrame:
        """The recommendations as a pandas frame, one row each, with the reference's columns."""
        import pandas as pd

        return pd.DataFrame(
            [reference_row(self, row) for row in self.recommendations], columns=COLUMNS
        )

    def document(self) -> dict[str, Any]:
        """The JSON document `rightsizer/job/1`, numbers unrounded."""
        from rightsizer.report.document import job_document

        return job_document(self)

    def html(self) -> str:
        """The job as one HTML page that needs nothing else; reads the samples that are left."""
        from rightsizer.histories import histories_of
        from rightsizer.report.page.html import job_html

        written = datetime.now(UTC).isoformat(timespec="seconds")
        return job_html(self, histories_of(self), written)


@dataclass(frozen=True)
class JobLine:
    """A stored job in brief, as `rightsizer list` shows it."""

    id: str
    name: str
    status: str
    created: str
    trials: int
    succeeded: int
    best: str | None
    """Instance type and environment of the first recommendation."""
    max_invocations_per_min: float | None
    basis: str | None


def endpoint_name(job_id: str, trial_id: str, instance_type: str) -> str:
    """Of one test, as the reference names the endpoints that it makes; none has it here.

    A trial has the same id in every job with the same content, and may stand for several types.
    """
    return f"sm-epc-{hash_of([job_id, trial_id, instance_type])}"


def reference_row(job: Job, row: Recommendation) -> dict[str, Any]:
    """One recommendation under the reference's column names."""
    return {
        "CostPerHour": row.fleet.cost_per_hour_usd,
        "CostPerInference": row.cost_per_inference_usd,
        "EndpointName": endpoint_name(job.id, row.trial_id, row.instance_type),
        "EnvironmentParameters": dict(row.environment),
        "InitialInstanceCount": row.fleet.instance_count,
        "InstanceType": row.instance_type,
        "MaxInvocations": row.fleet.max_invocations_per_min,
        "ModelLatency": row.model_latency_ms,
    }
