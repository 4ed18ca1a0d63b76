"""Which job a name means, and how it stands in the API's words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rightsizer.api.jobs.naming import completed_s, failure_reason, job_named, names_of, status_of
from rightsizer.job_heads import JobHead, heads, heads_named
from rightsizer.store import Store

from tests.api.jobs.requests import advanced, context_in


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as opened:
        yield opened


def made(
    store: Store, status: str, *, of_api: bool = True, failure: str = "", stop: bool = False
) -> JobHead:
    job = store.create_job("job", "advanced", {}, {}, request=advanced("job") if of_api else None)
    store.set_status(job.id, status)
    store.set_failure(job.id, failure)
    store.request_stop(job.id, stop)
    [head] = heads_named(store, job.id)
    return head


@pytest.mark.parametrize(
    ("status", "failure", "stop", "said"),
    [
        ("pending", "", False, "PENDING"),
        ("pending", "", True, "STOPPING"),
        ("running", "", False, "IN_PROGRESS"),
        ("running", "", True, "STOPPING"),
        ("stopping", "", True, "STOPPING"),
        ("completed", "", False, "COMPLETED"),
        ("completed", "", True, "COMPLETED"),
        ("completed", "nothing within limits", False, "FAILED"),
        ("failed", "", False, "FAILED"),
        ("stopped", "", True, "STOPPED"),
        ("stopped", "nothing within limits", True, "STOPPED"),
    ],
)
def test_a_job_of_the_api_stands_as_it_is_stored(
    store: Store, status: str, failure: str, stop: bool, said: str
):
    assert status_of(store, made(store, status, failure=failure, stop=stop)) == said


@pytest.mark.parametrize("status", ["pending", "running", "stopping"])
def test_a_job_of_the_command_line_has_stopped_where_its_engine_has_died(store: Store, status: str):
    head = made(store, status, of_api=False)
    assert status_of(store, head) == "STOPPED"
    assert completed_s(head, "STOPPED") is None  # nobody knows when
    with store.own(head.id):
        assert status_of(store, head) != "STOPPED"


@pytest.mark.parametrize(
    ("status", "failure", "cut_short", "said"),
    [
        ("completed", "nothing  within\nlimits", "its time was up", "nothing within limits"),
        ("failed", "of an earlier run", "no host", "no host"),
        ("failed", "", "", "the engine failed"),
        ("failed", "", "x" * 2000, "x" * 1024),
    ],
)
def test_a_failure_has_the_reason_of_the_last_run(
    store: Store, status: str, failure: str, cut_short: str, said: str
):
    job = store.create_job("job", "advanced", {}, {})
    store.set_status(job.id, status, cut_short=cut_short)
    store.set_failure(job.id, failure)
    [head] = heads(store)
    assert failure_reason(head, "FAILED") == said
    assert failure_reason(head, "STOPPED") is None


def test_a_job_of_the_api_keeps_its_name_whoever_shares_it(tmp_path: Path):
    context = context_in(tmp_path)
    store = context.store
    given = store.create_job("job", "advanced", {}, {}, request=advanced("job"))
    other = store.create_job("job", "advanced", {}, {})
    alone = store.create_job("alone", "advanced", {}, {})
    assert names_of(heads(store)) == {given.id: "job", other.id: other.id, alone.id: "alone"}
    for job in (given, other, alone):
        assert job_named(context, names_of(heads(store))[job.id]).id == job.id
    store.close()
