"""Requests as clients send them, and a context to answer them in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rightsizer.api.context import Context
from rightsizer.api.settings import Settings
from rightsizer.registry import Registry
from rightsizer.store import Store

ROLE = "arn:aws:iam::123456789012:role/anybody"
PAYLOAD_URL = "s3://bucket/payload.tar.gz"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.14.1-cpu"
CONTAINER_CONFIG = {
    "Domain": "COMPUTER_VISION",
    "Task": "IMAGE_CLASSIFICATION",
    "Framework": "TENSORFLOW",
    "PayloadConfig": {
        "SamplePayloadUrl": PAYLOAD_URL,
        "SupportedContentTypes": ["application/x-image"],
    },
}
PHASE = {"InitialNumberOfUsers": 1, "SpawnRate": 1, "DurationInSeconds": 120}
STAIRS = {"DurationInSeconds": 600, "NumberOfSteps": 5, "UsersPerStep": 1}


def threads(*values: str, instance_type: str = "ml.c5.xlarge") -> dict[str, Any]:
    """One of EndpointConfigurations that sweeps OMP_NUM_THREADS."""
    ranges = [{"Name": "OMP_NUM_THREADS", "Value": list(values)}]
    return {
        "InstanceType": instance_type,
        "EnvironmentParameterRanges": {"CategoricalParameterRanges": ranges},
    }


def phases(*given: Mapping[str, int]) -> dict[str, Any]:
    """A TrafficPattern of phases."""
    return {"TrafficType": "PHASES", "Phases": list(given or (PHASE,))}


def advanced(name: str = "an-advanced-job", **config: Any) -> dict[str, Any]:
    """An Advanced job of a model called `resnet`; None leaves a member out."""
    whole = {
        "ModelName": "resnet",
        "ContainerConfig": CONTAINER_CONFIG,
        "EndpointConfigurations": [threads("2", "4")],
        "TrafficPattern": phases(),
        "JobDurationInSeconds": 7200,
        **config,
    }
    kept = {key: value for key, value in whole.items() if value is not None}
    return {"JobName": name, "JobType": "Advanced", "RoleArn": ROLE, "InputConfig": kept}


def default(name: str = "a-default-job", **config: Any) -> dict[str, Any]:
    """A Default job of a model called `resnet`."""
    whole = {"ModelName": "resnet", "ContainerConfig": CONTAINER_CONFIG, **config}
    kept = {key: value for key, value in whole.items() if value is not None}
    return {"JobName": name, "JobType": "Default", "RoleArn": ROLE, "InputConfig": kept}


def context_in(folder: Path, settings: Settings | None = None, **more: Any) -> Context:
    """A context over a store of its own; the caller closes `context.store`."""
    store = Store(folder / "store")
    return Context(
        store=store,
        registry=Registry(store),
        settings=settings or Settings(),
        base_dir=folder,
        **more,
    )
