"""Models: one container, or several in a row, with what is needed to start them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rightsizer.api.arns import MODEL, arn_of
from rightsizer.api.context import Answer, Context, Operation, Request
from rightsizer.api.faults import ApiFault, validation
from rightsizer.api.packages import find_package
from rightsizer.api.paging import by_name, by_time, page, within
from rightsizer.api.tags import checked_tags


def find_model(context: Context, name: str) -> Mapping[str, Any]:
    """A model, as DescribeModel answers.

    Raises:
        ApiFault: ValidationException; there is none.
    """
    model = context.registry.find(MODEL, name)
    if model is None:
        raise _unknown(context, name)
    return {
        "EnableNetworkIsolation": False,
        **model.body,
        "ModelName": name,
        "ModelArn": arn_of(context.settings, MODEL, name),
        "CreationTime": model.created_s,
        "DeploymentRecommendation": {
            "RecommendationStatus": "NOT_APPLICABLE",
            "RealTimeInferenceRecommendations": [],
        },
    }


def create_model(context: Context, request: Request) -> Answer:
    """Keep a model; whatever is against the rules is a ValidationException.

    Roles, VPC and network isolation are kept and returned, and have no effect.
    """
    name, tags = request["ModelName"], checked_tags(request)
    arn = arn_of(context.settings, MODEL, name)
    body = {member: value for member, value in request.items() if member != "Tags"}
    _check_containers(context, _containers(request))
    with context.registry.together():
        if not context.registry.add(MODEL, name, body, context.now_s()):
            raise validation(f'Cannot create already existing model "{arn}".')
        context.registry.tag(arn, tags)
    return {"ModelArn": arn}


def describe_model(context: Context, request: Request) -> Answer:
    """A model; never with recommendations of its own, for those come from jobs here."""
    return dict(find_model(context, request["ModelName"]))


def list_models(context: Context, request: Request) -> Answer:
    """Models by the filters, newest first unless asked otherwise."""
    models = [
        model
        for model in context.registry.all(MODEL)
        if request.get("NameContains", "") in model.name and within(model.created_s, request)
    ]
    shown, token = page(
        "ListModels",
        models,
        request,
        by_name if request.get("SortBy") == "Name" else by_time,
        descending=request.get("SortOrder", "Descending") == "Descending",
    )
    summaries = [
        {
            "ModelName": model.name,
            "ModelArn": arn_of(context.settings, MODEL, model.name),
            "CreationTime": model.created_s,
        }
        for model in shown
    ]
    return {"Models": summaries, "NextToken": token}


def delete_model(context: Context, request: Request) -> Answer:
    """Forget a model and its tags; its files stay where they are."""
    name = request["ModelName"]
    with context.registry.together():
        if not context.registry.remove(MODEL, name):
            raise _unknown(context, name)
        context.registry.untag(arn_of(context.settings, MODEL, name))
    return {}


def _containers(request: Request) -> Sequence[Mapping[str, Any]]:
    """The model's containers; raises ApiFault unless they are given in exactly one way."""
    primary, several = request.get("PrimaryContainer"), request.get("Containers")
    if primary is not None and several:
        raise validation("Both PrimaryContainer and Containers are provided; give one of them")
    if primary is None and not several:
        raise validation("A model needs PrimaryContainer or Containers; give one of them")
    return several or [primary or {}]


def _check_containers(context: Context, containers: Sequence[Mapping[str, Any]]) -> None:
    for container in containers:
        if package := container.get("ModelPackageName"):
            find_package(context, package)
        elif not container.get("Image"):
            raise validation("A container needs Image or ModelPackageName")


def _unknown(context: Context, name: str) -> ApiFault:
    return validation(f'Could not find model "{arn_of(context.settings, MODEL, name)}".')


OPERATIONS: Mapping[str, Operation] = {
    "SageMaker.CreateModel": create_model,
    "SageMaker.DescribeModel": describe_model,
    "SageMaker.ListModels": list_models,
    "SageMaker.DeleteModel": delete_model,
}
