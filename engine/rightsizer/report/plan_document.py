"""The JSON document `rightsizer/plan/1`: every number unrounded."""

from __future__ import annotations

from typing import Any

from rightsizer.candidates import Candidate
from rightsizer.defaults import Choice
from rightsizer.plan import Plan, PlannedTrial, Refusal
from rightsizer.report.document import plain
from rightsizer.schedule import Step

PLAN_SCHEMA = "rightsizer/plan/1"


def plan_document(plan: Plan, choice: Choice | None = None) -> dict[str, Any]:
    """A plan as JSON-safe values: what `plan --json` writes."""
    return {
        "schema": PLAN_SCHEMA,
        "candidates": [
            *(
                _planned(trial, candidate)
                for trial in plan.trials
                for candidate in (trial.candidate, *trial.twins)
            ),
            *(_refused(refusal) for refusal in plan.refused),
        ],
        "trials": len(plan.trials),
        "finals": plan.finals,
        "steps": [_step(step) for step in plan.steps],
        "traffic_s": plain(plan.traffic_s),
        "expected_s": plain(plan.expected_s),
        "allowed_s": plain(plan.allowed_s),
        "needs": plain(plan.needs),
        "choice": plain(choice),
    }


def _planned(trial: PlannedTrial, candidate: Candidate) -> dict[str, Any]:
    placement = trial.placement
    return {
        **_candidate(candidate),
        "measured_as": trial.candidate.instance_type,
        "runnable": True,
        "why_not": None,
        "host": trial.host.name,
        "provenance": placement.provenance,
        "server_cpus": list(placement.server_cpus),
        "generator_cpus": list(placement.generator_cpus),
        "co_located": placement.co_located,
        "shared_core": placement.shared_core,
        "memory_bytes": placement.memory_bytes,
        "image": None if trial.container is None else trial.container.image,
        "image_id": None if trial.container is None else trial.container.image_id,
        "relaxed": list(placement.relaxed),
        "accelerators": plain(placement.accelerators),
    }


def _refused(refusal: Refusal) -> dict[str, Any]:
    absent = ("measured_as", "host", "provenance", "server_cpus", "generator_cpus")
    return {
        **_candidate(refusal.candidate),
        "runnable": False,
        "why_not": refusal.why,
        **dict.fromkeys((*absent, "co_located", "shared_core", "memory_bytes")),
        **dict.fromkeys(("image", "image_id", "relaxed", "accelerators")),
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "instance_type": candidate.instance_type,
        "environment": plain(candidate.environment),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "mode": step.mode,
        "label": step.label,
        "users": step.users,
        "levels": plain(step.levels),
        "rate_per_s": plain(step.rate_per_s),
        "arrivals": step.arrivals if step.mode == "open" else None,
        "duration_s": plain(step.duration_s),
    }
