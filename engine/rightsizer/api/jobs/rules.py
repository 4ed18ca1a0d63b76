"""What the reference service's documentation asks of a job and its service model does not say.

Pure; the numbers are those of the developer guide's pages on load tests and of the model's own
documentation. Where they contradict each other: SpawnRate is users a minute and at most 3, as the
guide's text says, though one of its samples has 60; a STAIRS duration is the whole length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any

from rightsizer.api.faults import validation
from rightsizer.contradictions import DEFAULT_JOB_S

MOST_JOB_S = 18_000
BURSTABLE = re.compile(r"ml\.t\d")
"""Not ml.trn1, which computes on accelerators of its own."""
PHASE_S = (120, 3600)
MOST_USERS = 3
MOST_SPAWN_RATE = 3
MOST_STEP = 3
"""Users by which one phase may begin away from where the one before it ended."""
MOST_TESTS = 10
MOST_INVOCATIONS = 30_000
PERCENTILES = ("P95", "P99")
DOMAINS = ("COMPUTER_VISION", "NATURAL_LANGUAGE_PROCESSING", "MACHINE_LEARNING")
TASKS = (
    "IMAGE_CLASSIFICATION", "OBJECT_DETECTION", "TEXT_GENERATION", "IMAGE_SEGMENTATION",
    "FILL_MASK", "CLASSIFICATION", "REGRESSION", "OTHER",
)  # fmt: skip

Section = Mapping[str, Any]


def require_allowed(request: Section) -> None:
    """Refuse a CreateInferenceRecommendationsJob that the reference service would refuse.

    Raises:
        ApiFault: ValidationException, with everything that is wrong.
    """
    config = request["InputConfig"]
    problems = [
        *_model_problems(config),
        *_kind_problems(request["JobType"], config),
        *_endpoint_problems(config.get("EndpointConfigurations", ())),
        *_length_problems(config),
        *_traffic_problems(config.get("TrafficPattern")),
        *_limit_problems(config),
        *_stop_problems(request.get("StoppingConditions", {})),
    ]
    if problems:
        raise validation(" ".join(f"{problem}." for problem in dict.fromkeys(problems)))


def _model_problems(config: Section) -> Iterator[str]:
    given = [key for key in ("ModelPackageVersionArn", "ModelName") if config.get(key)]
    if len(given) != 1:
        yield "Specify either one ModelPackageVersionArn or one ModelName"
    container = config.get("ContainerConfig")
    if given == ["ModelName"] and container is None:
        yield "Specify ContainerConfig with ModelName"
    if container and container.get("SupportedEndpointType") == "Serverless":
        yield "SupportedEndpointType Serverless is not supported here; leave it out"


def _kind_problems(kind: str, config: Section) -> Iterator[str]:
    own = config.get("EndpointConfigurations")
    endpoints = config.get("Endpoints")
    if own and endpoints:
        yield "Specify either EndpointConfigurations or Endpoints"
    if endpoints and not endpoints[0].get("EndpointName"):
        yield "Specify EndpointName in Endpoints"
    if kind == "Default":
        for key in ("EndpointConfigurations", "TrafficPattern"):
            if config.get(key):
                yield f"{key} belongs to an Advanced job; give JobType Advanced"
    elif not own and not endpoints:
        yield "Specify EndpointConfigurations or Endpoints for an Advanced job"


def _endpoint_problems(endpoints: Sequence[Section]) -> Iterator[str]:
    for endpoint in endpoints:
        name = endpoint.get("InstanceType")
        if endpoint.get("ServerlessConfig") is not None:
            yield "ServerlessConfig is not supported here; give an InstanceType"
        elif name is None:
            yield "Specify InstanceType in each of EndpointConfigurations"
        elif BURSTABLE.match(name):
            yield f"Burstable instance type {name} is not allowed"
        if endpoint.get("InferenceSpecificationName") is not None:
            yield "InferenceSpecificationName is not supported here; leave it out"
        names = [one["Name"] for one in ranges_of(endpoint)]
        if len(set(names)) < len(names):
            yield f"An environment parameter of {name} is given twice"
        for one in ranges_of(endpoint):
            if not one["Name"] or "=" in one["Name"]:
                yield f"{one['Name']!r} is no name of an environment parameter"
            if len(set(one["Value"])) < len(one["Value"]):
                yield f"A value of {one['Name']} is given twice"


def ranges_of(endpoint: Section) -> Sequence[Section]:
    """The environment parameters of one of EndpointConfigurations, with their values."""
    found: Sequence[Section] = endpoint.get("EnvironmentParameterRanges", {}).get(
        "CategoricalParameterRanges", ()
    )
    return found


def _length_problems(config: Section) -> Iterator[str]:
    length_s = config.get("JobDurationInSeconds")
    if length_s is not None and length_s > MOST_JOB_S:
        yield f"JobDurationInSeconds {length_s} is over the maximum of {MOST_JOB_S}"
    allowed_s = DEFAULT_JOB_S if length_s is None else length_s
    if _traffic_s(config.get("TrafficPattern") or {}) > allowed_s:
        yield "Total Traffic duration (across) should not be more than Job duration"


def _traffic_s(pattern: Section) -> float:
    """Of one test: that of all its phases, or the whole of its stairs."""
    if "Stairs" in pattern:
        return float(pattern["Stairs"].get("DurationInSeconds", 0))
    return float(sum(phase.get("DurationInSeconds", 0) for phase in pattern.get("Phases", ())))


def _traffic_problems(pattern: Section | None) -> Iterator[str]:
    if pattern is None:
        return
    given = {key for key in ("Phases", "Stairs") if pattern.get(key)}
    kind = pattern.get("TrafficType") or "".join(given).upper()
    if kind not in ("PHASES", "STAIRS") or given != {kind.capitalize()}:
        yield "Specify TrafficType PHASES with Phases, or STAIRS with Stairs"
        return
    if kind == "STAIRS":
        yield from _stairs_problems(pattern["Stairs"])
        return
    for phase in pattern["Phases"]:
        yield from _phase_problems(phase)
    for before, after in pairwise(pattern["Phases"]):
        end, begin = _users_at_end(before), after.get("InitialNumberOfUsers", 0)
        if abs(begin - end) > MOST_STEP:
            yield (
                f"Users at the end of prev phase is {end} while initial users of current phase "
                f"is {begin}"
            )


def _phase_problems(phase: Section) -> Iterator[str]:
    yield from _outside(phase, "InitialNumberOfUsers", 1, MOST_USERS)
    yield from _outside(phase, "SpawnRate", 0, MOST_SPAWN_RATE)
    yield from _outside(phase, "DurationInSeconds", *PHASE_S)


def _stairs_problems(stairs: Section) -> Iterator[str]:
    yield from _outside(stairs, "DurationInSeconds", *PHASE_S)
    yield from _outside(stairs, "NumberOfSteps", 1, PHASE_S[1])
    yield from _outside(stairs, "UsersPerStep", 1, MOST_USERS)


def _outside(section: Section, key: str, low: int, high: int) -> Iterator[str]:
    value = section.get(key)
    if value is None:
        yield f"Specify {key}"
    elif not low <= value <= high:
        yield f"{key} must be between {low} and {high}, not {value}"


def _users_at_end(phase: Section) -> int:
    grown = phase.get("SpawnRate", 0) * phase.get("DurationInSeconds", 0) // 60
    return int(phase.get("InitialNumberOfUsers", 0) + grown)


def _limit_problems(config: Section) -> Iterator[str]:
    limit = config.get("ResourceLimit", {})
    for key in ("MaxNumberOfTests", "MaxParallelOfTests"):
        if key in limit:
            yield from _outside(limit, key, 1, MOST_TESTS)
    tests = sum(
        prod(len(one["Value"]) for one in ranges_of(endpoint))
        for endpoint in config.get("EndpointConfigurations", ())
    )
    most = limit.get("MaxNumberOfTests")
    if most is not None and tests > most:
        yield f"EndpointConfigurations make {tests} tests and MaxNumberOfTests is {most}"


def _stop_problems(stop: Section) -> Iterator[str]:
    if "MaxInvocations" in stop:
        yield from _outside(stop, "MaxInvocations", 1, MOST_INVOCATIONS)
    for threshold in stop.get("ModelLatencyThresholds", ()):
        percentile = threshold.get("Percentile", "P95")
        if percentile not in PERCENTILES:
            yield f"Percentile must be {' or '.join(PERCENTILES)}, not {percentile}"
        if threshold.get("ValueInMilliseconds", 0) < 1:
            yield "Specify ValueInMilliseconds of at least 1 in ModelLatencyThresholds"
