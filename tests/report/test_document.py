"""The JSON documents: their fields are a contract (design section 7)."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from rightsizer.candidates import Candidate
from rightsizer.inventory import THIS_MACHINE
from rightsizer.placing import NotRunnable
from rightsizer.plan import Plan, PlannedTrial, Refusal
from rightsizer.report.document import job_document, plain, trial_folder
from rightsizer.report.plan_document import plan_document
from rightsizer.schedule import closed_step

from .jobs import (
    PLACEMENT,
    assert_golden,
    demo_trials,
    failed,
    make_job,
    measured,
    variables,
)

RECOMMENDATION = {
    "rank",
    "instance_type",
    "environment",
    "basis",
    "provenance",
    "max_invocations_per_min",
    "max_invocations_per_min_ci",
    "max_kind",
    "percentile",
    "model_latency_ms",
    "model_latency_ms_ci",
    "unloaded_latency_ms",
    "price_per_hour_usd",
    "price_basis",
    "cost_per_inference_usd",
    "cost_per_inference_usd_ci",
    "fleet",
    "p_best",
    "tied_with_best",
    "cpu_utilization_percent",
    "memory_utilization_percent",
    "curve",
    "doubts",
}
FLEET = {
    "instance_count",
    "instance_count_at_70_percent",
    "max_invocations_per_min",
    "cost_per_hour_usd",
    "cost_per_month_usd",
    "cost_per_inference_at_target_usd",
    "utilisation_at_target_ratio",
}
STEP = {
    "mode",
    "users",
    "rate_per_s",
    "achieved_per_s",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "latency_ms_ci",
    "error_ratio",
    "n",
    "by_payload",
    "verdict",
    "doubts",
}
TRIAL = {
    "id",
    "instance_type",
    "environment",
    "host",
    "state",
    "reason",
    "detail",
    "steps",
    "requests",
    "samples",
    "wall_s",
}


@pytest.fixture
def document():
    return job_document(make_job())


def test_the_job_document_has_the_contracts_fields(document):
    assert document["schema"] == "rightsizer/job/1"
    top = {"schema", "job", "recommendations", "rejected", "trials", "effects", "doubts"}
    top |= {"interactions", "unknown_effects"}
    assert set(document) == top
    assert set(document["job"]) == {"id", "name", "type", "status", "created", "spec", "choice"}


def test_a_recommendation_has_the_contracts_fields(document):
    row = document["recommendations"][0]
    assert set(row) >= RECOMMENDATION
    assert set(row["fleet"]) >= FLEET
    curve = {"rate_per_s", "p50_ms", "p95_ms", "p99_ms", "cpu_utilization_percent"}
    assert set(row["curve"][0]) == curve
    doubt = {"code", "severity", "message", "figures", "next_step"}
    assert set(row["doubts"][0]) == doubt


def test_a_trial_and_its_steps_have_the_contracts_fields(document):
    trial = document["trials"][0]
    assert set(trial) >= TRIAL
    assert set(trial["steps"][0]) >= STEP
    requests = {"attempted", "succeeded", "failed", "timed_out", "unfinished", "dropped"}
    assert set(trial["requests"]) == requests


def test_a_rejected_candidate_says_why(document):
    (row,) = document["rejected"]
    assert set(row) >= {"instance_type", "environment", "reason", "detail"}
    assert row["environment"] == variables("2", "1")
    assert row["reason"] == "crashed"


def test_numbers_are_not_rounded():
    third = 1000.0 / 3.0
    document = job_document(make_job((measured(1, {}, third),)))
    assert document["recommendations"][0]["max_invocations_per_min"] == third


def test_what_is_not_finite_is_null():
    trial = measured(1, {}, 800.0, unloaded_latency_ms=math.nan, model_latency_ms_ci=(1, math.inf))
    row = job_document(make_job((trial,)))["recommendations"][0]
    assert row["unloaded_latency_ms"] is None
    assert row["model_latency_ms_ci"] == [1, None]


def test_enums_are_strings_and_tuples_lists(document):
    trial = document["trials"][3]
    assert (type(trial["state"]), trial["state"]) == (str, "failed")
    assert (type(trial["reason"]), trial["reason"]) == (str, "crashed")
    assert isinstance(document["recommendations"][0]["max_invocations_per_min_ci"], list)


def test_the_document_survives_strict_json(document):
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_a_trials_samples_are_a_folder_where_there_are_any():
    job = make_job((measured(1, {}, 800.0), failed(2, {})))
    first, second = job_document(job)["trials"]
    assert first["samples"] == trial_folder(job, job.trials[0])
    assert first["sample_files"] == [first["samples"] + "/samples-0.bin"]
    assert second["samples"] is None


def test_the_spec_keeps_secrets_as_names_only(document):
    environment = document["job"]["spec"]["server"]["environment"]
    assert environment == {"API_TOKEN": {"secret": "API_TOKEN"}}


def test_a_value_whose_name_says_secret_is_not_told():
    job = make_job()
    environment = {"DB_PASSWORD": "hunter2", "LEVEL": "3", "API_KEY": {"secret": "MINE"}}
    told = job_document(replace(job, spec={**job.spec, "server": {"environment": environment}}))
    found = told["job"]["spec"]["server"]["environment"]
    assert found == {"DB_PASSWORD": "***", "LEVEL": "3", "API_KEY": {"secret": "MINE"}}


def test_the_document_reads_as_the_golden_one(document):
    assert_golden("job.json", json.dumps(document, indent=2, allow_nan=False) + "\n")


def test_plain_leaves_integers_strings_and_booleans_alone():
    assert plain({"a": (1, "x", True, None, 0.5)}) == {"a": [1, "x", True, None, 0.5]}


def make_plan() -> Plan:
    runnable, refused = demo_trials()[0].candidate, Candidate("c9", "ml.g4dn.xlarge", {})
    why = str(NotRunnable("ml.g4dn.xlarge needs NVIDIA T4; no host here has it"))
    return Plan(
        trials=(PlannedTrial("t1", runnable, THIS_MACHINE, PLACEMENT),),
        refused=(Refusal("r1", refused, why),),
        steps=(closed_step(0, 1, 15.0), closed_step(1, 2, 15.0)),
        traffic_s=30.0,
    )


def test_the_plan_document_tells_where_each_candidate_runs_or_why_not():
    document = plan_document(make_plan())
    assert document["schema"] == "rightsizer/plan/1"
    runs, refused = document["candidates"]
    assert (runs["runnable"], runs["host"], runs["provenance"]) == (True, "local", "native")
    assert (runs["server_cpus"], runs["generator_cpus"]) == ([1], [0])
    assert (refused["runnable"], refused["host"]) == (False, None)
    assert "NVIDIA T4" in refused["why_not"]
    assert set(runs) == set(refused)


def test_the_plan_document_counts_steps_and_time():
    document = plan_document(make_plan())
    assert [step["users"] for step in document["steps"]] == [1, 2]
    assert document["steps"][0]["levels"] == [{"at_s": 0.0, "users": 1}]
    assert document["expected_s"] == make_plan().expected_s
    assert json.loads(json.dumps(document, allow_nan=False)) == document
