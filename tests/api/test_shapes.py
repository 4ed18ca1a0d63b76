"""Requests and answers against the service model: what AWS would say, and what a client reads."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
import regex
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.parsers import ResponseParserFactory
from rightsizer.api import constraints, shapes
from rightsizer.api.faults import ApiFault
from rightsizer.api.operations import OPERATIONS

ROLE = "arn:aws:iam::123456789012:role/Rightsizer"
PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/resnets/1"
JOB = {"JobName": "j", "JobType": "Advanced", "RoleArn": ROLE}


def job(**more: Any) -> dict[str, Any]:
    return {**JOB, "InputConfig": {"ModelPackageVersionArn": PACKAGE}, **more}


def job_input(**more: Any) -> dict[str, Any]:
    return job(InputConfig={"ModelPackageVersionArn": PACKAGE, **more})


def read(operation: str, document: Any) -> dict[str, Any]:
    return shapes.read(f"SageMaker.{operation}", document)


def refusal(operation: str, document: Any) -> ApiFault:
    with pytest.raises(ApiFault) as caught:
        read(operation, document)
    return caught.value


def read_job(document: Any) -> dict[str, Any]:
    return read("CreateInferenceRecommendationsJob", document)


def refused_job(document: Any) -> ApiFault:
    return refusal("CreateInferenceRecommendationsJob", document)


# -- constraints -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {**JOB, "JobName": None, "InputConfig": {}},
            "Value null at 'jobName' failed to satisfy constraint: Member must not be null",
        ),
        (
            job(Tags=[{"Key": "", "Value": ""}]),
            "Value '' at 'tags.1.member.key' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
        ),
        (
            job(JobName="j" * 65),
            f"Value '{'j' * 65}' at 'jobName' failed to satisfy constraint: "
            "Member must have length less than or equal to 64",
        ),
        (
            job(JobName="no spaces"),
            "Value 'no spaces' at 'jobName' failed to satisfy constraint: Member must satisfy "
            "regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,63}",
        ),
        (
            job(JobType="Bogus"),
            "Value 'Bogus' at 'jobType' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Default, Advanced]",
        ),
        (
            job_input(JobDurationInSeconds=0),
            "Value '0' at 'inputConfig.jobDurationInSeconds' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
        ),
        (
            job_input(
                TrafficPattern={
                    "Stairs": {"DurationInSeconds": 120, "NumberOfSteps": 1, "UsersPerStep": 4}
                }
            ),
            "Value '4' at 'inputConfig.trafficPattern.stairs.usersPerStep' failed to satisfy "
            "constraint: Member must have value less than or equal to 3",
        ),
        (
            job_input(EndpointConfigurations=[{"InstanceType": "ml.m5.large"}] * 11),
            "at 'inputConfig.endpointConfigurations' failed to satisfy constraint: "
            "Member must have length less than or equal to 10",
        ),
        (
            job_input(EndpointConfigurations=[]),
            "Value '[]' at 'inputConfig.endpointConfigurations' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
        ),
        (
            job_input(EndpointConfigurations=[{}, {"InstanceType": "ml.moon.large"}]),
            "Value 'ml.moon.large' at 'inputConfig.endpointConfigurations.2.member.instanceType' "
            "failed to satisfy constraint: Member must satisfy enum value set: [ml.",
        ),
        (
            job(Tags=[{"Key": "team"}]),
            "Value null at 'tags.1.member.value' failed to satisfy constraint: "
            "Member must not be null",
        ),
    ],
)
def test_a_constraint_that_is_broken_is_told_in_the_references_words_with_its_path(document, words):
    refused = refused_job(document)
    assert refused.code == "ValidationException"
    assert refused.status == 400
    assert refused.message.startswith("1 validation error detected: Value ")
    assert words in refused.message


def test_keys_and_values_of_a_map_are_told_by_the_map_and_by_the_key():
    environment = {"1st": "a", "SECOND": "v" * 1025}
    container = {"Image": "i", "Environment": environment}
    refused = refusal("CreateModel", {"ModelName": "m", "PrimaryContainer": container})
    assert refused.message.startswith("2 validation errors detected: ")
    assert (
        "Value '1st' at 'primaryContainer.environment' failed to satisfy constraint: Member must "
        "satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*" in refused.message
    )
    assert "at 'primaryContainer.environment.SECOND.member' failed" in refused.message


def test_all_that_is_broken_is_told_at_once():
    refused = refused_job({"JobType": "Bogus", "RoleArn": "me"})
    assert refused.message.startswith("5 validation errors detected: ")
    for at in ("jobName", "inputConfig", "jobType"):
        assert f"at '{at}'" in refused.message
    assert refused.message.count("at 'roleArn'") == 2  # too short, and no role


def test_a_long_enum_is_shortened_and_told_after_everything_else():
    endpoints = [{"InstanceType": "ml.moon.large"}] * 3
    document = job_input(EndpointConfigurations=endpoints, JobDurationInSeconds=0)
    refused = refused_job({**document, "JobType": "Bogus"})
    assert refused.message.startswith("5 validation errors detected: Value ")
    assert regex.search(r"value set: \[ml\.[^\]]*, \.\.\., and \d{3} more\]", refused.message)
    first_long = refused.message.index("ml.moon.large")
    for at in ("jobType", "inputConfig.jobDurationInSeconds"):
        assert 0 <= refused.message.index(f"at '{at}'") < first_long
    assert refused.message.count("ml.moon.large") == 3


def test_a_body_with_very_many_mistakes_is_refused_at_once():
    started_s = time.monotonic()
    refused = refusal("DeleteTags", {"ResourceArn": PACKAGE, "TagKeys": ["!"] * 200_000})
    assert time.monotonic() - started_s < 2
    assert refused.code == "ValidationException"
    assert len(refused.message) <= 1024


def test_what_keeps_all_constraints_comes_through_as_it_was_sent():
    document = job_input(
        EndpointConfigurations=[
            {
                "InstanceType": "ml.m5.large",
                "EnvironmentParameterRanges": {
                    "CategoricalParameterRanges": [{"Name": "OMP_NUM_THREADS", "Value": ["2", "4"]}]
                },
            }
        ],
        TrafficPattern={
            "TrafficType": "PHASES",
            "Phases": [{"InitialNumberOfUsers": 1, "SpawnRate": 0, "DurationInSeconds": 120}],
        },
    )
    assert read_job(document) == document


def test_text_of_any_language_is_text():
    tags = [{"Key": "équipe", "Value": "画像 кот"}]
    assert read("AddTags", {"ResourceArn": PACKAGE, "Tags": tags})["Tags"] == tags


@pytest.mark.parametrize(
    ("operation", "document"),
    [
        # digits and letters of other scripts, which Java's \d and \w do not know
        ("DescribeModelPackage", {"ModelPackageName": PACKAGE.replace("0", "\u0660")}),
        ("AddTags", {"ResourceArn": PACKAGE.replace("0", "\u0660"), "Tags": []}),
        ("CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE.replace("1", "\u0661")}),
        ("CreateModel", {"ModelName": "m\n"}),
    ],
)
def test_patterns_mean_what_they_mean_to_the_reference(operation, document):
    assert "regular expression pattern" in refusal(operation, document).message


# -- types -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "the body must be a JSON object"),
        ("JobName", "the body must be a JSON object"),
        (None, "the body must be a JSON object"),
        (job(JobName=7), "jobName must be a string, not integer"),
        (job(JobName=["j"]), "jobName must be a string, not list"),
        (job(InputConfig="x"), "inputConfig must be a structure, not string"),
        (job(Tags={}), "tags must be a list, not structure"),
        (job(Tags=[None]), "tags.1.member must be a structure, not null"),
        (job_input(JobDurationInSeconds="60"), "jobDurationInSeconds must be an integer, not str"),
        (job_input(JobDurationInSeconds=60.5), "jobDurationInSeconds must be an integer, not flo"),
        (job_input(JobDurationInSeconds=True), "jobDurationInSeconds must be an integer, not boo"),
        (job_input(JobDurationInSeconds=2**31), "jobDurationInSeconds is no integer of 32 bits"),
        (job(JobDescription="half \ud83d"), "jobDescription is no Unicode text"),
    ],
)
def test_a_value_of_another_type_is_a_serialization_exception(document, words):
    refused = refused_job(document)
    assert refused.code == "SerializationException"
    assert words in refused.message


def test_a_boolean_and_a_map_are_of_their_types_too():
    request = {"ModelName": "m", "EnableNetworkIsolation": 1}
    assert "must be a boolean" in refusal("CreateModel", request).message
    container = {"Environment": {"A": 1}}
    refused = refusal("CreateModel", {"ModelName": "m", "PrimaryContainer": container})
    assert refused.message == (
        "primaryContainer.environment.A.member must be a string, not integer"
    )
    container = {"Environment": {"\udc00": "1"}}
    refused = refusal("CreateModel", {"ModelName": "m", "PrimaryContainer": container})
    assert refused.code == "SerializationException"


def test_members_that_the_shape_does_not_know_are_dropped():
    known = job_input(JobDurationInSeconds=60)
    document = job_input(JobDurationInSeconds=60, Fancy={"a": [1]})
    assert read_job({**document, "New": 1}) == known


def test_a_member_that_is_null_is_not_given():
    assert read_job(job(JobDescription=None, Tags=None)) == job()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (1634000000.627, 1634000000.627),
        (1634000000, 1634000000.0),
        ("2021-10-12T00:53:20Z", 1634000000.0),
        ("2021-10-12T02:53:20.5+02:00", 1634000000.5),
        ("2021-10-12T00:53:20", 1634000000.0),
    ],
)
def test_timestamps_are_numbers_or_iso_strings_in_utc(given, seconds, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        request = {"CreationTimeAfter": given}
        found = read("ListInferenceRecommendationsJobs", request)["CreationTimeAfter"]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == seconds
    assert type(found) is float


@pytest.mark.parametrize("given", ["yesterday", "", True, [], {}, math.nan, math.inf, 10**400])
def test_what_is_no_time_is_a_serialization_exception(given):
    refused = refusal("ListInferenceRecommendationsJobs", {"CreationTimeAfter": given})
    assert refused.code == "SerializationException"
    assert refused.message == "creationTimeAfter is no timestamp"


# -- addresses ---------------------------------------------------------------------------------


def with_payload(url: str) -> dict[str, Any]:
    payload = {"SamplePayloadUrl": url, "SupportedContentTypes": ["image/jpeg"]}
    container = {"Domain": "D", "Task": "T", "Framework": "F", "PayloadConfig": payload}
    return job(InputConfig={"ModelName": "m", "ContainerConfig": container})


@pytest.mark.parametrize(
    "url", ["s3://b/k", "https://h/k", "http://127.0.0.1:9000/b/k", "file:///data/p.tar.gz"]
)
def test_an_address_of_a_file_or_of_http_passes_where_s3_does(url):
    assert read_job(with_payload(url)) == with_payload(url)
    model = {"ModelName": "m", "PrimaryContainer": {"Image": "i", "ModelDataUrl": url}}
    assert read("CreateModel", model) == model
    package = {"ModelPackageName": "p", "SourceUri": url + "?a=b"}
    if not url.startswith(("s3", "https")):
        assert read("CreateModelPackage", package) == package


@pytest.mark.parametrize("url", ["ftp://h/k", "data", "/data/p.tar.gz", "javascript:1", "s3:/b"])
def test_an_address_of_another_kind_does_not(url):
    refused = refused_job(with_payload(url))
    assert "regular expression pattern: (https|s3)://" in refused.message


def test_an_address_of_a_file_may_not_be_longer_than_others():
    assert (
        "less than or equal to 1024" in refused_job(with_payload("file:///" + "a" * 1024)).message
    )


# -- patterns ----------------------------------------------------------------------------------


def inputs() -> Iterator[Shape]:
    """All shapes that inputs of our operations are made of."""
    seen = set()

    def walk(shape: Shape) -> Iterator[Shape]:
        if shape.name in seen:
            return
        seen.add(shape.name)
        yield shape
        inner: list[Shape] = []
        if isinstance(shape, StructureShape):
            inner = list(shape.members.values())
        elif isinstance(shape, ListShape):
            inner = [shape.member]
        elif isinstance(shape, MapShape):
            inner = [shape.key, shape.value]
        for member in inner:
            yield from walk(member)

    for target in OPERATIONS:
        model = shapes.operation_model(target)
        assert model is not None
        yield from walk(model.input_shape)


def test_every_operation_is_one_of_the_service_models():
    assert {target for target in OPERATIONS if shapes.operation_model(target) is None} == set()
    for other in (
        "SageMaker.DoMagic",
        "SageMaker",
        "",
        "EC2.RunInstances",
        "SageMaker.CreateModel.",
    ):
        assert shapes.operation_model(other) is None


def test_every_pattern_of_their_inputs_compiles():
    patterns = {s.metadata["pattern"] for s in inputs() if "pattern" in s.metadata}
    assert len(patterns) > 30
    for pattern in patterns:
        regex.compile(pattern)


def test_inputs_are_of_no_type_that_is_not_read():
    assert {shape.type_name for shape in inputs()} <= {
        "structure", "list", "map", "string", "boolean", "integer", "long", "timestamp"
    }  # fmt: skip


def test_no_pattern_takes_long_on_the_longest_text_that_may_be(monkeypatch):
    monkeypatch.setattr(constraints, "MATCH_S", 60.0)
    slow = []
    for shape in inputs():
        if "pattern" not in shape.metadata:
            continue
        most = shape.metadata.get("max", 10_000)
        for piece in (
            "a",
            "-",
            "a-",
            "0.",
            "/",
            "arn:aws:sagemaker:us-east-1:000000000000:a/",
            " ",
        ):
            started_s = time.process_time()
            list(constraints.problems_of(shape, (piece * most)[: most - 1] + "\n"))
            if time.process_time() - started_s > 0.5:
                slow.append((shape.name, piece))
    assert slow == []


def test_a_text_that_is_too_long_is_not_matched():
    started_s = time.monotonic()
    refused = refused_job(job(JobName="a-" * 500_000))
    assert time.monotonic() - started_s < 1
    assert refused.message.startswith("1 validation error detected: Value 'a-a-")
    assert "pattern" not in refused.message


def test_a_pattern_that_takes_for_ever_counts_as_not_met(monkeypatch):
    monkeypatch.setattr(constraints, "MATCH_S", 0.05)
    shape = Shape("Explosive", {"type": "string", "pattern": "(a|a)*(a|aa)*b"})
    shape.enum = []
    started_s = time.monotonic()
    found = list(constraints.problems_of(shape, "a" * 100, "here"))
    assert time.monotonic() - started_s < 2
    assert len(found) == 1
    assert "at 'here'" in found[0]


# -- answers -----------------------------------------------------------------------------------

DESCRIBED = {
    "JobName": "j",
    "JobType": "Default",
    "JobArn": "arn:aws:sagemaker:us-east-1:000000000000:inference-recommendations-job/j",
    "RoleArn": ROLE,
    "Status": "COMPLETED",
    "CreationTime": 1634000000.627,
    "LastModifiedTime": 1634000001,
    "InputConfig": {"ModelName": "m"},
}


def described(**metrics: Any) -> dict[str, Any]:
    row = {
        "EndpointConfiguration": {
            "EndpointName": "e",
            "VariantName": "v",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        },
        "ModelConfiguration": {"EnvironmentParameters": []},
        "Metrics": metrics,
    }
    return {**DESCRIBED, "InferenceRecommendations": [row]}


def write(answer: Any, operation: str = "DescribeInferenceRecommendationsJob") -> bytes:
    return shapes.write(f"SageMaker.{operation}", answer)


def parsed(body: bytes) -> dict[str, Any]:
    model = shapes.operation_model("SageMaker.DescribeInferenceRecommendationsJob")
    response = {"status_code": 200, "headers": {}, "body": body}
    return ResponseParserFactory().create_parser("json").parse(response, model.output_shape)


def test_an_answer_is_what_a_client_reads():
    answer = described(CostPerHour=0.115, MaxInvocations=300, ModelLatency=41)
    found = parsed(write(answer))
    assert found["CreationTime"].timestamp() == 1634000000.627
    assert found["LastModifiedTime"].timestamp() == 1634000001
    metrics = found["InferenceRecommendations"][0]["Metrics"]
    assert metrics == {"CostPerHour": 0.115, "MaxInvocations": 300, "ModelLatency": 41}


def test_integers_stay_integers_and_floats_are_floats():
    body = json.loads(write(described(CostPerHour=1, MaxInvocations=300)))
    metrics = body["InferenceRecommendations"][0]["Metrics"]
    assert (metrics["CostPerHour"], type(metrics["CostPerHour"])) == (1.0, float)
    assert (metrics["MaxInvocations"], type(metrics["MaxInvocations"])) == (300, int)


def test_a_number_that_was_not_measured_is_nan_for_the_client():
    body = write(described(CpuUtilization=math.nan))
    assert b'"CpuUtilization": NaN' in body
    metrics = parsed(body)["InferenceRecommendations"][0]["Metrics"]
    assert math.isnan(metrics["CpuUtilization"])


def test_members_that_are_none_are_left_out():
    assert "FailureReason" not in json.loads(write({**DESCRIBED, "FailureReason": None}))


def test_an_operation_without_an_answer_answers_nothing():
    assert write({}, "StopInferenceRecommendationsJob") == b""
    with pytest.raises(ValueError, match="answers nothing"):
        write({"JobName": "j"}, "StopInferenceRecommendationsJob")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"Jobname": "j"}, "unknown members Jobname"),
        ({"JobName": None}, "without JobName"),
        ({"JobName": 1}, ".JobName is int, not string"),
        ({"JobName": b"j"}, ".JobName is bytes, not string"),
        ({"CreationTime": "now"}, ".CreationTime is str, not timestamp"),
        ({"CreationTime": math.nan}, ".CreationTime is float, not timestamp"),
        ({"CreationTime": True}, ".CreationTime is bool, not timestamp"),
        ({"InferenceRecommendations": {}}, ".InferenceRecommendations is dict, not list"),
        (described(MaxInvocations=1.0), "Metrics.MaxInvocations is float, not integer"),
        (described(MaxInvocations=True), "Metrics.MaxInvocations is bool, not integer"),
        (described(CostPerHour="0.1"), "Metrics.CostPerHour is str, not float"),
        ({"InputConfig": []}, ".InputConfig is list, not structure"),
    ],
)
def test_an_answer_of_another_shape_is_a_bug_of_ours(wrong, words):
    with pytest.raises(ValueError, match=regex.escape(words)):
        write({**DESCRIBED, **wrong})


def test_a_map_of_an_answer_has_text_for_keys():
    answer = {
        "ModelName": "m",
        "ModelArn": "arn:aws:sagemaker:us-east-1:000000000000:model/m",
        "CreationTime": 1,
        "PrimaryContainer": {"Environment": {"A": "1"}},
    }
    assert json.loads(write(answer, "DescribeModel"))["PrimaryContainer"] == {
        "Environment": {"A": "1"}
    }
    answer["PrimaryContainer"] = {"Environment": {1: "1"}}
    with pytest.raises(ValueError, match="int, not string"):
        write(answer, "DescribeModel")
