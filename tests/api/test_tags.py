"""Tags on all that has an ARN here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.calls import Api, api_in

HERE = "arn:aws:sagemaker:us-east-1:000000000000:"
GROUP, VERSION, ALONE = (
    HERE + name for name in ("model-package-group/g", "model-package/g/1", "model-package/alone")
)
MODEL, JOB = HERE + "model/m", HERE + "inference-recommendations-job/j"
EVERYTHING = [GROUP, VERSION, ALONE, MODEL, JOB]


@pytest.fixture
def api(tmp_path: Path):
    with api_in(tmp_path / "kept") as opened:
        opened("CreateModelPackageGroup", ModelPackageGroupName="g")
        opened("CreateModelPackage", ModelPackageGroupName="g")
        source = {"SourceAlgorithms": [{"AlgorithmName": "x"}]}
        opened("CreateModelPackage", ModelPackageName="alone", SourceAlgorithmSpecification=source)
        opened("CreateModel", ModelName="m", PrimaryContainer={"Image": "i"})
        opened.jobs["j"] = {}
        yield opened


def pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def of(api: Api, arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in api("ListTags", ResourceArn=arn)["Tags"]}


@pytest.mark.parametrize("arn", EVERYTHING)
def test_tags_are_added_changed_and_removed_on_everything(api, arn):
    assert of(api, arn) == {}
    api("AddTags", ResourceArn=arn, Tags=pairs({"b": "1", "a": ""}))
    answer = api("AddTags", ResourceArn=arn, Tags=pairs({"b": "2", "c": "3"}))
    assert answer["Tags"] == pairs({"a": "", "b": "2", "c": "3"})
    assert api("DeleteTags", ResourceArn=arn, TagKeys=["a", "none"]) == {}
    assert of(api, arn) == {"b": "2", "c": "3"}
    assert all(of(api, other) == {} for other in EVERYTHING if other not in (arn, VERSION))


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("AddTags", {"Tags": pairs({"k": "v"})}),
        ("ListTags", {}),
        ("DeleteTags", {"TagKeys": ["k"]}),
    ],
)
@pytest.mark.parametrize(
    "arn",
    [
        HERE + "model/none",
        HERE + "model-package/g/2",
        HERE + "inference-recommendations-job/none",
        HERE + "endpoint/m",
        HERE + "client-token/m",
        HERE + "model",
        MODEL.replace("us-east-1", "eu-west-1"),
        MODEL.replace("000000000000", "123456789012"),
    ],
)
def test_tags_of_what_is_not_here_are_refused(api, operation, request_, arn):
    refused = api.refusal(operation, ResourceArn=arn, **request_)
    assert (refused.code, refused.message) == ("ValidationException", f'Could not find "{arn}".')


def test_a_version_shows_its_groups_tags_and_its_own_before_them(api):
    api("AddTags", ResourceArn=GROUP, Tags=pairs({"team": "vision", "cost": "1"}))
    assert of(api, VERSION) == {"team": "vision", "cost": "1"}
    api("AddTags", ResourceArn=VERSION, Tags=pairs({"cost": "2"}))
    assert of(api, VERSION) == {"team": "vision", "cost": "2"}
    assert of(api, GROUP) == {"team": "vision", "cost": "1"}
    assert of(api, ALONE) == {}


def test_the_engines_tags_of_a_job_are_shown_beside_its_own_and_nobody_changes_them(api):
    api.jobs["j"] = {"rightsizer:provenance": "native"}
    api("AddTags", ResourceArn=JOB, Tags=pairs({"team": "vision"}))
    assert of(api, JOB) == {"rightsizer:provenance": "native", "team": "vision"}
    for operation, request in (
        ("AddTags", {"Tags": pairs({"rightsizer:provenance": "better"})}),
        ("DeleteTags", {"TagKeys": ["rightsizer:provenance"]}),
    ):
        refused = api.refusal(operation, ResourceArn=JOB, **request)
        assert refused.code == "ValidationException"
        assert "reserved" in refused.message
    assert of(api, JOB)["rightsizer:provenance"] == "native"


@pytest.mark.parametrize("key", ["aws:x", "AWS:x", "aws:", "rightsizer:x"])
@pytest.mark.parametrize("operation", ["AddTags", "CreateModel", "CreateModelPackageGroup"])
def test_reserved_keys_are_refused(api, key, operation):
    request = {
        "AddTags": {"ResourceArn": MODEL},
        "CreateModel": {"ModelName": "new", "PrimaryContainer": {"Image": "i"}},
        "CreateModelPackageGroup": {"ModelPackageGroupName": "new"},
    }[operation]
    refused = api.refusal(operation, **request, Tags=pairs({key: "v"}))
    assert refused.code == "ValidationException"
    assert f"{key} is reserved" in refused.message


def test_a_key_that_only_holds_a_reserved_word_is_taken(api):
    api("AddTags", ResourceArn=MODEL, Tags=pairs({"awsome:x": "1", "my:aws:x": "2"}))
    assert of(api, MODEL) == {"awsome:x": "1", "my:aws:x": "2"}


def test_a_key_given_twice_is_refused(api):
    twice = [*pairs({"k": "1", "l": "1"}), *pairs({"k": "2"})]
    for operation, request in (
        ("AddTags", {"ResourceArn": MODEL}),
        ("CreateModel", {"ModelName": "new", "PrimaryContainer": {"Image": "i"}}),
    ):
        refused = api.refusal(operation, **request, Tags=twice)
        assert refused.code == "ValidationException"
        assert "Duplicate tag keys found: k;" in refused.message


def test_more_than_fifty_tags_are_refused_and_fifty_may_be_changed(api):
    fifty = {f"k{number:02}": "old" for number in range(50)}
    api("AddTags", ResourceArn=MODEL, Tags=pairs(fifty))
    refused = api.refusal("AddTags", ResourceArn=MODEL, Tags=pairs({"one-more": "v"}))
    assert refused.code == "ResourceLimitExceeded"
    api("AddTags", ResourceArn=MODEL, Tags=pairs({"k00": "new"}))
    assert of(api, MODEL) == {**fifty, "k00": "new"}


def test_tags_beyond_fifty_which_the_engine_made_come_on_a_second_page(api):
    api.jobs["j"] = {f"rightsizer:{number:02}": "v" for number in range(20)}
    own = {f"k{number:02}": "v" for number in range(50)}
    api("AddTags", ResourceArn=JOB, Tags=pairs(own))
    first = api("ListTags", ResourceArn=JOB, MaxResults=100)
    second = api("ListTags", ResourceArn=JOB, NextToken=first["NextToken"])
    assert [len(first["Tags"]), len(second["Tags"])] == [50, 20]
    assert "NextToken" not in second
    both = {tag["Key"] for tag in first["Tags"] + second["Tags"]}
    assert both == {*own, *api.jobs["j"]}
