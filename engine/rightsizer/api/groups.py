"""Groups of model packages: a name under which versions of a model are numbered.

The reference service answers a missing group with ValidationException, though ResourceNotFound is
modelled; its texts are kept, for clients look for "does not exist" and "already exists" in them.
"""

from __future__ import annotations

from collections.abc import Mapping

from rightsizer.api.arns import GROUP, PACKAGE, arn_of, resolve
from rightsizer.api.context import Answer, Context, Operation, Request
from rightsizer.api.faults import conflict, validation
from rightsizer.api.paging import by_name, by_time, page, within
from rightsizer.api.tags import checked_tags
from rightsizer.registry import Resource


def find_group(context: Context, arn_or_name: str) -> Resource:
    """A group by its name or ARN; raises ApiFault (ValidationException) where there is none."""
    name, arn = resolve(context.settings, GROUP, arn_or_name)
    group = context.registry.find(GROUP, name)
    if group is None:
        raise validation(f"ModelPackageGroup {arn} does not exist.")
    return group


def create_model_package_group(context: Context, request: Request) -> Answer:
    """Make an empty group; a taken name is a ValidationException."""
    name = request["ModelPackageGroupName"]
    arn = arn_of(context.settings, GROUP, name)
    tags = checked_tags(request)
    body = {member: value for member, value in request.items() if member != "Tags"}
    with context.registry.together():
        if not context.registry.add(GROUP, name, body, context.now_s()):
            raise validation(f"Model Package Group already exists: {arn}")
        context.registry.tag(arn, tags)
    return {"ModelPackageGroupArn": arn}


def describe_model_package_group(context: Context, request: Request) -> Answer:
    """A group, by name or ARN."""
    group = find_group(context, request["ModelPackageGroupName"])
    return {**_summary(context, group), "CreatedBy": {}}


def list_model_package_groups(context: Context, request: Request) -> Answer:
    """Groups by the filters, oldest first unless asked otherwise.

    CrossAccount lists what others share with this account: nothing.
    """
    groups = [
        group
        for group in context.registry.all(GROUP)
        if request.get("NameContains", "") in group.name
        and within(group.created_s, request)
        and request.get("CrossAccountFilterOption") != "CrossAccount"
    ]
    shown, token = page(
        "ListModelPackageGroups",
        groups,
        request,
        by_name if request.get("SortBy") == "Name" else by_time,
        descending=request.get("SortOrder") == "Descending",
    )
    summaries = [_summary(context, group) for group in shown]
    return {"ModelPackageGroupSummaryList": summaries, "NextToken": token}


def delete_model_package_group(context: Context, request: Request) -> Answer:
    """Forget a group and its tags; ConflictException while it has packages."""
    with context.registry.together():
        group = find_group(context, request["ModelPackageGroupName"])
        arn = arn_of(context.settings, GROUP, group.name)
        left = len(context.registry.all(PACKAGE, prefix=f"{group.name}/"))
        if left:
            raise conflict(
                f"ModelPackageGroup {arn} cannot be deleted: it still contains model packages"
                f" ({left}); delete them first"
            )
        context.registry.remove(GROUP, group.name)
        context.registry.untag(arn)
    return {}


def _summary(context: Context, group: Resource) -> Answer:
    return {
        "ModelPackageGroupName": group.name,
        "ModelPackageGroupArn": arn_of(context.settings, GROUP, group.name),
        "ModelPackageGroupDescription": group.body.get("ModelPackageGroupDescription"),
        "CreationTime": group.created_s,
        "ModelPackageGroupStatus": "Completed",
        "ManagedConfiguration": group.body.get("ManagedConfiguration"),
    }


OPERATIONS: Mapping[str, Operation] = {
    "SageMaker.CreateModelPackageGroup": create_model_package_group,
    "SageMaker.DescribeModelPackageGroup": describe_model_package_group,
    "SageMaker.ListModelPackageGroups": list_model_package_groups,
    "SageMaker.DeleteModelPackageGroup": delete_model_package_group,
}
