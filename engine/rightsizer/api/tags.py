"""Tags on whatever has an ARN here.

A version of a group shows the group's tags and, before them, its own: the service model says that
it "uses the tags associated with the model group", yet AddTags takes its ARN. A job shows, beside
its own, what the engine says of it, under keys that begin with `rightsizer:`; nobody changes those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from rightsizer.api.arns import GROUP, JOB, MODEL, PACKAGE, arn_of, name_of
from rightsizer.api.context import Answer, Context, Operation, Request
from rightsizer.api.faults import limit_exceeded, validation
from rightsizer.api.paging import page

MOST = 50
"""Tags of one thing, and of one page."""
MADE_PREFIX = "rightsizer:"
"""Of the keys of the engine's own tags."""
RESERVED = ("aws:", MADE_PREFIX)

MadeTags = Callable[[Context, str], Mapping[str, str] | None]
"""What the engine says, by tags, of the job of a name; None where there is no such job."""


def operations(made: MadeTags) -> Mapping[str, Operation]:
    """The operations on tags; `made` answers for jobs, which are kept elsewhere."""
    return {
        "SageMaker.AddTags": partial(add_tags, made=made),
        "SageMaker.ListTags": partial(list_tags, made=made),
        "SageMaker.DeleteTags": partial(delete_tags, made=made),
    }


def checked_tags(request: Request) -> dict[str, str]:
    """A request's Tags, which may be missing, by their keys.

    Raises:
        ApiFault: ValidationException; a key is reserved, or given twice.
    """
    given = request.get("Tags") or []
    tags = {tag["Key"]: tag["Value"] for tag in given}
    _refuse_reserved(tags)
    if len(tags) < len(given):
        keys = [tag["Key"] for tag in given]
        twice = ", ".join(sorted({key for key in keys if keys.count(key) > 1}))
        raise validation(f"Duplicate tag keys found: {twice}; give each key once")
    return tags


def add_tags(context: Context, request: Request, *, made: MadeTags) -> Answer:
    """Add tags, or change their values; answers with all of the thing's own."""
    arn, tags = request["ResourceArn"], checked_tags(request)
    with context.registry.together():
        _beside(context, arn, made)
        own = {**context.registry.tags(arn), **tags}
        if len(own) > MOST:
            raise limit_exceeded(
                f"{arn} would have {len(own)} tags, and may have {MOST}; delete some first"
            )
        context.registry.tag(arn, tags)
    return {"Tags": _listed(own)}


def list_tags(context: Context, request: Request, *, made: MadeTags) -> Answer:
    """All tags, by their keys; a page is of 50 whatever MaxResults says, as its shape allows."""
    arn = request["ResourceArn"]
    tags = {**_beside(context, arn, made), **context.registry.tags(arn)}
    shown, token = page(
        "ListTags", tags.items(), {**request, "MaxResults": MOST}, lambda tag: (tag[0],)
    )
    return {"Tags": _listed(dict(shown)), "NextToken": token}


def delete_tags(context: Context, request: Request, *, made: MadeTags) -> Answer:
    """Remove tags by their keys; those that are not there are passed over."""
    arn, keys = request["ResourceArn"], request["TagKeys"]
    _refuse_reserved(keys)
    with context.registry.together():
        _beside(context, arn, made)
        context.registry.untag(arn, keys)
    return {}


def _beside(context: Context, arn: str, made: MadeTags) -> Mapping[str, str]:
    """The tags that a thing shows beside its own; raises ApiFault where nothing has the ARN."""
    kind, name = name_of(arn) or ("", "")
    if arn == arn_of(context.settings, kind, name):
        if kind == JOB and (said := made(context, name)) is not None:
            return said
        if kind in (GROUP, MODEL, PACKAGE) and context.registry.find(kind, name):
            group, slash, _ = name.partition("/")
            return context.registry.tags(arn_of(context.settings, GROUP, group)) if slash else {}
    raise validation(f'Could not find "{arn}".')


def _refuse_reserved(keys: Iterable[str]) -> None:
    for key in keys:
        if key.lower().startswith(RESERVED):
            prefixes = " and ".join(RESERVED)
            raise validation(f"Tag key {key} is reserved: no key may begin with {prefixes}")


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]
