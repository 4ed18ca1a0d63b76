"""Lists by pages: filters by time, an order, and tokens that say where the next page begins."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from rightsizer.api.context import Request
from rightsizer.api.faults import ApiFault, validation
from rightsizer.registry import Resource

PAGE = 100
"""Items of a page where the request does not say."""

Key = tuple[str | float, ...]
"""Where an item stands in its list; no two items share one."""
Item = TypeVar("Item")


def page(
    of: str,
    items: Iterable[Item],
    request: Request,
    key: Callable[[Item], Key],
    *,
    descending: bool = False,
) -> tuple[list[Item], str | None]:
    """One page of a list and the token of the next; None after the last page.

    `of` names the list: its tokens are of no use to another. A token holds the key of the last item
    given, so items that are added or removed between pages make none repeat and none be skipped.
    All members of the request but MaxResults and NextToken are its query, which a token belongs to.

    Raises:
        ApiFault: ValidationException; the token is malformed, or of another query.
    """
    query = _query(of, request)
    rest = sorted(items, key=key, reverse=descending)
    if token := request.get("NextToken"):
        last = _last(token, query)
        try:
            rest = [item for item in rest if (key(item) < last if descending else key(item) > last)]
        except TypeError:
            raise _bad_token("it is malformed") from None
    size = request.get("MaxResults") or PAGE
    more = len(rest) > size
    return rest[:size], _token(key(rest[size - 1]), query) if more else None


def by_name(resource: Resource) -> Key:
    """The order of names, of resources whose names are their own."""
    return (resource.name,)


def by_time(resource: Resource) -> Key:
    """The order of making, by name where two were made at once."""
    return (resource.created_s, resource.name)


def within(at_s: float, request: Request, time: str = "CreationTime") -> bool:
    """Whether an instant is not before the request's TIMEAfter and is before its TIMEBefore.

    The service model says "after" of most lists and "greater than or equal to" of ListModels;
    the second is taken for all, for clients send whole seconds, cut off.
    """
    after, before = request.get(f"{time}After"), request.get(f"{time}Before")
    return (after is None or at_s >= after) and (before is None or at_s < before)


def _query(of: str, request: Request) -> str:
    asked = {name: value for name, value in request.items() if name not in _PAGING}
    return hashlib.sha256(json.dumps([of, asked], sort_keys=True).encode()).hexdigest()[:16]


_PAGING = ("MaxResults", "NextToken")


def _token(last: Key, query: str) -> str:
    return base64.urlsafe_b64encode(json.dumps({"after": last, "of": query}).encode()).decode()


def _last(token: str, query: str) -> Key:
    """The key that a token holds."""
    try:
        said = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        last, of = tuple(said["after"]), said["of"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise _bad_token("it is malformed") from None
    if of != query:
        raise _bad_token("it belongs to a request with other filters or another order")
    return last


def _bad_token(why: str) -> ApiFault:
    todo = "give the token of the previous page as it came, with the same filters and order"
    return validation(f"Invalid NextToken: {why}; {todo}")
