"""Pages of a list: nothing twice, nothing left out, and tokens only where they belong."""

from __future__ import annotations

import base64
import json
from itertools import chain, count

import pytest
from rightsizer.api.faults import ApiFault
from rightsizer.api.paging import page, within


def key(item: float) -> tuple[float, ...]:
    return (item,)


def walk(items: list[float], request: dict, *, descending: bool = False, between=lambda: None):
    """Every page, as the paginators of clients walk them."""
    pages, token = [], None
    while True:
        asked = {**request, "NextToken": token} if token else request
        shown, token = page("List", items, asked, key, descending=descending)
        pages.append(shown)
        if token is None:
            return pages
        between()


def test_pages_hold_every_item_once_in_order():
    pages = walk([*range(250)], {"MaxResults": 100})
    assert [len(one) for one in pages] == [100, 100, 50]
    assert [*chain(*pages)] == [*range(250)]


def test_a_last_page_that_is_just_full_has_no_token():
    assert walk([*range(200)], {"MaxResults": 100}) == [[*range(100)], [*range(100, 200)]]
    assert walk([], {}) == [[]]


def test_a_page_has_a_hundred_items_unless_it_is_asked_for_fewer():
    assert len(page("List", range(250), {}, key)[0]) == 100
    assert len(page("List", range(250), {"MaxResults": 10}, key)[0]) == 10


@pytest.mark.parametrize("descending", [False, True])
def test_items_added_or_removed_between_pages_make_none_repeat_and_none_be_skipped(descending):
    items = [*range(0, 2500, 10)]
    first, removed, fresh = list(items), [], count(1)

    def meanwhile() -> None:
        items.extend(place + next(fresh) / 1000 for place in range(0, 2500, 500))
        removed.append(items.pop(0))

    pages = walk(items, {"MaxResults": 20}, descending=descending, between=meanwhile)
    seen = [*chain(*pages)]
    assert next(fresh) > 50
    assert len(seen) == len(set(seen))
    assert set(first) - set(removed) <= set(seen)
    assert seen == sorted(seen, reverse=descending)


def test_the_size_may_change_from_page_to_page():
    _, token = page("List", range(30), {"MaxResults": 10}, key)
    shown, _ = page("List", range(30), {"MaxResults": 3, "NextToken": token}, key)
    assert shown == [10, 11, 12]


def test_a_token_of_another_query_or_list_is_refused():
    _, token = page("List", range(30), {"MaxResults": 10, "NameContains": "a"}, key)
    page("List", range(30), {"NextToken": token, "NameContains": "a"}, key)
    for of, other in (
        ("List", {"NameContains": "b"}),
        ("List", {"NameContains": "a", "SortOrder": "Descending"}),
        ("List", {}),
        ("Others", {"NameContains": "a"}),
    ):
        with pytest.raises(ApiFault, match="other filters") as caught:
            page(of, range(30), {**other, "NextToken": token}, key)
        assert caught.value.code == "ValidationException"


def encoded(said: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode()


def of_this_query() -> str:
    _, token = page("List", range(30), {"MaxResults": 1}, key)
    return json.loads(base64.urlsafe_b64decode(token))["of"]


@pytest.mark.parametrize(
    "token",
    [
        "junk",
        "\N{SNOWMAN}",
        "/" * 8,
        encoded([]),
        encoded({}),
        encoded({"after": 5, "of": of_this_query()}),
        encoded({"after": ["text"], "of": of_this_query()}),
        encoded({"after": [{}], "of": of_this_query()}),
        base64.urlsafe_b64encode(b"[" * 6000).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_a_malformed_token_is_refused(token):
    with pytest.raises(ApiFault, match="malformed") as caught:
        page("List", range(30), {"NextToken": token}, key)
    assert caught.value.code == "ValidationException"


def test_an_empty_token_begins_at_the_beginning():
    assert page("List", range(3), {"NextToken": ""}, key) == ([0, 1, 2], None)


def test_times_are_filtered_from_after_up_to_before():
    request = {"CreationTimeAfter": 10.0, "CreationTimeBefore": 20.0}
    assert [at for at in (9.9, 10.0, 19.9, 20.0) if within(at, request)] == [10.0, 19.9]
    assert within(5.0, {"LastModifiedTimeAfter": 6.0})
    assert not within(5.0, {"LastModifiedTimeAfter": 6.0}, "LastModifiedTime")
