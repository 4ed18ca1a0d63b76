"""The reference's own limits: each broken once, and what its documentation shows is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from rightsizer.api.faults import ApiFault
from rightsizer.api.jobs.rules import require_allowed

from tests.api.jobs.requests import (
    CONTAINER_CONFIG,
    PHASE,
    STAIRS,
    advanced,
    default,
    phases,
    threads,
)


def refused(request: dict[str, Any]) -> str:
    with pytest.raises(ApiFault) as caught:
        require_allowed(request)
    assert caught.value.code == "ValidationException"
    return caught.value.message


def stopping(**conditions: Any) -> dict[str, Any]:
    return {**advanced(), "StoppingConditions": conditions}


def stairs(**changes: int) -> dict[str, Any]:
    return {"TrafficType": "STAIRS", "Stairs": {**STAIRS, **changes}}


@pytest.mark.parametrize(
    "request_",
    [
        advanced(),
        advanced(TrafficPattern=None),
        advanced(TrafficPattern=stairs()),
        # the developer guide's own sample: three users, and one again
        advanced(TrafficPattern=phases(PHASE, PHASE)),
        advanced(EndpointConfigurations=None, Endpoints=[{"EndpointName": "mine"}]),
        # not every type of that letter is burstable
        advanced(EndpointConfigurations=[threads("1", instance_type="ml.trn1.2xlarge")]),
        advanced(ResourceLimit={"MaxNumberOfTests": 2, "MaxParallelOfTests": 10}),
        default(),
        default(ResourceLimit={"MaxNumberOfTests": 10}),
        stopping(MaxInvocations=300, FlatInvocations="Continue"),
        stopping(ModelLatencyThresholds=[{"Percentile": "P99", "ValueInMilliseconds": 1}]),
    ],
)
def test_what_the_documentation_shows_is_allowed(request_: dict[str, Any]):
    require_allowed(request_)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"ModelName": None}, "Specify either one ModelPackageVersionArn or one ModelName"),
        (
            {"ModelPackageVersionArn": "arn:aws:sagemaker:us-east-1:0:model-package/a/1"},
            "Specify either one ModelPackageVersionArn or one ModelName",
        ),
        ({"ContainerConfig": None}, "Specify ContainerConfig with ModelName"),
        (
            {"ContainerConfig": {**CONTAINER_CONFIG, "SupportedEndpointType": "Serverless"}},
            "SupportedEndpointType Serverless is not supported here",
        ),
        ({"EndpointConfigurations": None}, "Specify EndpointConfigurations or Endpoints"),
        ({"EndpointConfigurations": None, "Endpoints": [{}]}, "Specify EndpointName in Endpoints"),
        ({"Endpoints": [{"EndpointName": "a"}]}, "either EndpointConfigurations or Endpoints"),
        (
            {"EndpointConfigurations": [threads("1", instance_type="ml.t2.medium")]},
            "Burstable instance type ml.t2.medium is not allowed",
        ),
        (
            {"EndpointConfigurations": [{"ServerlessConfig": {"MemorySizeInMB": 1024}}]},
            "ServerlessConfig is not supported here",
        ),
        ({"EndpointConfigurations": [{}]}, "Specify InstanceType"),
        (
            {
                "EndpointConfigurations": [
                    {"InstanceType": "ml.c5.large", "InferenceSpecificationName": "other"}
                ]
            },
            "InferenceSpecificationName is not supported here",
        ),
        ({"EndpointConfigurations": [threads("1", "1")]}, "A value of OMP_NUM_THREADS is given"),
        ({"JobDurationInSeconds": 18_001}, "over the maximum of 18000"),
        (
            {"JobDurationInSeconds": 119},
            "Total Traffic duration (across) should not be more than Job duration",
        ),
        (
            {"TrafficPattern": phases({**PHASE, "InitialNumberOfUsers": 4})},
            "InitialNumberOfUsers must be between 1 and 3, not 4",
        ),
        (
            # one of the guide's samples has it; its text says 0 to 3 a minute
            {"TrafficPattern": phases({**PHASE, "SpawnRate": 60})},
            "SpawnRate must be between 0 and 3, not 60",
        ),
        (
            {"TrafficPattern": phases({**PHASE, "DurationInSeconds": 119})},
            "DurationInSeconds must be between 120 and 3600, not 119",
        ),
        ({"TrafficPattern": phases({"InitialNumberOfUsers": 1})}, "Specify SpawnRate"),
        (
            {"TrafficPattern": phases({**PHASE, "SpawnRate": 3}, PHASE)},
            "Users at the end of prev phase is 7 while initial users of current phase is 1",
        ),
        (
            {"TrafficPattern": {**phases(), "TrafficType": "STAIRS"}},
            "Specify TrafficType PHASES with Phases, or STAIRS with Stairs",
        ),
        (
            {"TrafficPattern": {**phases(), "Stairs": STAIRS}},
            "Specify TrafficType PHASES with Phases, or STAIRS with Stairs",
        ),
        (
            {"TrafficPattern": stairs(DurationInSeconds=3601)},
            "DurationInSeconds must be between 120 and 3600, not 3601",
        ),
        (
            {"ResourceLimit": {"MaxNumberOfTests": 11}},
            "MaxNumberOfTests must be between 1 and 10, not 11",
        ),
        (
            {"ResourceLimit": {"MaxParallelOfTests": 11}},
            "MaxParallelOfTests must be between 1 and 10, not 11",
        ),
        ({"ResourceLimit": {"MaxNumberOfTests": 1}}, "make 2 tests and MaxNumberOfTests is 1"),
    ],
)
def test_every_limit_of_an_advanced_job_is_enforced(config: dict[str, Any], said: str):
    assert said in refused(advanced(**config))


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"MaxInvocations": 30_001}, "MaxInvocations must be between 1 and 30000, not 30001"),
        ({"MaxInvocations": 0}, "MaxInvocations must be between 1 and 30000, not 0"),
        (
            {"ModelLatencyThresholds": [{"Percentile": "P50", "ValueInMilliseconds": 100}]},
            "Percentile must be P95 or P99, not P50",
        ),
        (
            {"ModelLatencyThresholds": [{"Percentile": "P95"}]},
            "Specify ValueInMilliseconds",
        ),
    ],
)
def test_every_limit_of_the_stopping_conditions_is_enforced(conditions: dict[str, Any], said: str):
    assert said in refused(stopping(**conditions))


@pytest.mark.parametrize("key", ["EndpointConfigurations", "TrafficPattern"])
def test_what_belongs_to_an_advanced_job_is_refused_of_a_default_one(key: str):
    given = advanced()["InputConfig"][key]
    assert f"{key} belongs to an Advanced job" in refused(default(**{key: given}))


def test_everything_wrong_is_told_at_once():
    pattern = phases({"InitialNumberOfUsers": 9, "SpawnRate": 9, "DurationInSeconds": 9})
    said = refused(advanced(TrafficPattern=pattern))
    assert all(
        name in said for name in ("InitialNumberOfUsers", "SpawnRate", "DurationInSeconds must")
    )
