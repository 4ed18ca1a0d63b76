"""What a job measures: the container of its model or package, as its ContainerConfig changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rightsizer.api.arns import name_of
from rightsizer.api.context import Context
from rightsizer.api.faults import validation
from rightsizer.api.jobs.rules import DOMAINS, TASKS
from rightsizer.api.models import find_model
from rightsizer.api.packages import find_package

ELSEWHERE = ("ModelDataSource", "AdditionalModelDataSources", "AdditionalS3DataSource")
"""Of a container: ways of giving a model that would not be fetched."""


@dataclass(frozen=True)
class Source:
    """A model and how it is asked. URLs are the caller's own."""

    name: str
    image: str
    model_url: str | None
    environment: Mapping[str, str]
    domain: str
    framework: str
    task: str
    payload_url: str
    content_types: tuple[str, ...]
    instance_types: tuple[str, ...]
    """Those it may be served on, by its makers' word; empty: any."""


def source_of(context: Context, config: Mapping[str, Any]) -> Source:
    """The source of a job's InputConfig.

    Raises:
        ApiFault: ValidationException: no such model or package, or it says too little.
    """
    given = config.get("ContainerConfig", {})
    if arn := config.get("ModelPackageVersionArn"):
        package = find_package(context, arn)
        found = _of_package(package, given, (name_of(arn) or ("", arn))[1])
    else:
        found = _of_model(find_model(context, config["ModelName"]), given, config["ModelName"])
    _require_whole(found)
    return found


def _of_package(package: Mapping[str, Any], given: Mapping[str, Any], name: str) -> Source:
    inference = package.get("InferenceSpecification") or {}
    container = _first(inference.get("Containers", ()), f"Model Package {name}")
    types = inference.get("SupportedContentTypes", ())
    instances = inference.get("SupportedRealtimeInferenceInstanceTypes", ())
    return _source(
        name,
        container,
        given,
        domain=package.get("Domain", ""),
        task=package.get("Task", ""),
        payload_url=package.get("SamplePayloadUrl", ""),
        content_types=types,
        instance_types=instances,
    )


def _of_model(model: Mapping[str, Any], given: Mapping[str, Any], name: str) -> Source:
    containers = [model["PrimaryContainer"]] if "PrimaryContainer" in model else []
    container = _first([*containers, *model.get("Containers", ())], f"Model {name}")
    return _source(name, container, given)


def _first(containers: Sequence[Mapping[str, Any]], whose: str) -> Mapping[str, Any]:
    if len(containers) != 1:
        raise validation(f"{whose} has {len(containers)} containers; one is served here.")
    return containers[0]


def _source(
    name: str,
    container: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    domain: str = "",
    task: str = "",
    payload_url: str = "",
    content_types: Sequence[str] = (),
    instance_types: Sequence[str] = (),
) -> Source:
    """What ContainerConfig gives comes before what the package says."""
    payload = given.get("PayloadConfig", {})
    _require_served(container, name)
    return Source(
        name=name,
        image=container["Image"],
        model_url=container.get("ModelDataUrl") or None,
        environment=container.get("Environment", {}),
        domain=given.get("Domain") or domain,
        framework=given.get("Framework") or container.get("Framework", ""),
        task=given.get("Task") or task,
        payload_url=payload.get("SamplePayloadUrl") or payload_url,
        content_types=tuple(payload.get("SupportedContentTypes") or content_types),
        instance_types=tuple(given.get("SupportedInstanceTypes") or instance_types),
    )


def _require_served(container: Mapping[str, Any], name: str) -> None:
    if container.get("ModelPackageName"):
        raise validation(f"{name} is made of a model package; give its ModelPackageVersionArn.")
    if not container.get("Image"):
        raise validation(f"{name} names no Image; give the one that serves it.")
    if container.get("Mode") == "MultiModel":
        raise validation(f"Mode MultiModel of {name} is not supported here; give one model.")
    for member in ELSEWHERE:
        if container.get(member):
            raise validation(
                f"{member} of {name} is not supported here; give ModelDataUrl with one .tar.gz."
            )


def _require_whole(source: Source) -> None:
    where = f"in {source.name} or ContainerConfig"
    missing = [
        name
        for name, value in (
            ("Domain", source.domain),
            ("Framework", source.framework),
            ("Task", source.task),
            ("SamplePayloadUrl", source.payload_url),
            ("SupportedContentTypes", source.content_types),
        )
        if not value
    ]
    problems = [f"Specify `{name}` {where}." for name in missing]
    if source.domain and source.domain not in DOMAINS:
        problems.append(f"Domain must be one of {', '.join(DOMAINS)}, not {source.domain}.")
    if source.task and source.task not in TASKS:
        problems.append(f"Task must be one of {', '.join(TASKS)}, not {source.task}.")
    if problems:
        raise validation(" ".join(problems))
