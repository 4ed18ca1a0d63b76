"""Variables that all candidates have alike: on a terminal they are told once, not in every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rightsizer.plan import Plan
from rightsizer.report.layout import filled, variables
from rightsizer.results import Job

Environment = Mapping[str, str]


def in_common(environments: Sequence[Environment]) -> dict[str, str]:
    """What is the same in all of several; nothing of one alone."""
    if len(environments) < 2:
        return {}
    first, *others = environments
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }


def said_once(common: Environment, width: int) -> str:
    """`Every candidate has: A=1 B=1`, filled to a width."""
    return filled(f"Every candidate has: {' '.join(variables(common))}", width)


def of_job(job: Job) -> tuple[Job, dict[str, str]]:
    """A job whose rows bear only what differs, to be drawn, and what they have in common."""
    every = [row.environment for row in job.recommendations]
    common = in_common([*every, *(row.environment for row in job.rejected)])
    rows = [
        replace(row, environment=_without(row.environment, common)) for row in job.recommendations
    ]
    rejected = [replace(row, environment=_without(row.environment, common)) for row in job.rejected]
    return replace(job, recommendations=tuple(rows), rejected=tuple(rejected)), common


def of_plan(plan: Plan) -> tuple[Plan, dict[str, str]]:
    """The same of a plan."""
    common = in_common([candidate.environment for candidate in plan.candidates])
    trials = [
        replace(
            trial,
            candidate=replace(
                trial.candidate, environment=_without(trial.candidate.environment, common)
            ),
        )
        for trial in plan.trials
    ]
    return replace(plan, trials=tuple(trials)), common


def _without(environment: Environment, common: Environment) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in common}
