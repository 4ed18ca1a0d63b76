"""What a page does not show: values of headers and variables whose names say secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rightsizer.protocols import is_secret_header
from rightsizer.results import Job

HIDDEN = "***"


def hidden(named: Mapping[str, Any]) -> dict[str, Any]:
    """Headers or variables, without the values of secret ones."""
    return {name: HIDDEN if is_secret_header(name) else value for name, value in named.items()}


def without_secrets(job: Job) -> Job:
    """The job as its page shows it; its spec is `spec_yaml`'s to hide."""
    return replace(
        job,
        recommendations=tuple(
            replace(row, environment=hidden(row.environment)) for row in job.recommendations
        ),
        rejected=tuple(replace(row, environment=hidden(row.environment)) for row in job.rejected),
        trials=tuple(
            replace(
                trial,
                candidate=replace(trial.candidate, environment=hidden(trial.candidate.environment)),
            )
            for trial in job.trials
        ),
        effects=tuple(
            replace(effect, baseline=HIDDEN, value=HIDDEN)
            if is_secret_header(effect.variable)
            else effect
            for effect in job.effects
        ),
    )
