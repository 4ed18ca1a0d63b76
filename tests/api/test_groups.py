"""Groups of model packages, through the operations' own shapes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.calls import Api, api_in

ARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package-group/"


@pytest.fixture
def api(tmp_path: Path):
    with api_in(tmp_path / "kept") as opened:
        yield opened


def make(api: Api, *names: str) -> None:
    for name in names:
        api("CreateModelPackageGroup", ModelPackageGroupName=name)


def listed(api: Api, **request: object) -> list[str]:
    answer = api("ListModelPackageGroups", **request)
    return [group["ModelPackageGroupName"] for group in answer["ModelPackageGroupSummaryList"]]


def test_a_group_is_described_as_it_was_made_by_name_and_by_arn(api):
    made = api(
        "CreateModelPackageGroup",
        ModelPackageGroupName="resnets",
        ModelPackageGroupDescription="image models",
        ManagedConfiguration={"ManagedStorageType": "Restricted"},
        Tags=[{"Key": "team", "Value": "vision"}],
    )
    assert made == {"ModelPackageGroupArn": ARN + "resnets"}
    created_s = api.now_s
    for given in ("resnets", ARN + "resnets"):
        assert api("DescribeModelPackageGroup", ModelPackageGroupName=given) == {
            "ModelPackageGroupName": "resnets",
            "ModelPackageGroupArn": ARN + "resnets",
            "ModelPackageGroupDescription": "image models",
            "ManagedConfiguration": {"ManagedStorageType": "Restricted"},
            "CreationTime": created_s,
            "CreatedBy": {},
            "ModelPackageGroupStatus": "Completed",
        }
    assert api("ListTags", ResourceArn=ARN + "resnets")["Tags"] == [
        {"Key": "team", "Value": "vision"}
    ]


def test_a_name_that_is_taken_is_refused_in_words_that_clients_look_for(api):
    make(api, "g")
    refused = api.refusal("CreateModelPackageGroup", ModelPackageGroupName="g")
    assert refused.code == "ValidationException"
    assert "already exists" in refused.message


@pytest.mark.parametrize("operation", ["DescribeModelPackageGroup", "DeleteModelPackageGroup"])
@pytest.mark.parametrize(
    "given",
    [
        "other",
        ARN + "other",
        ARN.replace("us-east-1", "eu-west-1") + "g",
        ARN.replace("000000000000", "123456789012") + "g",
        "arn:aws:sagemaker:us-east-1:000000000000:model-package/g",
    ],
)
def test_a_group_that_is_not_here_is_refused_with_its_arn(api, operation, given):
    make(api, "g")
    refused = api.refusal(operation, ModelPackageGroupName=given)
    arn = given if given.startswith("arn:") else ARN + given
    assert refused.code == "ValidationException"
    assert refused.message == f"ModelPackageGroup {arn} does not exist."


def test_groups_are_listed_in_the_order_of_making_unless_asked_otherwise(api):
    make(api, "b", "c", "a")
    assert listed(api) == ["b", "c", "a"]
    assert listed(api, SortOrder="Descending") == ["a", "c", "b"]
    assert listed(api, SortBy="Name") == ["a", "b", "c"]
    assert listed(api, SortBy="Name", SortOrder="Descending") == ["c", "b", "a"]
    assert listed(api, SortBy="CreationTime", MaxResults=2) == ["b", "c"]


def test_groups_are_filtered_by_name_and_time(api):
    make(api, "ab", "bc", "cd")
    third_s = api.now_s
    assert listed(api, NameContains="b") == ["ab", "bc"]
    assert listed(api, NameContains="x") == []
    assert listed(api, CreationTimeAfter=third_s) == ["cd"]
    assert listed(api, CreationTimeBefore=third_s) == ["ab", "bc"]
    assert listed(api, NameContains="c", CreationTimeBefore=third_s) == ["bc"]


def test_nothing_is_shared_from_other_accounts(api):
    make(api, "g")
    assert listed(api, CrossAccountFilterOption="CrossAccount") == []
    assert listed(api, CrossAccountFilterOption="SameAccount") == ["g"]


def test_a_deleted_group_is_gone_with_its_tags(api):
    make(api, "g", "h")
    api("AddTags", ResourceArn=ARN + "g", Tags=[{"Key": "k", "Value": "v"}])
    assert api("DeleteModelPackageGroup", ModelPackageGroupName=ARN + "g") == {}
    assert listed(api) == ["h"]
    make(api, "g")
    assert api("ListTags", ResourceArn=ARN + "g")["Tags"] == []


def test_a_group_with_packages_is_not_deleted(api):
    make(api, "g")
    api("CreateModelPackage", ModelPackageGroupName="g")
    refused = api.refusal("DeleteModelPackageGroup", ModelPackageGroupName="g")
    assert refused.code == "ConflictException"
    assert ARN + "g" in refused.message
    api("DeleteModelPackage", ModelPackageName="g/1")
    api("DeleteModelPackageGroup", ModelPackageGroupName="g")
    assert listed(api) == []
