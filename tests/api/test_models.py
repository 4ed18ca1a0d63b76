"""Models, through the operations' own shapes."""

from __future__ import annotations

from pathlib import Path

import pytest
from rightsizer.api.arns import MODEL
from rightsizer.api.faults import ApiFault
from rightsizer.api.models import find_model

from tests.api.calls import Api, api_in

ARN = "arn:aws:sagemaker:us-east-1:000000000000:model/"
CONTAINER = {
    "Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.11-cpu",
    "ModelDataUrl": "s3://bucket/model.tar.gz",
    "Environment": {"OMP_NUM_THREADS": "2"},
    "Mode": "SingleModel",
}
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture
def api(tmp_path: Path):
    with api_in(tmp_path / "kept") as opened:
        yield opened


def make(api: Api, *names: str) -> None:
    for name in names:
        api("CreateModel", ModelName=name, PrimaryContainer=CONTAINER)


def listed(api: Api, **request: object) -> list[str]:
    return [model["ModelName"] for model in api("ListModels", **request)["Models"]]


def test_a_model_is_described_with_everything_that_it_was_made_with(api):
    given = {
        "PrimaryContainer": CONTAINER,
        "ExecutionRoleArn": ROLE,
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "EnableNetworkIsolation": True,
    }
    made = api("CreateModel", ModelName="m", **given, Tags=[{"Key": "k", "Value": "v"}])
    assert made == {"ModelArn": ARN + "m"}
    described = api("DescribeModel", ModelName="m")
    assert described == {
        **given,
        "ModelName": "m",
        "ModelArn": ARN + "m",
        "CreationTime": api.now_s - 1,
        "DeploymentRecommendation": {
            "RecommendationStatus": "NOT_APPLICABLE",
            "RealTimeInferenceRecommendations": [],
        },
    }
    assert find_model(api.context, "m") == described
    assert api("ListTags", ResourceArn=ARN + "m")["Tags"] == [{"Key": "k", "Value": "v"}]


def test_a_model_may_have_several_containers(api):
    several = {"Containers": [CONTAINER, CONTAINER], "InferenceExecutionConfig": {"Mode": "Serial"}}
    api("CreateModel", ModelName="m", **several)
    described = api("DescribeModel", ModelName="m")
    assert described.items() >= several.items()
    assert described["EnableNetworkIsolation"] is False
    assert "PrimaryContainer" not in described


def test_a_container_may_name_a_package(api):
    api("CreateModelPackageGroup", ModelPackageGroupName="g")
    made = api("CreateModelPackage", ModelPackageGroupName="g")["ModelPackageArn"]
    api("CreateModel", ModelName="m", PrimaryContainer={"ModelPackageName": made})
    assert api("DescribeModel", ModelName="m")["PrimaryContainer"] == {"ModelPackageName": made}


@pytest.mark.parametrize(
    ("containers", "words"),
    [
        ({"PrimaryContainer": CONTAINER, "Containers": [CONTAINER]}, "Both PrimaryContainer"),
        ({}, "needs PrimaryContainer or Containers"),
        ({"Containers": []}, "needs PrimaryContainer or Containers"),
        ({"PrimaryContainer": {}}, "Image or ModelPackageName"),
        ({"Containers": [CONTAINER, {"ModelDataUrl": "s3://b/m"}]}, "Image or ModelPackageName"),
        ({"PrimaryContainer": {"ModelPackageName": "g/1"}}, "model-package/g/1 does not exist."),
    ],
)
def test_a_model_that_breaks_a_rule_is_refused_and_nothing_is_made(api, containers, words):
    refused = api.refusal("CreateModel", ModelName="m", **containers)
    assert refused.code == "ValidationException"
    assert words in refused.message
    assert listed(api) == []


def test_a_name_that_is_taken_is_refused_in_words_that_clients_look_for(api):
    make(api, "m")
    refused = api.refusal("CreateModel", ModelName="m", PrimaryContainer=CONTAINER)
    assert refused.code == "ValidationException"
    assert refused.message == f'Cannot create already existing model "{ARN}m".'


@pytest.mark.parametrize("operation", ["DescribeModel", "DeleteModel"])
def test_a_model_that_is_not_here_is_refused_with_its_arn(api, operation):
    refused = api.refusal(operation, ModelName="none")
    assert refused.code == "ValidationException"
    assert refused.message == f'Could not find model "{ARN}none".'
    with pytest.raises(ApiFault, match="Could not find model"):
        find_model(api.context, "none")


def test_models_are_listed_newest_first_unless_asked_otherwise(api):
    make(api, "b", "c", "a")
    assert listed(api) == ["a", "c", "b"]
    assert listed(api, SortOrder="Ascending") == ["b", "c", "a"]
    assert listed(api, SortBy="Name") == ["c", "b", "a"]
    assert listed(api, SortBy="Name", SortOrder="Ascending") == ["a", "b", "c"]


def test_a_summary_has_the_name_the_arn_and_the_time(api):
    make(api, "m")
    assert api("ListModels")["Models"] == [
        {"ModelName": "m", "ModelArn": ARN + "m", "CreationTime": api.now_s - 1}
    ]


def test_models_are_filtered_by_name_and_time(api):
    make(api, "ab", "bc", "cd")
    third_s = api.now_s
    assert listed(api, NameContains="b") == ["bc", "ab"]
    assert listed(api, CreationTimeAfter=third_s) == ["cd"]
    assert listed(api, CreationTimeBefore=third_s) == ["bc", "ab"]


def test_a_deleted_model_is_gone_with_its_tags(api):
    make(api, "m", "n")
    api("AddTags", ResourceArn=ARN + "m", Tags=[{"Key": "k", "Value": "v"}])
    assert api("DeleteModel", ModelName="m") == {}
    assert listed(api) == ["n"]
    make(api, "m")
    assert api("ListTags", ResourceArn=ARN + "m")["Tags"] == []


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_pages_hold_all_of_250_models_once_though_others_are_made_between_them(api, order):
    names = [f"m-{number:03}" for number in range(250)]
    with api.context.registry.together():
        for number, name in enumerate(names):
            # several at one instant, as fast clients make them
            api.context.registry.add(MODEL, name, {}, 1000.0 + number // 7)
    seen: list[str] = []
    request = {"SortOrder": order, "MaxResults": 30}
    while True:
        answer = api("ListModels", **request)
        seen += [model["ModelName"] for model in answer["Models"]]
        if "NextToken" not in answer:
            break
        request["NextToken"] = answer["NextToken"]
        make(api, f"new-{len(seen)}")
    of_the_first = [name for name in seen if name.startswith("m-")]
    assert of_the_first == (names if order == "Ascending" else names[::-1])
    assert len(seen) == len(set(seen))


def test_a_token_of_another_list_is_refused(api):
    make(api, "a", "b")
    for name in ("a", "b"):
        api("CreateModelPackageGroup", ModelPackageGroupName=name)
    token = api("ListModels", MaxResults=1)["NextToken"]
    for operation, request in (
        ("ListModelPackageGroups", {}),
        ("ListModels", {"SortBy": "Name"}),
    ):
        refused = api.refusal(operation, **request, NextToken=token)
        assert refused.code == "ValidationException"
