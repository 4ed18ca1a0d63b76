"""What the API keeps: resources and tags, changed together or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from rightsizer.errors import StoreError
from rightsizer.registry import Registry
from rightsizer.store import Store


@pytest.fixture
def registry(tmp_path: Path):
    with Store(tmp_path / "kept") as store:
        yield Registry(store)


def test_a_resource_is_seen_as_it_was_added_from_another_opening_of_the_store(registry, tmp_path):
    assert registry.add("model", "m", {"a": [1, None]}, 5.5)
    with Store(tmp_path / "kept") as other:
        found = Registry(other).find("model", "m")
    assert found is not None
    assert (found.name, found.created_s, found.body) == ("m", 5.5, {"a": [1, None]})


def test_a_taken_name_changes_nothing(registry):
    registry.add("model", "m", {"a": 1}, 1.0)
    assert not registry.add("model", "m", {"a": 2}, 2.0)
    assert registry.add("group", "m", {}, 2.0)
    assert registry.find("model", "m").body == {"a": 1}


def test_a_change_keeps_the_time_of_making(registry):
    registry.add("model", "m", {"a": 1}, 1.0)
    assert registry.change("model", "m", {"a": 2}, 3.0)
    found = registry.find("model", "m")
    assert (found.body, found.created_s, found.modified_s) == ({"a": 2}, 1.0, 3.0)
    assert not registry.change("model", "none", {}, 3.0)


def test_resources_are_listed_in_the_order_of_making_and_by_the_beginning_of_their_names(registry):
    for number, name in enumerate(["b/2", "b/10", "bb/1", "a%/1"]):
        registry.add("package", name, {}, float(number))
    assert [one.name for one in registry.all("package")] == ["b/2", "b/10", "bb/1", "a%/1"]
    assert [one.name for one in registry.all("package", prefix="b/")] == ["b/2", "b/10"]
    assert registry.all("package", prefix="%") == []


def test_what_is_left_by_an_exception_is_not_done(registry):
    registry.tag("arn", {"k": "v"})
    with pytest.raises(KeyError), registry.together():  # noqa: PT012
        registry.add("model", "m", {}, 1.0)
        registry.untag("arn")
        raise KeyError
    assert registry.find("model", "m") is None
    assert registry.tags("arn") == {"k": "v"}
    with registry.together():
        registry.add("model", "m", {}, 1.0)
    assert registry.find("model", "m")


def test_changes_that_fail_in_the_database_are_undone_and_the_next_ones_work(registry):
    with pytest.raises(StoreError), registry.together():  # noqa: PT012
        registry.add("model", "m", {}, 1.0)
        with registry.together():
            pass
    assert registry.find("model", "m") is None
    with registry.together():
        registry.add("model", "m", {}, 1.0)
    assert registry.find("model", "m")
