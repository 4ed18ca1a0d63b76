"""Stored jobs in brief, and those of the API that wait."""

from __future__ import annotations

from pathlib import Path

import pytest
from rightsizer.job_heads import heads, heads_named, unfinished_of_api
from rightsizer.store import Store


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "kept") as opened:
        yield opened


def test_heads_come_in_the_order_in_which_jobs_were_made(store):
    for name in ("b", "a", "c"):
        store.create_job(name, "advanced", {}, {})
    assert [head.name for head in heads(store)] == ["b", "a", "c"]


def test_a_head_has_what_its_row_has(store):
    job = store.create_job("a", "default", {"x": 1}, {}, request={"JobName": "a", "RoleArn": "r"})
    store.set_status(job.id, "failed", cut_short="no disk")
    store.set_failure(job.id, "nothing")
    store.request_stop(job.id)
    stored = store.job(job.id)
    [head] = heads(store)
    for field in ("id", "name", "type", "status", "created", "modified", "cut_short", "failure"):
        assert getattr(head, field) == getattr(stored, field)
    assert head.stop_requested
    assert head.is_of_api
    assert head.request == stored.request == {"JobName": "a", "RoleArn": "r"}


def test_a_job_of_the_command_line_has_no_request(store):
    store.create_job("a", "advanced", {}, {})
    [head] = heads(store)
    assert not head.is_of_api
    assert head.request == {}


def test_a_job_is_found_by_name_and_by_id(store):
    first, second = (store.create_job("a", "advanced", {}, {}) for _ in range(2))
    assert [head.id for head in heads_named(store, "a")] == [first.id, second.id]
    assert [head.id for head in heads_named(store, second.id)] == [second.id]
    assert heads_named(store, "b") == []


def test_only_the_api_s_jobs_that_have_not_ended_wait_the_oldest_first(store):
    store.create_job("cli", "advanced", {}, {})
    statuses = ("running", "completed", "pending", "failed", "stopped", "stopping")
    for status in statuses:
        job = store.create_job(status, "advanced", {}, {}, request={})
        store.set_status(job.id, status)
    assert [head.name for head in unfinished_of_api(store)] == ["running", "pending", "stopping"]
