"""Model packages: versions, numbered within their group, and unversioned ones, which have names.

A version is kept under `GROUP/NUMBER`, as it stands in its ARN. Where the reference service
contradicts itself:

- Its model requires ModelPackageName of a description, and it leaves the name of a version out.
  Here it is the group's; lists, where it is optional, leave it out.
- ModelPackageType is documented to be Unversioned unless given; with a ModelPackageGroupName, that
  would never find anything. Then it is Versioned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightsizer.api.arns import GROUP, PACKAGE, arn_of, resolve
from rightsizer.api.context import Answer, Context, Operation, Request
from rightsizer.api.faults import conflict, validation
from rightsizer.api.groups import find_group
from rightsizer.api.paging import Key, page, within
from rightsizer.api.tags import checked_tags
from rightsizer.registry import Resource

_TOKEN = "client-token"
"""The kind under which the tokens of requests are kept, as long as what they made."""
_COUNTER = "Versions"
"""In a group's body: how many versions it ever had."""
_NOT_DESCRIBED = ("ClientToken", "Tags")
_SUMMARY = (
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "CreationTime",
    "ModelPackageStatus",
    "ModelApprovalStatus",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)


def find_package(context: Context, arn_or_name: str) -> Mapping[str, Any]:
    """A package, as DescribeModelPackage answers, by its ARN, its name, or `GROUP/NUMBER`.

    Raises:
        ApiFault: ValidationException; there is none.
    """
    name, arn = resolve(context.settings, PACKAGE, arn_or_name)
    package = context.registry.find(PACKAGE, name)
    if package is None:
        raise validation(f"ModelPackage {arn} does not exist.")
    return _described(context, package)


def create_model_package(context: Context, request: Request) -> Answer:
    """Make a version in a group, or an unversioned package; done at once: nothing is validated.

    The same ClientToken with the same request makes nothing anew, and with another request is a
    ConflictException. Everything else against the rules is a ValidationException.
    """
    _check(request)
    tags = checked_tags(request)
    with context.registry.together():
        name = _made_before(context, request)
        if name is None:
            name = _new_name(context, request)
            arn = arn_of(context.settings, PACKAGE, name)
            if not context.registry.add(PACKAGE, name, request, context.now_s()):
                raise validation(f"ModelPackage {arn} already exists.")
            context.registry.tag(arn, tags)
            if token := request.get("ClientToken"):
                context.registry.add(_TOKEN, token, {"package": name}, context.now_s())
    return {"ModelPackageArn": arn_of(context.settings, PACKAGE, name)}


def describe_model_package(context: Context, request: Request) -> Answer:
    """Everything that a package was made with; MetadataOnly leaves out the model card's content."""
    described = dict(find_package(context, request["ModelPackageName"]))
    card = described.get("ModelCard")
    if card and request.get("IncludedData") == "MetadataOnly":
        described["ModelCard"] = {"ModelCardStatus": card.get("ModelCardStatus")}
    return described


def list_model_packages(context: Context, request: Request) -> Answer:
    """Packages by the filters, oldest first unless asked otherwise; versions go by their number."""
    group = request.get("ModelPackageGroupName")
    prefix = "" if group is None else resolve(context.settings, GROUP, group)[0] + "/"
    packages = [
        package
        for package in context.registry.all(PACKAGE, prefix=prefix)
        if _fits(package, request) and within(package.created_s, request)
    ]
    shown, token = page(
        "ListModelPackages",
        packages,
        request,
        _by_name if request.get("SortBy") == "Name" else _by_time,
        descending=request.get("SortOrder") == "Descending",
    )
    summaries = [_summary(context, package) for package in shown]
    return {"ModelPackageSummaryList": summaries, "NextToken": token}


def delete_model_package(context: Context, request: Request) -> Answer:
    """Forget a package and its tags; its number is not given again."""
    name, arn = resolve(context.settings, PACKAGE, request["ModelPackageName"])
    with context.registry.together():
        package = context.registry.find(PACKAGE, name)
        if package is None:
            raise validation(f"ModelPackage {arn} does not exist.")
        context.registry.remove(PACKAGE, name)
        context.registry.untag(arn_of(context.settings, PACKAGE, name))
        context.registry.remove(_TOKEN, package.body.get("ClientToken", ""))
    return {}


