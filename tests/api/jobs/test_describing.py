"""What is said of jobs and of their tests: stored ones, that ran on fake hosts and traffic."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rightsizer
from rightsizer.api.jobs import describing, rows
from rightsizer.errors import Reason, TrialFailed, TrialState
from rightsizer.fleets import Price
from rightsizer.jobs import resume
from rightsizer.loading import list_stored, load
from rightsizer.recommendation import Recommendation, recommend
from rightsizer.report.document import job_document
from rightsizer.report.table import result_table
from rightsizer.spec import TargetSpec
from rightsizer.stop_switch import StopSwitch
from rightsizer.traffic.fake import FakeServer

from tests.api.calls import Api
from tests.api.jobs.made import (
    TYPES,
    ask,
    ask_default,
    config,
    head_of,
    opened,
    threads_of,
    work_on,
)
from tests.api.jobs.requests import threads
from tests.fakes import fake_outside, write_job

DESCRIBE = "DescribeInferenceRecommendationsJob"
STEPS = "ListInferenceRecommendationsJobSteps"
ID = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,63}\/\w{8}$"
EVERY = [threads("1", "2", instance_type=name) for name in TYPES]
GOLDEN = Path(__file__).parents[2] / "golden" / "cost-rows.json"
WITHIN = {"ModelLatencyThresholds": [{"Percentile": "P95", "ValueInMilliseconds": 120}]}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture
def done(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """With a job called `done`: two trials, each for three types, and a target."""
    ask(api, "done", EndpointConfigurations=EVERY, stopping={**WITHIN, "MaxInvocations": 3000})
    work_on(api, "done", monkeypatch)
    return api


def described(api: Api, name: str = "done") -> dict[str, Any]:
    return api(DESCRIBE, JobName=name)


def steps(api: Api, name: str = "done", **request: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api(STEPS, JobName=name, **request)["Steps"]
    return found


def test_a_recommendation_has_the_fleets_metrics(done: Api):
    found = described(done)
    assert found["Status"] == "COMPLETED"
    assert found["CompletionTime"] == found["LastModifiedTime"] >= found["CreationTime"]
    assert "FailureReason" not in found
    best = found["InferenceRecommendations"][0]
    # 50 ms a request and one user within 120 ms: 1200 a minute, and 3000 are wanted
    assert best["EndpointConfiguration"]["InstanceType"] == "ml.c5.large"
    assert best["EndpointConfiguration"]["InitialInstanceCount"] == 3
    assert best["Metrics"]["MaxInvocations"] == 3600
    assert best["Metrics"]["CostPerHour"] == pytest.approx(3 * 0.102)
    assert best["Metrics"]["ModelLatency"] == 50
    assert best["ModelConfiguration"]["EnvironmentParameters"] == [
        {"Key": "OMP_NUM_THREADS", "ValueType": "String", "Value": "2"}
    ]
    for one in found["InferenceRecommendations"]:
        metrics = one["Metrics"]
        assert metrics["CostPerInference"] == pytest.approx(
            metrics["CostPerHour"] / (60 * metrics["MaxInvocations"]), rel=0.01
        )
        assert one["InvocationStartTime"] <= one["InvocationEndTime"] <= found["CompletionTime"]


def test_the_ids_and_endpoints_of_recommendations_are_their_own(done: Api):
    found = described(done)["InferenceRecommendations"]
    ids = [one["RecommendationId"] for one in found]
    assert len(found) == len(set(ids)) == 6
    assert all(re.fullmatch(ID, one) and one.startswith("done/") for one in ids)
    names = {one["EndpointConfiguration"]["EndpointName"] for one in found}
    tested = {
        one["InferenceBenchmark"]["EndpointConfiguration"]["EndpointName"] for one in steps(done)
    }
    assert names == tested
    assert len(names) == 6
    assert all(name.startswith("sm-epc-") for name in names)


def test_an_endpoint_has_one_name_everywhere_and_no_other_job_shares_it(
    done: Api, monkeypatch: pytest.MonkeyPatch
):
    ask(done, "again", EndpointConfigurations=EVERY, stopping={**WITHIN, "MaxInvocations": 3000})
    work_on(done, "again", monkeypatch)
    first, second = (
        [
            one["EndpointConfiguration"]["EndpointName"]
            for one in described(done, name)["InferenceRecommendations"]
        ]
        for name in ("done", "again")
    )
    assert not set(first) & set(second)
    assert load("done", store=done.context.store.folder).frame()["EndpointName"].to_list() == first


def test_at_most_ten_are_recommended(api: Api, monkeypatch: pytest.MonkeyPatch):
    ranges = {"CategoricalParameterRanges": [{"Name": "X", "Value": ["1", "2", "3"]}]}
    two = {"CategoricalParameterRanges": [{"Name": "Y", "Value": ["1", "2", "3"]}]}
    configurations = [
        {"InstanceType": name, "EnvironmentParameterRanges": one}
        for name in TYPES
        for one in (ranges, two)
    ]
    ask(api, "many", EndpointConfigurations=configurations)
    work_on(api, "many", monkeypatch)
    assert len(described(api, "many")["InferenceRecommendations"]) == 10
    assert len(steps(api, "many")) == 18


def test_parameters_are_there_where_there_are_none(api: Api, monkeypatch: pytest.MonkeyPatch):
    ask_default(api, "plain")
    work_on(api, "plain", monkeypatch)
    found = described(api, "plain")
    assert found["JobType"] == "Default"
    assert found["InferenceRecommendations"]
    for one in found["InferenceRecommendations"]:
        assert one["ModelConfiguration"] == {"EnvironmentParameters": []}


def test_the_references_own_rows_come_out_as_they_were_published(done: Api):
    [trial, *_] = done.context.store.trials(head_of(done, "done").id)
    assert trial.figures is not None
    for golden in json.loads(GOLDEN.read_text())["rows"]:
        count = golden["initial_instance_count"]
        figures = replace(
            trial.figures,
            max_invocations_per_min=golden["max_invocations_per_min"] / count,
            model_latency_ms=float(golden["model_latency_ms"]),
        )
        price = Price(golden["cost_per_hour_usd"] / count, "file")
        target = golden.get("target_invocations_per_min")
        [row], _ = recommend(
            [replace(trial, figures=figures, twins=())],
            {trial.candidate.instance_type: price}.__getitem__,
            TargetSpec(invocations_per_min=target) if target else None,
        )
        found = rows.recommendation("job", "job-1", row, rows.Stretch())
        assert found["EndpointConfiguration"]["InitialInstanceCount"] == count
        metrics = found["Metrics"]
        cost = pytest.approx(golden["cost_per_inference_usd"], rel=5e-4)
        assert metrics["CostPerHour"] == pytest.approx(golden["cost_per_hour_usd"])
        assert metrics["CostPerInference"] == cost
        assert metrics["MaxInvocations"] == golden["max_invocations_per_min"]
        assert metrics["ModelLatency"] == golden["model_latency_ms"]


def test_what_is_not_known_is_nan(done: Api):
    row: Recommendation = load("done", store=done.context.store.folder).recommendations[0]
    unknown = replace(
        row,
        cost_per_inference_usd=None,
        fleet=replace(row.fleet, cost_per_hour_usd=None),
        cpu_utilization_percent=None,
        memory_utilization_percent=None,
    )
    metrics = rows.metrics(unknown)
    names = ("CostPerHour", "CostPerInference", "CpuUtilization", "MemoryUtilization")
    assert all(math.isnan(metrics[name]) for name in names)


def test_nothing_within_the_limits_has_failed_and_says_why(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    threshold = [{"Percentile": "P95", "ValueInMilliseconds": 10}]
    ask(api, "slow", stopping={"ModelLatencyThresholds": threshold})
    work_on(api, "slow", monkeypatch)
    found = described(api, "slow")
    assert found["Status"] == "FAILED"
    assert "limit-unmet" in found["FailureReason"]
    assert "InferenceRecommendations" not in found
    assert {one["Status"] for one in steps(api, "slow")} == {"FAILED"}


def test_a_server_that_cannot_start_is_told_with_the_end_of_its_log(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    fault = TrialFailed(Reason.EXITED_AT_START, "it exited with 1", "Traceback\nno such model")
    ask(api, "broken")
    work_on(api, "broken", monkeypatch, outcome=lambda launch: fault)
    for said in (
        described(api, "broken")["FailureReason"],
        steps(api, "broken")[0]["InferenceBenchmark"]["FailureReason"],
    ):
        assert "it exited with 1" in said
        assert "no such model" in said
    assert not [one for one in steps(api, "broken") if "Metrics" in one["InferenceBenchmark"]]


def test_a_payload_that_is_not_there_fails_the_job_with_the_references_word(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    ask(api, "new")
    (api.context.base_dir / "payload.tar.gz").unlink()
    work_on(api, "new", monkeypatch)
    found = described(api, "new")
    assert found["Status"] == "FAILED"
    assert found["FailureReason"].startswith("PayloadError")
    [doubt] = describing.ended_job(api.context.store, head_of(api, "new")).doubts
    assert (doubt.code, doubt.next_step) == ("cut-short", "create a new job")  # resume refuses it


def test_what_no_host_offers_fails_before_anything_is_fetched(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    given = {**config(api), "SupportedInstanceTypes": ["ml.c5.large"]}
    ask_default(api, "new", ContainerConfig=given)
    ask(api, "given")
    (api.context.base_dir / "hosts.yaml").write_text("hosts: [{name: local}]\n")
    for name in ("new", "given"):
        work_on(api, name, monkeypatch)
        found = described(api, name)
        assert found["Status"] == "FAILED"
        assert "stand-in" in found["FailureReason"]
        assert not (api.context.store.job_dir(head_of(api, name).id) / "inputs").exists()


def test_a_stopped_job_has_what_it_measured_until_then(api: Api, monkeypatch: pytest.MonkeyPatch):
    switch = StopSwitch()
    served: list[str] = []

    def behaviour(environment: Any) -> FakeServer:
        served.append(environment["OMP_NUM_THREADS"])
        if "2" in served:  # the second candidate
            switch.press()
            switch.press()
        return threads_of(environment)

    ask(api, "cut", EndpointConfigurations=[threads("1", "2")])
    work_on(api, "cut", monkeypatch, behaviour=behaviour, switch=switch)
    found = described(api, "cut")
    assert found["Status"] == "STOPPED"
    assert "FailureReason" not in found
    [one] = found["InferenceRecommendations"]
    assert one["ModelConfiguration"]["EnvironmentParameters"][0]["Value"] == "1"
    assert [step["Status"] for step in steps(api, "cut")] == ["COMPLETED", "STOPPED"]


def test_an_existing_endpoint_has_a_performance_and_no_recommendation(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    ask(api, "mine", EndpointConfigurations=None, Endpoints=[{"EndpointName": "mine"}])
    work_on(api, "mine", monkeypatch)
    found = described(api, "mine")
    assert "InferenceRecommendations" not in found
    [one] = found["EndpointPerformances"]
    assert one["EndpointInfo"] == {"EndpointName": "mine"}
    assert one["Metrics"] == {"MaxInvocations": 1200, "ModelLatency": 50}
    [step] = steps(api, "mine")
    assert step["InferenceBenchmark"]["EndpointMetrics"] == one["Metrics"]
    assert "Metrics" not in step["InferenceBenchmark"]
    assert step["InferenceBenchmark"]["EndpointConfiguration"]["EndpointName"] == "mine"


def test_a_running_job_is_not_ranked_and_an_ended_one_once(
    done: Api, monkeypatch: pytest.MonkeyPatch
):
    ranked = []
    really = describing.assemble
    monkeypatch.setattr(
        describing, "assemble", lambda *given: ranked.append(given[1].id) or really(*given)
    )
    ask(done, "new")
    done.context.store.set_status(head_of(done, "new").id, "running")
    assert described(done, "new")["Status"] == "IN_PROGRESS"
    assert ranked == []
    describing.ended_job.cache_clear()
    for _ in range(3):
        described(done)
    assert ranked == [head_of(done, "done").id]


def test_a_job_that_is_taken_up_again_is_described_anew(api: Api, tmp_path: Path):
    folder = api.context.store.folder
    fault = TrialFailed(Reason.EXITED_AT_START, "it exited with 1")
    failing = fake_outside(outcome=lambda launch: fault)
    job = rightsizer.run(write_job(tmp_path), store=folder, outside=failing)
    assert described(api, "demo")["Status"] == "FAILED"
    for trial in api.context.store.trials(job.id):
        again = replace(trial, state=TrialState.INTERRUPTED, reason=None)
        api.context.store.save_trial(job.id, again)
    resume(job.id, store=folder, outside=fake_outside())
    found = described(api, "demo")
    assert found["Status"] == "COMPLETED"
    assert len(found["InferenceRecommendations"]) == 2


def test_a_job_of_an_older_store_that_found_nothing_has_failed(api: Api, tmp_path: Path):
    store = api.context.store
    fault = TrialFailed(Reason.EXITED_AT_START, "it exited with 1")
    failing = fake_outside(outcome=lambda launch: fault)
    job = rightsizer.run(write_job(tmp_path), store=store.folder, outside=failing)
    store.set_failure(job.id, "")  # which older ones never say
    found = described(api, "demo")
    assert found["Status"] == "FAILED"
    assert found["FailureReason"] == "no candidate can be recommended"
    assert found["CompletionTime"] >= found["CreationTime"]


def test_jobs_of_the_command_line_are_told_by_name_or_where_names_repeat_by_id(
    api: Api, tmp_path: Path
):
    path, folder = write_job(tmp_path), api.context.store.folder
    first = rightsizer.run(path, store=folder, outside=fake_outside())
    found = described(api, "demo")
    assert found["JobType"] == "Advanced"
    assert found["RoleArn"] == "arn:aws:iam::000000000000:role/rightsizer-command-line"
    assert found["InputConfig"] == {}
    assert found["InferenceRecommendations"][0]["EndpointConfiguration"]["InstanceType"] == (
        "local.1cpu"
    )
    second = rightsizer.run(path, store=folder, outside=fake_outside())
    fault = api.refusal(DESCRIBE, JobName="demo")
    assert fault.code == "ResourceNotFound"
    assert "2 jobs of the command line share it: give an id" in fault.message
    for job in (first, second):
        assert described(api, job.id)["JobArn"].endswith(job.id)


def test_a_job_of_the_api_is_shown_by_the_command_line_as_the_api_shows_it(done: Api):
    folder = done.context.store.folder
    job = load("done", store=folder)
    found = described(done)["InferenceRecommendations"]
    document = job_document(job)
    assert document["job"]["status"] == "completed"
    for row, one in zip(document["recommendations"], found, strict=True):
        assert row["instance_type"] == one["EndpointConfiguration"]["InstanceType"]
        assert row["cost_per_inference_usd"] == one["Metrics"]["CostPerInference"]
        assert (
            math.floor(row["fleet"]["max_invocations_per_min"])
            == (one["Metrics"]["MaxInvocations"])
        )
    assert "ml.c5.large" in result_table(job, 200)
    assert "ml.c5.large" in job.html()
    [line] = list_stored(store=folder)
    assert (line.name, line.status) == ("done", "completed")


def test_a_job_of_the_api_that_waits_is_shown_by_the_command_line(api: Api):
    ask_default(api, "waits")
    folder = api.context.store.folder
    assert [line.status for line in list_stored(store=folder)] == ["pending"]
    assert load("waits", store=folder).recommendations == ()
    assert "waits" in load("waits", store=folder).html()


# -- steps -------------------------------------------------------------------------------------


def test_there_is_a_step_for_each_trial_and_type(done: Api):
    found = [one["InferenceBenchmark"] for one in steps(done)]
    tested = {
        (
            one["EndpointConfiguration"]["InstanceType"],
            one["ModelConfiguration"]["EnvironmentParameters"][0]["Value"],
        )
        for one in found
    }
    assert tested == {(name, value) for name in TYPES for value in ("1", "2")}
    assert len(found) == 6
    recommended = described(done)["InferenceRecommendations"]
    for one in recommended:
        [same] = [
            benchmark
            for benchmark in found
            if benchmark["EndpointConfiguration"] == one["EndpointConfiguration"]
        ]
        assert same["Metrics"] == one["Metrics"]


def test_finals_are_steps_of_their_own(done: Api):
    store, head = done.context.store, head_of(done, "done")
    trial = store.trials(head.id)[0]
    store.save_trial(head.id, replace(trial, id="final", ordinal=9, stage="final", block=1))
    found = steps(done)
    assert len(found) == 9
    assert {one["Status"] for one in found} == {"COMPLETED"}


def test_steps_are_filtered_and_come_by_pages(done: Api):
    store, head = done.context.store, head_of(done, "done")
    trial = store.trials(head.id)[1]
    store.save_trial(head.id, replace(trial, state=TrialState.STOPPED, figures=None))
    assert [one["Status"] for one in steps(done, Status="STOPPED")] == ["STOPPED"] * 3
    assert len(steps(done, Status="COMPLETED")) == 3
    assert steps(done, Status="PENDING") == []
    pages = done.pages(STEPS, JobName="done", MaxResults=2)
    assert [len(one["Steps"]) for one in pages] == [2, 2, 2]
    assert [step for one in pages for step in one["Steps"]] == steps(done)


@pytest.mark.parametrize(
    ("state", "while_running", "ended"),
    [
        (TrialState.RUNNING, "IN_PROGRESS", "STOPPED"),
        (TrialState.INTERRUPTED, "PENDING", "STOPPED"),
        (TrialState.STOPPED, "STOPPED", "STOPPED"),
        (TrialState.FAILED, "FAILED", "FAILED"),
        (TrialState.INVALID, "FAILED", "FAILED"),
    ],
)
def test_a_steps_status_is_its_trials(done: Api, state: TrialState, while_running: str, ended: str):
    store, head = done.context.store, head_of(done, "done")
    reason = Reason.EXITED_AT_START if state is TrialState.FAILED else None
    trial = replace(store.trials(head.id)[0], state=state, figures=None, reason=reason)
    store.save_trial(head.id, trial)
    first = steps(done)[0]
    assert first["Status"] == ended
    assert ("FailureReason" in first["InferenceBenchmark"]) is (ended == "FAILED")
    store.set_status(head.id, "running")
    assert steps(done)[0]["Status"] == while_running


def test_a_job_that_waits_has_no_steps(api: Api):
    ask_default(api, "waits")
    assert steps(api, "waits") == []


def test_steps_of_a_job_that_nobody_has_are_not_found(api: Api):
    assert api.refusal(STEPS, JobName="nobody").code == "ResourceNotFound"
    assert api.refusal(DESCRIBE, JobName="nobody").code == "ResourceNotFound"
