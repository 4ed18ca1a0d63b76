"""Creating jobs and stopping them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rightsizer.api.settings import ImageSpec
from rightsizer.job_heads import heads

from tests.api.calls import Api
from tests.api.jobs.made import ask, ask_default, config, head_of, opened, work_on
from tests.api.jobs.requests import CONTAINER_CONFIG, IMAGE, ROLE, advanced, default, threads

CREATE = "CreateInferenceRecommendationsJob"
DESCRIBE = "DescribeInferenceRecommendationsJob"
STOP = "StopInferenceRecommendationsJob"
PAYLOAD = CONTAINER_CONFIG["PayloadConfig"]
PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/group/1"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with opened(tmp_path) as made:
        yield made


def package(api: Api, **changed: Any) -> str:
    """A version in a group; its ARN."""
    api("CreateModelPackageGroup", ModelPackageGroupName="group")
    whole = {
        "Domain": "COMPUTER_VISION",
        "Task": "IMAGE_CLASSIFICATION",
        "SamplePayloadUrl": f"file://{api.context.base_dir}/payload.tar.gz",
        "InferenceSpecification": {
            "Containers": [{"Image": IMAGE, "Framework": "TENSORFLOW", "Environment": {"A": "1"}}],
            "SupportedContentTypes": ["application/x-image"],
            "SupportedResponseMIMETypes": ["application/json"],
            "SupportedRealtimeInferenceInstanceTypes": ["ml.c5.large", "ml.m5.large"],
        },
        **changed,
    }
    kept = {key: value for key, value in whole.items() if value is not None}
    return str(api("CreateModelPackage", ModelPackageGroupName="group", **kept)["ModelPackageArn"])


def refused(api: Api, **changed: Any) -> str:
    """Why an Advanced job is a ValidationException, and that nothing is kept of it."""
    request = advanced(**{"ContainerConfig": config(api), **changed})
    tags = [{"Key": "team", "Value": "vision"}]
    fault = api.refusal(CREATE, **request, Tags=tags)
    assert fault.code == "ValidationException"
    assert heads(api.context.store) == []
    assert list((api.context.store.folder / "jobs").iterdir()) == []
    arn = "arn:aws:sagemaker:us-east-1:000000000000:inference-recommendations-job/an-advanced-job"
    assert api.context.registry.tags(arn) == {}
    return fault.message


def test_a_job_is_queued_and_the_supervisor_told(api: Api):
    woken = []
    object.__setattr__(api.context, "wake", lambda: woken.append(True))
    arn = ask(api, "new")
    assert arn.endswith(":inference-recommendations-job/new")
    assert woken == [True]
    found = api(DESCRIBE, JobName="new")
    assert found["Status"] == "PENDING"
    assert "CompletionTime" not in found


def test_what_has_no_effect_here_is_kept_and_returned(api: Api):
    request = advanced(
        ContainerConfig=config(api),
        VpcConfig={"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        VolumeKmsKeyId="alias/volume",
    )
    request["OutputConfig"] = {"KmsKeyId": "alias/out"}
    request["JobDescription"] = ""
    request["Tags"] = [{"Key": "team", "Value": "vision"}]
    arn = api(CREATE, **request)["JobArn"]
    found = api(DESCRIBE, JobName=request["JobName"])
    assert found["RoleArn"] == ROLE
    assert found["InputConfig"] == request["InputConfig"]
    assert found["JobDescription"] == ""
    tags = {tag["Key"]: tag["Value"] for tag in api("ListTags", ResourceArn=arn)["Tags"]}
    assert tags["team"] == "vision"
    # its description has no place for it
    assert head_of(api, request["JobName"]).request["OutputConfig"] == {"KmsKeyId": "alias/out"}


def test_a_name_that_is_taken_is_refused(api: Api):
    ask(api, "taken")
    made = api.context.store.create_job("by-command-line", "advanced", {}, {})
    for name in ("taken", "by-command-line", made.id):
        fault = api.refusal(CREATE, **advanced(name, ContainerConfig=config(api)))
        assert fault.code == "ResourceInUse"
        assert name in fault.message
    assert len(heads(api.context.store)) == 2


def test_a_name_that_another_takes_meanwhile_is_refused_and_leaves_no_folder(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    ask(api, "taken")
    monkeypatch.setattr("rightsizer.api.jobs.creating.heads_named", lambda store, name: [])
    assert api.refusal(CREATE, **advanced("taken", ContainerConfig=config(api))).code == (
        "ResourceInUse"
    )
    assert len(list((api.context.store.folder / "jobs").iterdir())) == 1
    ask(api, "another")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ModelName": "nobody"}, "nobody"),
        ({"ModelName": None, "ModelPackageVersionArn": PACKAGE}, "does not exist"),
        (
            {"EndpointConfigurations": None, "Endpoints": [{"EndpointName": "nobody"}]},
            "Endpoint nobody is not known here",
        ),
        ({"EndpointConfigurations": None, "Endpoints": [{}]}, "Specify EndpointName in Endpoints"),
        (
            {"EndpointConfigurations": [threads("1", instance_type="ml.p6e-gb200.36xlarge")]},
            "Size and price of ml.p6e-gb200.36xlarge are not known here",
        ),
        (
            {"EndpointConfigurations": [threads("1"), threads("1", "2")]},
            "EndpointConfigurations[1] repeats ml.c5.xlarge",
        ),
        (
            {"EndpointConfigurations": [threads("1"), threads("1")]},
            "EndpointConfigurations[1]: repeats EndpointConfigurations[0]",
        ),
    ],
)
def test_what_is_not_there_is_a_validation_exception(api: Api, changed: dict[str, Any], said: str):
    assert said in refused(api, **changed)


@pytest.mark.parametrize("name", ["Domain", "Framework", "Task"])
def test_what_neither_the_model_nor_the_request_says_is_named(api: Api, name: str):
    given = {key: value for key, value in config(api).items() if key != name}
    assert f"Specify `{name}` in resnet or ContainerConfig." in refused(api, ContainerConfig=given)


@pytest.mark.parametrize("name", ["SamplePayloadUrl", "SupportedContentTypes"])
def test_what_is_missing_of_the_payload_is_named(api: Api, name: str):
    payload = {key: value for key, value in config(api)["PayloadConfig"].items() if key != name}
    given = {**config(api), "PayloadConfig": payload}
    assert f"Specify `{name}`" in refused(api, ContainerConfig=given)


def test_everything_missing_of_a_package_is_named_at_once(api: Api):
    arn = package(api, Domain=None, Task=None, SamplePayloadUrl=None)
    said = refused(api, ModelName=None, ModelPackageVersionArn=arn, ContainerConfig=None)
    for name in ("Domain", "Task", "SamplePayloadUrl"):
        assert f"Specify `{name}` in group/1" in said


@pytest.mark.parametrize(("key", "value"), [("Domain", "VISION"), ("Task", "CHESS")])
def test_a_domain_or_task_that_is_not_documented_is_refused(api: Api, key: str, value: str):
    assert f"{key} must be one of" in refused(api, ContainerConfig={**config(api), key: value})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "it lies in no folder that the server may read"),
        ("http://example.com/payload.tar.gz", "http:// is read from the S3 endpoint alone"),
        ("s3://bucket/folder/", "it is a folder"),
    ],
)
def test_a_payload_at_an_address_that_may_not_be_read_is_refused(api: Api, url: str, said: str):
    given = {**config(api), "PayloadConfig": {**PAYLOAD, "SamplePayloadUrl": url}}
    assert said in refused(api, ContainerConfig=given)


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ({"Image": IMAGE, "Mode": "MultiModel"}, "Mode MultiModel of odd is not supported"),
        (
            {
                "Image": IMAGE,
                "ModelDataSource": {
                    "S3DataSource": {
                        "S3Uri": "s3://b/k/",
                        "S3DataType": "S3Prefix",
                        "CompressionType": "None",
                    }
                },
            },
            "ModelDataSource of odd is not supported",
        ),
        ({"Image": IMAGE, "ModelDataUrl": "file:///etc/passwd"}, "no folder"),
    ],
)
def test_a_model_that_cannot_be_served_as_it_is_meant_is_refused(
    api: Api, container: dict[str, Any], said: str
):
    api("CreateModel", ModelName="odd", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    assert said in refused(api, ModelName="odd")


def test_a_model_that_is_made_of_a_package_is_asked_for_by_the_packages_arn(api: Api):
    container = {"ModelPackageName": package(api)}
    api("CreateModel", ModelName="odd", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    assert "give its ModelPackageVersionArn" in refused(api, ModelName="odd")


def test_several_containers_are_refused(api: Api):
    api("CreateModel", ModelName="two", Containers=[{"Image": IMAGE}] * 2, ExecutionRoleArn=ROLE)
    assert "Model two has 2 containers" in refused(api, ModelName="two")


def test_an_image_that_is_not_known_here_is_refused(tmp_path: Path):
    with opened(tmp_path, images=(ImageSpec(uri="mine:*", image="local:1"),)) as api:
        api(
            "CreateModel",
            ModelName="odd",
            PrimaryContainer={"Image": "theirs:1"},
            ExecutionRoleArn=ROLE,
        )
        assert "theirs:1" in refused(api, ModelName="odd")


def test_a_command_without_a_port_is_told_by_the_setting_that_has_it(tmp_path: Path):
    command = ("{python}", "serve.py")
    with opened(tmp_path, images=(ImageSpec(uri="*", command=command),)) as api:
        assert refused(api).startswith("images of serve.yaml: the command has no {port}")


@pytest.mark.parametrize(("setting", "file"), [("prices", "prices.csv"), ("hosts", "hosts.yaml")])
def test_a_file_that_was_spoilt_since_the_start_is_told_to_the_caller(
    tmp_path: Path, setting: str, file: str
):
    with opened(tmp_path, **{setting: file}) as api:
        (tmp_path / file).write_text("nonsense\n")
        assert file in refused(api)


def test_a_job_none_of_whose_types_is_offered_is_refused_with_what_to_do(api: Api):
    todo = "declare a stand-in for one with `provides` in the hosts file"
    assert f"offers ml.r5.large; {todo}" in refused(
        api, EndpointConfigurations=[threads("1", instance_type="ml.r5.large")]
    )
    kinds = [f"ml.r5.{size}" for size in ("large", "xlarge", "2xlarge", "4xlarge", "12xlarge")]
    container = {**config(api), "SupportedInstanceTypes": [*kinds, "ml.r5.24xlarge"]}
    fault = api.refusal(CREATE, **default(ContainerConfig=container))
    assert f"offers {', '.join(kinds)}, ...; {todo}" in fault.message
    assert heads(api.context.store) == []


def test_a_job_of_which_some_type_is_or_may_be_offered_is_queued(api: Api):
    # provided, this machine's own, and one whose accelerators are looked for in its turn
    for number, kind in enumerate(("ml.c5.large", "local.1cpu", "ml.g4dn.xlarge")):
        given = {**config(api), "SupportedInstanceTypes": ["ml.r5.large", kind]}
        ask_default(api, f"job-{number}", ContainerConfig=given)
    assert len(heads(api.context.store)) == 3


def test_a_model_without_data_is_refused_where_what_serves_it_needs_one(tmp_path: Path):
    command = ("{python}", "serve.py", "{port}", "{model_dir}")
    with opened(tmp_path, images=(ImageSpec(uri="*", command=command),)) as api:
        assert "Specify `ModelDataUrl` in resnet" in refused(api)


def test_a_package_gives_what_the_request_does_not_and_the_request_comes_first(api: Api):
    arn = package(api)
    given = {"Framework": "PYTORCH", "SupportedInstanceTypes": ["ml.c5.large"]}
    changed = {"ModelName": None, "ModelPackageVersionArn": arn}
    ask(api, "own", **changed, ContainerConfig=None)
    ask_default(api, "given", **changed, ContainerConfig=given)
    own, other = (api.context.store.job(head_of(api, name).id).spec for name in ("own", "given"))
    assert own["model"]["framework"] == "TENSORFLOW"
    assert own["server"]["environment"] == {"A": "1"}
    assert other["model"]["framework"] == "PYTORCH"
    assert other["model"]["domain"] == "COMPUTER_VISION"
    assert other["instance_types"] == ["ml.c5.large"]
    ask_default(api, "narrowed", **changed, ContainerConfig=None)
    narrowed = api.context.store.job(head_of(api, "narrowed").id).spec
    assert narrowed["instance_types"] == ["ml.c5.large", "ml.m5.large"]


def test_a_model_on_an_existing_endpoint_is_not_fetched(api: Api):
    api(
        "CreateModel",
        ModelName="there",
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz"},
        ExecutionRoleArn=ROLE,
    )
    endpoints = [{"EndpointName": "mine"}]
    ask(api, "new", ModelName="there", EndpointConfigurations=None, Endpoints=endpoints)
    assert api.context.store.job(head_of(api, "new").id).inputs["sources"]["model"] is None


def test_a_job_that_nobody_has_cannot_be_stopped(api: Api):
    assert api.refusal(STOP, JobName="nobody").code == "ResourceNotFound"


def test_stopping_twice_is_stopping_once(api: Api):
    ask(api, "new")
    for _ in range(2):
        assert api(STOP, JobName="new") == {}
        assert api(DESCRIBE, JobName="new")["Status"] == "STOPPING"


def test_a_job_that_has_ended_stays_as_it_is(api: Api, monkeypatch: pytest.MonkeyPatch):
    ask(api, "new")
    work_on(api, "new", monkeypatch)
    before = api(DESCRIBE, JobName="new")
    assert before["Status"] == "COMPLETED"
    assert api(STOP, JobName="new") == {}
    assert api(DESCRIBE, JobName="new") == before
    assert not head_of(api, "new").stop_requested
