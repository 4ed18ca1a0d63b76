"""The reference's flow as its users write it: boto3 and pandas, nothing of ours.

    python reference_flow.py FOLDER

FOLDER has the exported `model/`, `code/` and the `images/` of the payload. Prints what came of it
as JSON. Where the service is, its keys and its region come from the environment.
"""

from __future__ import annotations

import json
import sys
import tarfile
import time
import uuid
from pathlib import Path
from typing import Any

import boto3
import pandas as pd

ROLE = "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.14.1-cpu"
INSTANCE_TYPES = [
    "ml.c5.large", "ml.c5.xlarge", "ml.c5.2xlarge", "ml.c5.4xlarge", "ml.c5.9xlarge",
    "ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge", "ml.m5.12xlarge",
    "ml.r5.large", "ml.r5.xlarge", "ml.r5.2xlarge", "ml.r5.4xlarge",
    "ml.g4dn.xlarge", "ml.g4dn.2xlarge", "ml.g4dn.4xlarge", "ml.g4dn.8xlarge",
    "ml.inf1.xlarge", "ml.inf1.2xlarge", "ml.inf1.6xlarge",
]  # fmt: skip
POLL_S = 2.0
SPOILT = "repeat it when the machine is quiet"


def main(folder: Path) -> None:
    bucket, tail = "a-bucket", uuid.uuid4().hex[:8]
    s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
    s3.create_bucket(Bucket=bucket)
    model_url = upload(s3, bucket, folder, "model.tar.gz", ["model", "code"])
    payload_url = upload(s3, bucket, folder / "images", "payload.tar.gz", ["."])

    metadata = pd.concat(
        pd.DataFrame(page["ModelMetadataSummaries"])
        for page in sagemaker.get_paginator("list_model_metadata").paginate()
    )
    group = f"resnet50-group-{tail}"
    sagemaker.create_model_package_group(
        ModelPackageGroupName=group, ModelPackageGroupDescription="ResNet50"
    )
    package_arn = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelPackageDescription="ResNet50 with random weights",
        Domain="COMPUTER_VISION",
        Task="IMAGE_CLASSIFICATION",
        SamplePayloadUrl=payload_url,
        InferenceSpecification={
            "Containers": [
                {
                    "Image": IMAGE,
                    "ModelDataUrl": model_url,
                    "Framework": "TENSORFLOW",
                    "FrameworkVersion": "2.14",
                    "NearestModelName": "resnet50",
                    "ModelInput": {"DataInputConfig": '{"input_1":[1,224,224,3]}'},
                }
            ],
            "SupportedRealtimeInferenceInstanceTypes": INSTANCE_TYPES,
            "SupportedTransformInstanceTypes": ["ml.c5.xlarge"],
            "SupportedContentTypes": ["application/x-image"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]

    def default() -> dict[str, Any]:
        return {"JobType": "Default", "InputConfig": {"ModelPackageVersionArn": package_arn}}

    def advanced() -> dict[str, Any]:
        ranges = [{"Name": "OMP_NUM_THREADS", "Value": ["2", "4"]}]
        phase = {"InitialNumberOfUsers": 1, "SpawnRate": 1, "DurationInSeconds": 120}
        return {
            "JobType": "Advanced",
            "JobDescription": "",
            "InputConfig": {
                "ModelPackageVersionArn": package_arn,
                "JobDurationInSeconds": 7200,
                "EndpointConfigurations": [
                    {
                        "InstanceType": "ml.c5.xlarge",
                        "EnvironmentParameterRanges": {"CategoricalParameterRanges": ranges},
                    }
                ],
                "ResourceLimit": {"MaxNumberOfTests": 10, "MaxParallelOfTests": 3},
                "TrafficPattern": {"TrafficType": "PHASES", "Phases": [phase]},
            },
            "StoppingConditions": {
                "MaxInvocations": 300,
                "ModelLatencyThresholds": [{"Percentile": "P95", "ValueInMilliseconds": 5000}],
            },
        }

    said: dict[str, Any] = {"metadata": metadata.to_dict("records")}
    for kind, request in (("default", default()), ("advanced", advanced())):
        described = recommend(sagemaker, f"resnet50-{kind}-{tail}", request)
        frame = pd.DataFrame(
            [
                {**row["EndpointConfiguration"], **row["ModelConfiguration"], **row["Metrics"]}
                for row in described.get("InferenceRecommendations", [])
            ]
        )
        steps = sagemaker.get_paginator("list_inference_recommendations_job_steps")
        said[kind] = {
            "described": described,
            "columns": list(frame.columns),
            "rows": frame.to_dict("records"),
            "steps": [
                step
                for page in steps.paginate(JobName=described["JobName"])
                for step in page["Steps"]
            ],
            "tags": sagemaker.list_tags(ResourceArn=described["JobArn"])["Tags"],
        }
    json.dump(said, sys.stdout, default=str)


def upload(s3: Any, bucket: str, folder: Path, name: str, members: list[str]) -> str:
    archive = folder.parent / name
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for member in members:
            tar.add(folder / member, arcname=member)
    s3.upload_file(str(archive), bucket, f"inference/{name}")
    return f"s3://{bucket}/inference/{name}"


def recommend(sagemaker: Any, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """A job to its end; again, under another name, where it says that the machine was too noisy."""
    for attempt in range(4):
        job = f"{name}-{attempt}"
        sagemaker.create_inference_recommendations_job(JobName=job, RoleArn=ROLE, **request)
        described = wait(sagemaker, job)
        if SPOILT not in described.get("FailureReason", ""):
            break
    return described


def wait(sagemaker: Any, job: str) -> dict[str, Any]:
    while True:
        described: dict[str, Any] = sagemaker.describe_inference_recommendations_job(JobName=job)
        if described["Status"] in ("COMPLETED", "FAILED", "STOPPED"):
            return described
        time.sleep(POLL_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