def _check(request: Request) -> None:
    """The documented rules that the shape cannot tell; raises ApiFault at the first broken one."""
    versioned, named = "ModelPackageGroupName" in request, "ModelPackageName" in request
    specification = request.get("InferenceSpecification")
    if versioned and named:
        raise validation(
            "Both ModelPackageName and ModelPackageGroupName are provided in the input."
            " Cannot determine which one to use."
        )
    if not versioned and not named:
        raise validation(
            "Missing ARN. Give ModelPackageGroupName for a version, or ModelPackageName"
        )
    if specification is not None and "SourceAlgorithmSpecification" in request:
        raise validation(
            "Both InferenceSpecification and SourceAlgorithmSpecification are provided; give one"
        )
    if versioned and request.get("Tags"):
        raise validation(
            "Tags cannot be given for a version: it uses its group's. Tag the group, or the"
            " version's ARN afterwards"
        )
    if named:
        _check_unversioned(request, specification)


def _check_unversioned(request: Request, specification: Mapping[str, Any] | None) -> None:
    if specification is None:
        if "SourceAlgorithmSpecification" not in request:
            raise validation(
                "An unversioned model package needs InferenceSpecification"
                " or SourceAlgorithmSpecification"
            )
        return
    types = ("SupportedTransformInstanceTypes", "SupportedRealtimeInferenceInstanceTypes")
    missing = [name for name in types if not specification.get(name)]
    if missing:
        names = " and ".join(missing)
        raise validation(f"InferenceSpecification of an unversioned model package needs {names}")


def _made_before(context: Context, request: Request) -> str | None:
    """The package that an earlier request with this one's token made."""
    token = request.get("ClientToken")
    used = context.registry.find(_TOKEN, token) if token else None
    if used is None:
        return None
    name: str = used.body["package"]
    package = context.registry.find(PACKAGE, name)
    if package is None or package.body != request:
        raise conflict(
            f"ClientToken {token} was used for another request, which made"
            f" {arn_of(context.settings, PACKAGE, name)}; give each request a token of its own"
        )
    return name


def _new_name(context: Context, request: Request) -> str:
    """The name under which to keep a new package; takes the next number of its group."""
    if "ModelPackageName" in request:
        given: str = request["ModelPackageName"]
        return given
    group = find_group(context, request["ModelPackageGroupName"])
    number = group.body.get(_COUNTER, 0) + 1
    context.registry.change(GROUP, group.name, {**group.body, _COUNTER: number}, context.now_s())
    return f"{group.name}/{number}"


def _described(context: Context, package: Resource) -> Answer:
    name, number = _parts(package)
    described = {
        **{key: value for key, value in package.body.items() if key not in _NOT_DESCRIBED},
        "ModelPackageName": name,
        "ModelPackageArn": arn_of(context.settings, PACKAGE, package.name),
        "CreationTime": package.created_s,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
    }
    if number:
        described |= {"ModelPackageGroupName": name, "ModelPackageVersion": number}
        described.setdefault("ModelApprovalStatus", "PendingManualApproval")
    return described


def _summary(context: Context, package: Resource) -> Answer:
    described = _described(context, package)
    names = _SUMMARY if _parts(package)[1] else ("ModelPackageName", *_SUMMARY)
    return {name: described[name] for name in names if name in described}


def _fits(package: Resource, request: Request) -> bool:
    """Whether the filters other than times let a package through."""
    name, number = _parts(package)
    usual = "Versioned" if "ModelPackageGroupName" in request else "Unversioned"
    kind = request.get("ModelPackageType", usual)
    approval = package.body.get("ModelApprovalStatus", "PendingManualApproval" if number else None)
    return (
        kind in ("Both", "Versioned" if number else "Unversioned")
        and request.get("NameContains", "") in name
        and request.get("ModelApprovalStatus", approval) == approval
    )


def _parts(package: Resource) -> tuple[str, int]:
    """The name, of the group where it has one, and the number of its version, else 0."""
    name, _, number = package.name.partition("/")
    return name, int(number or 0)


def _by_name(package: Resource) -> Key:
    return _parts(package)


def _by_time(package: Resource) -> Key:
    return (package.created_s, *_parts(package))


OPERATIONS: Mapping[str, Operation] = {
    "SageMaker.CreateModelPackage": create_model_package,
    "SageMaker.DescribeModelPackage": describe_model_package,
    "SageMaker.ListModelPackages": list_model_packages,
    "SageMaker.DeleteModelPackage": delete_model_package,
}
