"""Lists of jobs: filters, orders and pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import Api, api_in
from tests.api.jobs.requests import CONTAINER_CONFIG, advanced

LIST = "ListInferenceRecommendationsJobs"
PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/group/1"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_in(tmp_path) as opened:
        yield opened


def keep(api: Api, name: str, status: str = "completed", created: str = "", **config: Any) -> str:
    """A stored job, made at an instant of 2026 if one is given; its id."""
    store = api.context.store
    job = store.create_job(name, "advanced", {}, {}, request=advanced(name, **config))
    store.set_status(job.id, status)
    if created:
        with store.database() as db:
            times = (f"2026-{created}+00:00", f"2026-{created}.500+00:00", job.id)
            db.execute("UPDATE jobs SET created_utc = ?, modified_utc = ? WHERE id = ?", times)
    return job.id


def names(api: Api, **request: Any) -> list[str]:
    return [job["JobName"] for job in api(LIST, **request)["InferenceRecommendationsJobs"]]


def test_a_summary_says_what_a_job_was_asked(api: Api):
    keep(api, "one", "failed")
    [found] = api(LIST)["InferenceRecommendationsJobs"]
    assert found["Status"] == "FAILED"
    assert found["FailureReason"]
    assert found["JobType"] == "Advanced"
    assert found["JobDescription"] == ""
    assert found["ModelName"] == "resnet"
    payload = CONTAINER_CONFIG["PayloadConfig"]
    assert found["SamplePayloadUrl"] == payload["SamplePayloadUrl"]
    assert found["CompletionTime"] == found["LastModifiedTime"]
    assert "ModelPackageVersionArn" not in found


def test_jobs_of_the_command_line_are_listed_under_the_names_that_describe_them(api: Api):
    store = api.context.store
    twice = [store.create_job("twice", "advanced", {}, {}).id for _ in range(2)]
    one = store.create_job("once", "default", {}, {})
    for job_id in (*twice, one.id):
        store.set_status(job_id, "running")
    with store.own(one.id), store.own(twice[0]), store.own(twice[1]):
        assert names(api, SortBy="Name", SortOrder="Ascending") == ["once", *sorted(twice)]
        for found in api(LIST)["InferenceRecommendationsJobs"]:
            same = api("DescribeInferenceRecommendationsJob", JobName=found["JobName"])
            assert {key: found[key] for key in ("JobArn", "JobType", "RoleArn", "Status")} == {
                key: same[key] for key in ("JobArn", "JobType", "RoleArn", "Status")
            }


def test_every_filter_lets_through_what_it_says(api: Api):
    keep(api, "a-resnet", created="01-01T00:00:00")
    keep(api, "b-bert", "stopped", created="01-02T00:00:00", ModelName="bert")
    keep(api, "c-pack", created="01-03T00:00:00", ModelName=None, ModelPackageVersionArn=PACKAGE)
    day = 1_767_225_600.0  # 2026-01-01
    for request, found in (
        ({"NameContains": "be"}, ["b-bert"]),
        ({"StatusEquals": "STOPPED"}, ["b-bert"]),
        ({"StatusEquals": "PENDING"}, []),
        ({"ModelNameEquals": "bert"}, ["b-bert"]),
        ({"ModelNameEquals": "ber"}, []),
        ({"ModelPackageVersionArnEquals": PACKAGE}, ["c-pack"]),
        ({"CreationTimeAfter": day + 86_400}, ["c-pack", "b-bert"]),
        ({"CreationTimeBefore": day + 86_400}, ["a-resnet"]),
        ({"LastModifiedTimeAfter": day + 86_401}, ["c-pack"]),
        ({"LastModifiedTimeBefore": day + 86_401}, ["b-bert", "a-resnet"]),
        ({"CreationTimeAfter": day + 1, "ModelNameEquals": "bert"}, ["b-bert"]),
    ):
        assert names(api, **request) == found, request


def test_the_newest_come_first_unless_asked_otherwise(api: Api):
    for name in ("b", "c", "a"):  # within one second: still in the order of making
        keep(api, name, created="01-01T00:00:00")
    assert names(api) == ["a", "c", "b"]
    assert names(api, SortOrder="Ascending") == ["b", "c", "a"]
    assert names(api, SortBy="CreationTime") == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("by", "ascending"),
    [("Name", ["a", "b", "c"]), ("CreationTime", ["b", "c", "a"]), ("Status", ["c", "b", "a"])],
)
def test_every_order_goes_both_ways(api: Api, by: str, ascending: list[str]):
    for name, status in (("b", "failed"), ("c", "completed"), ("a", "stopped")):
        keep(api, name, status)
    assert names(api, SortBy=by, SortOrder="Ascending") == ascending
    assert names(api, SortBy=by, SortOrder="Descending") == ascending[::-1]


@pytest.mark.parametrize("by", ["Name", "CreationTime", "Status"])
@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_pages_walk_every_job_once(api: Api, by: str, order: str):
    with api.context.registry.together():
        for number in range(250):
            keep(api, f"job-{number}", ["completed", "failed"][number % 2])
    pages = api.pages(LIST, SortBy=by, SortOrder=order)
    found = [job["JobName"] for page in pages for job in page["InferenceRecommendationsJobs"]]
    assert [len(page["InferenceRecommendationsJobs"]) for page in pages] == [100, 100, 50]
    assert len(set(found)) == 250
    pages = api.pages(LIST, SortBy=by, SortOrder=order, PaginationConfig={"PageSize": 60})
    again = [job["JobName"] for page in pages for job in page["InferenceRecommendationsJobs"]]
    assert again == found


def test_jobs_that_are_added_meanwhile_shift_nothing(api: Api):
    for number in range(6):
        keep(api, f"job-{number}")
    first = api(LIST, MaxResults=2)
    keep(api, "a-new-one")
    rest = api(LIST, MaxResults=10, NextToken=first["NextToken"])
    shown = [
        job["JobName"] for page in (first, rest) for job in page["InferenceRecommendationsJobs"]
    ]
    assert shown == [f"job-{number}" for number in (5, 4, 3, 2, 1, 0)]


def test_only_the_jobs_that_are_shown_have_their_locks_asked(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    for number in range(20):
        job = api.context.store.create_job(f"job-{number}", "advanced", {}, {})
        api.context.store.set_status(job.id, "running")
    asked: list[str] = []
    monkeypatch.setattr(
        type(api.context.store), "is_owned", lambda store, job_id: bool(asked.append(job_id))
    )
    api(LIST, MaxResults=3)
    assert len(asked) == 3


def test_a_wrong_token_is_refused(api: Api):
    assert api.refusal(LIST, NextToken="nonsense").code == "ValidationException"
