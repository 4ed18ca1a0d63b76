"""The log streams and tags of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rightsizer.api.jobs.journal import lines_of, tags_of
from rightsizer.store import Store

from tests.api.calls import Api
from tests.api.jobs.made import TYPES, ask, head_of, opened, work_on
from tests.api.jobs.requests import threads

GROUP = "/aws/sagemaker/InferenceRecommendationsJobs"
EVERY = [threads("1", "2", instance_type=name) for name in TYPES]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture
def done(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """With a job called `done`: two trials, each for three types."""
    ask(api, "done", EndpointConfigurations=EVERY)
    work_on(api, "done", monkeypatch)
    return api


def told(api: Api, stream: str) -> list[str]:
    """A stream by GetLogEvents, page by page from its head."""
    found: list[str] = []
    request: dict[str, Any] = {"startFromHead": True, "limit": 3}
    while True:
        page = api("GetLogEvents", logGroupName=GROUP, logStreamName=stream, **request)
        if not page["events"]:
            return found
        found += [event["message"] for event in page["events"]]
        request = {"nextToken": page["nextForwardToken"], "limit": 3}


def test_a_job_that_waits_says_that_it_is_queued(api: Api):
    ask(api, "new")
    assert told(api, "new/execution") == [f"job new is queued as {head_of(api, 'new').id}"]


def test_an_ended_job_tells_its_trials_then_its_recommendations_then_each_doubt_once(done: Api):
    found = told(done, "done/execution")
    kinds = ["queued", "2 trials", "server ready", "is COMPLETED", "recommendation 1", "doubt ("]
    at = [next(i for i, line in enumerate(found) if kind in line) for kind in kinds]
    assert at == sorted(at)
    assert len([line for line in found if line.startswith("recommendation ")]) == 6
    doubts = [line.split(": ")[1] for line in found if line.startswith("doubt ")]
    assert "stand-in" in doubts
    assert len(doubts) == len(set(doubts))
    assert len(found) == len(set(found))


def test_a_failed_job_says_why(api: Api, monkeypatch: pytest.MonkeyPatch):
    ask(api, "new")
    (api.context.base_dir / "payload.tar.gz").unlink()
    work_on(api, "new", monkeypatch)
    _, failed, *_ = told(api, "new/execution")
    assert failed.startswith("job new is FAILED: PayloadError")


def test_lines_only_grow_at_their_end_while_a_job_goes_on(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    seen: list[list[str]] = []

    def look() -> None:
        lines = lines_of(api.context, GROUP, "grows/execution")
        assert lines is not None
        assert [line.at_ms for line in lines] == sorted(line.at_ms for line in lines)
        seen.append([line.message for line in lines])

    for name in ("add_event", "set_status", "save_trial", "set_failure"):
        really = getattr(Store, name)

        def then_look(self: Store, *given: Any, _really: Any = really, **more: Any) -> None:
            _really(self, *given, **more)
            look()

        monkeypatch.setattr(Store, name, then_look)
    ask(api, "grows", EndpointConfigurations=EVERY)
    work_on(api, "grows", monkeypatch)
    assert len(seen) > 10
    assert any("is COMPLETED" in line for line in seen[-1])
    for before, after in pairwise(seen):
        assert after[: len(before)] == before


def test_an_endpoints_stream_has_its_own_trial_alone(done: Api):
    steps = done("ListInferenceRecommendationsJobSteps", JobName="done")["Steps"]
    for step in steps:
        benchmark = step["InferenceBenchmark"]
        value = benchmark["ModelConfiguration"]["EnvironmentParameters"][0]["Value"]
        stream = f"done/Endpoint/{benchmark['EndpointConfiguration']['EndpointName']}"
        found = told(done, stream)
        assert found
        other = {"1": "2", "2": "1"}[value]
        assert any(f"OMP_NUM_THREADS={value}" in line for line in found)
        assert not any(f"OMP_NUM_THREADS={other}" in line for line in found)


def test_an_existing_endpoint_has_its_stream_under_its_own_name(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    ask(api, "mine", EndpointConfigurations=None, Endpoints=[{"EndpointName": "mine"}])
    work_on(api, "mine", monkeypatch)
    assert any("server ready" in line for line in told(api, "mine/Endpoint/mine"))


@pytest.mark.parametrize(
    ("group", "stream"),
    [
        (GROUP, "nobody/execution"),
        (GROUP, "done"),
        (GROUP, "done/"),
        (GROUP, "done/else"),
        (GROUP, "done/Endpoint/sm-epc-none"),
        (GROUP, "done/Endpoint"),
        (GROUP, "done/CompilationJob/x"),
        ("/aws/sagemaker/Endpoints", "done/execution"),
    ],
)
def test_there_is_no_other_stream(done: Api, group: str, stream: str):
    fault = done.refusal("GetLogEvents", logGroupName=group, logStreamName=stream)
    assert fault.code == "ResourceNotFoundException"


def test_the_engine_says_by_tags_what_a_result_is_worth(done: Api):
    arn = done("DescribeInferenceRecommendationsJob", JobName="done")["JobArn"]
    done("AddTags", ResourceArn=arn, Tags=[{"Key": "team", "Value": "vision"}])
    tags = {tag["Key"]: tag["Value"] for tag in done("ListTags", ResourceArn=arn)["Tags"]}
    assert tags["team"] == "vision"
    assert tags["rightsizer:job-id"] == head_of(done, "done").id
    assert tags["rightsizer:basis"] == "closed"
    assert tags["rightsizer:provenance"] == "stand-in"
    assert "by-price-only" in tags["rightsizer:doubts"].split()


def test_a_job_that_waits_has_its_id_as_a_tag(api: Api):
    ask(api, "new")
    assert tags_of(api.context, "new") == {"rightsizer:job-id": head_of(api, "new").id}
    assert tags_of(api.context, "nobody") is None
