"""Model packages: versions of a group and unversioned ones, through the operations' own shapes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rightsizer.api.faults import ApiFault
from rightsizer.api.packages import find_package

from tests.api.calls import Api, api_in

PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/"
GROUP = "arn:aws:sagemaker:us-east-1:000000000000:model-package-group/"
TYPES = [
    f"ml.{family}.{size}"
    for family, sizes in {
        "c5": ("large", "xlarge", "2xlarge", "4xlarge", "9xlarge"),
        "c5d": ("large", "xlarge", "2xlarge", "4xlarge"),
        "m5": ("large", "xlarge", "2xlarge", "4xlarge"),
        "r5": ("large", "xlarge", "2xlarge"),
        "g4dn": ("xlarge", "2xlarge"),
        "inf1": ("xlarge", "2xlarge", "6xlarge"),
    }.items()
    for size in sizes
]
SPECIFICATION = {
    "Containers": [
        {
            "ContainerHostname": "dns",
            "Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.11-cpu",
            "ModelDataUrl": "s3://bucket/model.tar.gz",
            "Environment": {"OMP_NUM_THREADS": "2"},
            "Framework": "TENSORFLOW",
            "FrameworkVersion": "2.11",
            "NearestModelName": "resnet50",
            "ModelInput": {"DataInputConfig": '{"input_1": [1, 224, 224, 3]}'},
        }
    ],
    "SupportedTransformInstanceTypes": ["ml.m5.large"],
    "SupportedRealtimeInferenceInstanceTypes": TYPES,
    "SupportedContentTypes": ["application/x-image"],
    "SupportedResponseMIMETypes": ["application/json"],
}
REFERENCE = {
    "ModelPackageDescription": "ResNet50 of the notebook",
    "InferenceSpecification": SPECIFICATION,
    "Domain": "COMPUTER_VISION",
    "Task": "IMAGE_CLASSIFICATION",
    "SamplePayloadUrl": "s3://bucket/payload.tar.gz",
    "CustomerMetadataProperties": {"owner": "vision"},
    "MetadataProperties": {"CommitId": "abc"},
    "SecurityConfig": {"KmsKeyId": "a-key"},
    "CertifyForMarketplace": False,
    "SkipModelValidation": "All",
}


@pytest.fixture
def api(tmp_path: Path):
    with api_in(tmp_path / "kept") as opened:
        opened("CreateModelPackageGroup", ModelPackageGroupName="g")
        yield opened


def version(api: Api, group: str = "g", **request: object) -> str:
    return api("CreateModelPackage", ModelPackageGroupName=group, **request)["ModelPackageArn"]


def unversioned(api: Api, name: str, **request: object) -> str:
    made = api(
        "CreateModelPackage",
        ModelPackageName=name,
        InferenceSpecification=SPECIFICATION,
        **request,
    )
    return made["ModelPackageArn"]


def listed(api: Api, **request: object) -> list[str]:
    answer = api("ListModelPackages", **request)
    return [
        package["ModelPackageArn"].removeprefix(PACKAGE)
        for package in answer["ModelPackageSummaryList"]
    ]


def test_a_version_is_described_with_everything_that_it_was_made_with(api):
    assert len(TYPES) == 21
    arn = version(api, **REFERENCE)
    created_s = api.now_s
    assert arn == PACKAGE + "g/1"
    described = api("DescribeModelPackage", ModelPackageName=arn)
    assert described == {
        **REFERENCE,
        "ModelPackageName": "g",
        "ModelPackageGroupName": "g",
        "ModelPackageVersion": 1,
        "ModelPackageArn": arn,
        "CreationTime": created_s,
        "ModelApprovalStatus": "PendingManualApproval",
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
    }
    assert api("DescribeModelPackage", ModelPackageName="g/1") == described
    assert find_package(api.context, arn) == described


def test_an_unversioned_package_is_found_by_name_and_arn_and_has_no_version(api):
    arn = unversioned(api, "alone", Tags=[{"Key": "k", "Value": "v"}])
    assert arn == PACKAGE + "alone"
    described = api("DescribeModelPackage", ModelPackageName="alone")
    assert api("DescribeModelPackage", ModelPackageName=arn) == described
    assert described["ModelPackageName"] == "alone"
    assert described["InferenceSpecification"] == SPECIFICATION
    absent = {"ModelPackageGroupName", "ModelPackageVersion", "ModelApprovalStatus", "Tags"}
    assert not absent & set(described)
    assert api("ListTags", ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]


def test_an_approval_that_is_given_is_kept(api):
    arn = version(api, ModelApprovalStatus="Approved")
    described = api("DescribeModelPackage", ModelPackageName=arn)
    assert described["ModelApprovalStatus"] == "Approved"


def test_a_group_may_be_named_by_its_arn(api):
    assert version(api, GROUP + "g") == PACKAGE + "g/1"
    described = api("DescribeModelPackage", ModelPackageName="g/1")
    assert described["ModelPackageGroupName"] == "g"


def test_numbers_rise_and_are_not_given_again_while_the_group_lives(api):
    assert [version(api) for _ in range(3)] == [PACKAGE + f"g/{n}" for n in (1, 2, 3)]
    for number in (3, 1):
        api("DeleteModelPackage", ModelPackageName=f"g/{number}")
    assert version(api) == PACKAGE + "g/4"
    for number in (2, 4):
        api("DeleteModelPackage", ModelPackageName=f"g/{number}")
    assert version(api) == PACKAGE + "g/5"
    api("DeleteModelPackage", ModelPackageName="g/5")
    api("DeleteModelPackageGroup", ModelPackageGroupName="g")
    api("CreateModelPackageGroup", ModelPackageGroupName="g")
    assert version(api) == PACKAGE + "g/1"


def test_servers_that_share_a_store_give_each_number_once(api, tmp_path):
    def ten_versions(_: int) -> list[str]:
        with api_in(tmp_path / "kept") as another:
            return [version(another) for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        made = [arn for some in pool.map(ten_versions, range(4)) for arn in some]
    assert sorted(made) == sorted(PACKAGE + f"g/{number}" for number in range(1, 41))


def test_groups_are_numbered_apart(api):
    api("CreateModelPackageGroup", ModelPackageGroupName="g2")
    assert [version(api), version(api, "g2"), version(api)] == [
        PACKAGE + name for name in ("g/1", "g2/1", "g/2")
    ]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"ModelPackageName": "a", "ModelPackageGroupName": "g"}, "Cannot determine which one"),
        ({}, "Missing ARN"),
        ({"ModelPackageGroupName": "none"}, f"ModelPackageGroup {GROUP}none does not exist."),
        ({"ModelPackageName": "a"}, "needs InferenceSpecification"),
        (
            {"ModelPackageName": "a", "InferenceSpecification": {"Containers": [{"Image": "i"}]}},
            "SupportedTransformInstanceTypes and SupportedRealtimeInferenceInstanceTypes",
        ),
        (
            {
                "ModelPackageGroupName": "g",
                "InferenceSpecification": SPECIFICATION,
                "SourceAlgorithmSpecification": {"SourceAlgorithms": [{"AlgorithmName": "x"}]},
            },
            "Both InferenceSpecification and SourceAlgorithmSpecification",
        ),
        (
            {"ModelPackageGroupName": "g", "Tags": [{"Key": "k", "Value": "v"}]},
            "Tags cannot be given for a version",
        ),
    ],
)
def test_a_package_that_breaks_a_rule_is_refused_and_nothing_is_made(api, request_, words):
    refused = api.refusal("CreateModelPackage", **request_)
    assert refused.code == "ValidationException"
    assert words in refused.message
    assert listed(api, ModelPackageType="Both") == []
    assert version(api) == PACKAGE + "g/1"


def test_a_name_that_is_taken_is_refused(api):
    arn = unversioned(api, "alone")
    refused = api.refusal(
        "CreateModelPackage", ModelPackageName="alone", InferenceSpecification=SPECIFICATION
    )
    assert (refused.code, refused.message) == (
        "ValidationException",
        f"ModelPackage {arn} already exists.",
    )


def test_an_unversioned_package_may_come_from_an_algorithm(api):
    source = {"SourceAlgorithms": [{"AlgorithmName": "x"}]}
    api("CreateModelPackage", ModelPackageName="a", SourceAlgorithmSpecification=source)
    described = api("DescribeModelPackage", ModelPackageName="a")
    assert described["SourceAlgorithmSpecification"] == source


def test_the_same_request_with_the_same_token_makes_one_package(api):
    first = version(api, ClientToken="t-1", Domain="D")
    assert version(api, ClientToken="t-1", Domain="D") == first
    assert version(api, ClientToken="t-2", Domain="D") == PACKAGE + "g/2"
    assert "ClientToken" not in api("DescribeModelPackage", ModelPackageName=first)


def test_a_token_is_not_taken_for_another_request_until_its_package_is_gone(api):
    first = version(api, ClientToken="t-1")
    refused = api.refusal(
        "CreateModelPackage", ModelPackageGroupName="g", ClientToken="t-1", Domain="D"
    )
    assert refused.code == "ConflictException"
    assert first in refused.message
    api("DeleteModelPackage", ModelPackageName=first)
    assert version(api, ClientToken="t-1", Domain="D") == PACKAGE + "g/2"


@pytest.mark.parametrize("operation", ["DescribeModelPackage", "DeleteModelPackage"])
@pytest.mark.parametrize(
    "given", ["none", "g/2", "g", PACKAGE + "g/2", PACKAGE.replace("us-", "eu-") + "g/1"]
)
def test_a_package_that_is_not_here_is_refused_with_its_arn(api, operation, given):
    version(api)
    refused = api.refusal(operation, ModelPackageName=given)
    arn = given if given.startswith("arn:") else PACKAGE + given
    assert refused.code == "ValidationException"
    assert refused.message == f"ModelPackage {arn} does not exist."
    with pytest.raises(ApiFault, match="does not exist"):
        find_package(api.context, given)


def test_a_description_of_metadata_only_leaves_out_the_content_of_the_model_card(api):
    card = {"ModelCardContent": "{}", "ModelCardStatus": "Draft"}
    version(api, ModelCard=card)
    for data, expected in (
        ("AllData", card),
        ("MetadataOnly", {"ModelCardStatus": "Draft"}),
    ):
        described = api("DescribeModelPackage", ModelPackageName="g/1", IncludedData=data)
        assert described["ModelCard"] == expected


def test_packages_are_listed_by_type(api):
    unversioned(api, "alone")
    version(api)
    assert listed(api) == ["alone"]
    assert listed(api, ModelPackageType="Unversioned") == ["alone"]
    assert listed(api, ModelPackageType="Versioned") == ["g/1"]
    assert listed(api, ModelPackageType="Both") == ["alone", "g/1"]


def test_packages_of_one_group_are_listed_by_its_name_or_arn(api):
    api("CreateModelPackageGroup", ModelPackageGroupName="gg")
    unversioned(api, "g")
    version(api)
    version(api, "gg")
    assert listed(api, ModelPackageGroupName="g") == ["g/1"]
    assert listed(api, ModelPackageGroupName=GROUP + "gg") == ["gg/1"]
    assert listed(api, ModelPackageGroupName="g", ModelPackageType="Both") == ["g/1"]
    assert listed(api, ModelPackageGroupName="g", ModelPackageType="Unversioned") == []
    assert listed(api, ModelPackageGroupName="none") == []


def test_a_summary_says_what_clients_list(api):
    version(api, ModelPackageDescription="one", ModelApprovalStatus="Approved")
    made_s = api.now_s
    unversioned(api, "alone")
    answer = api("ListModelPackages", ModelPackageType="Both")["ModelPackageSummaryList"]
    assert answer == [
        {
            "ModelPackageGroupName": "g",
            "ModelPackageVersion": 1,
            "ModelPackageArn": PACKAGE + "g/1",
            "ModelPackageDescription": "one",
            "CreationTime": made_s,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": "Approved",
        },
        {
            "ModelPackageName": "alone",
            "ModelPackageArn": PACKAGE + "alone",
            "CreationTime": made_s + 1,
            "ModelPackageStatus": "Completed",
        },
    ]


def test_packages_are_filtered_by_approval_name_and_time(api):
    version(api, ModelApprovalStatus="Approved")
    version(api)
    second_s = api.now_s
    version(api, ModelApprovalStatus="Rejected")
    unversioned(api, "alone")
    both = {"ModelPackageType": "Both"}
    assert listed(api, **both, ModelApprovalStatus="Approved") == ["g/1"]
    assert listed(api, **both, ModelApprovalStatus="PendingManualApproval") == ["g/2"]
    assert listed(api, **both, NameContains="lon") == ["alone"]
    assert listed(api, **both, NameContains="g") == ["g/1", "g/2", "g/3"]
    assert listed(api, **both, CreationTimeAfter=second_s) == ["g/2", "g/3", "alone"]
    assert listed(api, **both, CreationTimeBefore=second_s) == ["g/1"]


def test_versions_are_in_the_order_of_their_numbers(api):
    for _ in range(11):
        version(api)
    numbers = [f"g/{number}" for number in range(1, 12)]
    for sort in ({}, {"SortBy": "Name"}, {"SortBy": "CreationTime"}):
        versions = {"ModelPackageGroupName": "g", **sort}
        assert listed(api, **versions) == numbers
        assert listed(api, **versions, SortOrder="Descending") == numbers[::-1]


def test_the_newest_version_is_found_as_clients_look_for_it(api):
    for _ in range(3):
        version(api, ModelApprovalStatus="Approved")
    newest = listed(
        api,
        ModelPackageGroupName="g",
        ModelApprovalStatus="Approved",
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=1,
    )
    assert newest == ["g/3"]
