"""A request as a job of the engine. Pure: from the caller's words to a JobSpec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rightsizer.api.images import LocalServer
from rightsizer.api.jobs.rules import ranges_of
from rightsizer.api.jobs.sources import Source
from rightsizer.api.settings import EndpointSpec, Settings
from rightsizer.candidates import candidates_of
from rightsizer.contradictions import DEFAULT_TYPE_JOB_S, contradictions
from rightsizer.documents import problems_of
from rightsizer.errors import ProblemsError
from rightsizer.spec import JobSpec

INPUTS = "inputs"
"""The folder, in the job's own, that its model and payload are copied to."""
MODEL_FILE = "model.tar.gz"
PAYLOAD_FILE = "payload.tar.gz"
READY_S = 600.0
"""What a server that is started has to load its model in."""
REPLY_S = 60.0
"""What the reference's containers have for an answer."""
MOST_CANDIDATES = 10 * 3**5
"""Of an Advanced job: ten endpoint configurations with five parameters of three values."""


def spec_of(
    request: Mapping[str, Any],
    source: Source,
    server: LocalServer | EndpointSpec,
    settings: Settings,
    time_scale: float,
) -> JobSpec:
    """The job that answers a request; its archives are yet to be put `in_folder`.

    Args:
        request: of CreateInferenceRecommendationsJob, found to be allowed.
        server: what its image is here, or the endpoint that it names.
        time_scale: the reference's phases are this many times as long as it says, and users join
            as much faster; so are the 45 minutes of a Default job. JobDurationInSeconds stays what
            it says.

    Raises:
        ProblemsError: what the engine's own jobs could not be, such as a variable of such a name.
    """
    config, stop = request["InputConfig"], request.get("StoppingConditions", {})
    # There is nothing to choose of an endpoint that runs already.
    is_default = request["JobType"] == "Default" and isinstance(server, LocalServer)
    spec = {
        "name": request["JobName"],
        "type": "default" if is_default else "advanced",
        "model": {
            "name": source.name,
            "framework": source.framework,
            "domain": source.domain,
            "task": source.task,
            "archive": MODEL_FILE if source.model_url else None,
        },
        "server": _server(server, source),
        "payload": {
            "archive": PAYLOAD_FILE,
            "content_type": source.content_types[0],
        },
        "traffic": _traffic(config.get("TrafficPattern"), stop, time_scale),
        "limit": _limit(stop),
        "target": _target(stop),
        "stop": {"flat_invocations": stop.get("FlatInvocations", "Stop").lower()},
        "limits": _limits(config, request["JobType"], time_scale),
        "hosts": settings.hosts,
        "prices": settings.prices,
    }
    if is_default:
        spec["instance_types"] = source.instance_types
    elif isinstance(server, EndpointSpec):
        spec["candidates"] = [{"instance_type": server.instance_type}]
    else:
        spec["candidates"] = _candidates(config["EndpointConfigurations"])
    return _checked({key: value for key, value in spec.items() if value is not None})


def _checked(data: dict[str, Any]) -> JobSpec:
    problems = contradictions(data)
    try:
        spec = JobSpec.model_validate(data)
    except ValidationError as error:
        problems += problems_of(error, data)
    if problems:
        raise ProblemsError([f"{'.'.join(map(str, one.at))}: {one.message}" for one in problems])
    if twice := candidates_of(spec)[1]:
        raise ProblemsError(twice)
    return spec


def in_folder(spec: JobSpec, job_dir: Path) -> JobSpec:
    """The spec with its archives where they lie in the job's folder."""
    folder = job_dir / INPUTS
    payload = spec.payload.model_copy(update={"archive": str(folder / PAYLOAD_FILE)})
    model = spec.model
    if model.archive is not None:
        model = model.model_copy(update={"archive": str(folder / MODEL_FILE)})
    return spec.model_copy(update={"payload": payload, "model": model})


def _server(server: LocalServer | EndpointSpec, source: Source) -> dict[str, Any]:
    common: dict[str, Any] = {"protocol": "sagemaker", "request_timeout_s": REPLY_S}
    if isinstance(server, EndpointSpec):
        return {**common, "url": server.url, "ready_timeout_s": server.ready_timeout_s}
    here: dict[str, Any] = {
        "ready_timeout_s": READY_S,
        "environment": dict(source.environment),
    }
    if server.command is not None:
        here["command"] = list(server.command)
    if server.image is not None:
        here["image"] = server.image
    return {**common, **here}


def _candidates(endpoints: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "instance_type": endpoint["InstanceType"],
            "environment": {one["Name"]: tuple(one["Value"]) for one in ranges_of(endpoint)},
        }
        for endpoint in endpoints
    ]


def _traffic(
    pattern: Mapping[str, Any] | None, stop: Mapping[str, Any], time_scale: float
) -> dict[str, Any]:
    """The reference's own patterns as they are; without one, what the engine finds best.

    That is a search where a latency is promised, else saturation, the closed basis on which the
    reference reports a plateau.
    """
    if pattern is None:
        return {"type": "search" if stop.get("ModelLatencyThresholds") else "saturate"}
    if "Stairs" in pattern:
        stairs = pattern["Stairs"]
        return {
            "type": "stairs",
            "users_per_step": stairs["UsersPerStep"],
            "steps": stairs["NumberOfSteps"],
            "duration_s": stairs["DurationInSeconds"] * time_scale,
        }
    phases = [
        {
            "initial_users": phase["InitialNumberOfUsers"],
            "spawn_rate_per_min": phase["SpawnRate"] / time_scale,
            "duration_s": phase["DurationInSeconds"] * time_scale,
        }
        for phase in pattern["Phases"]
    ]
    return {"type": "phases", "phases": phases}


def _limit(stop: Mapping[str, Any]) -> dict[str, Any] | None:
    for threshold in stop.get("ModelLatencyThresholds", ()):
        return {
            "percentile": threshold.get("Percentile", "P95"),
            "latency_ms": float(threshold["ValueInMilliseconds"]),
        }
    return None


def _target(stop: Mapping[str, Any]) -> dict[str, Any] | None:
    """MaxInvocations is what the fleet is to carry, as the reference's own rows show."""
    if "MaxInvocations" not in stop:
        return None
    return {"invocations_per_min": float(stop["MaxInvocations"])}


def _limits(config: Mapping[str, Any], job_type: str, time_scale: float) -> dict[str, Any]:
    limit = config.get("ResourceLimit", {})
    found: dict[str, Any] = {"max_parallel_trials": limit.get("MaxParallelOfTests", 1)}
    if "MaxNumberOfTests" in limit:
        found["max_trials"] = limit["MaxNumberOfTests"]
    elif job_type == "Advanced":
        found["max_trials"] = MOST_CANDIDATES
    if "JobDurationInSeconds" in config:
        found["duration_s"] = float(config["JobDurationInSeconds"])
    elif job_type == "Default":
        found["duration_s"] = DEFAULT_TYPE_JOB_S * time_scale
    return found
