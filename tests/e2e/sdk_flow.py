"""`right_size()` of the sagemaker Python SDK, as its users call it; its sleeps are cut short.

    python sdk_flow.py MODEL_URL PAYLOAD_URL

Prints what came of it as JSON.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any

import boto3
import sagemaker
from sagemaker.inference_recommender.inference_recommender_mixin import (
    ModelLatencyThreshold,
    Phase,
)
from sagemaker.model import Model, ModelPackage
from sagemaker.parameter import CategoricalParameter

ROLE = "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.14.1-cpu"
SLEPT_S = 2.0


def main(model_url: str, payload_url: str) -> None:
    real_sleep = time.sleep
    time.sleep = lambda s: real_sleep(min(s, SLEPT_S))  # type: ignore[assignment]
    session = sagemaker.Session(boto3.Session(), default_bucket="a-bucket")
    model = Model(
        image_uri=IMAGE, model_data=model_url, role=ROLE, sagemaker_session=session,
        name=f"sdk-{uuid.uuid4().hex[:8]}",
    )  # fmt: skip
    asked: dict[str, Any] = {
        "sample_payload_url": payload_url,
        "supported_content_types": ["application/x-image"],
        "framework": "TENSORFLOW",
        "job_duration_in_seconds": 3600,
        "hyperparameter_ranges": [
            {
                "instance_types": CategoricalParameter(["ml.c5.xlarge"]),
                "OMP_NUM_THREADS": CategoricalParameter(["1"]),
            }
        ],
        "phases": [Phase(duration_in_seconds=120, initial_number_of_users=1, spawn_rate=1)],
        "traffic_type": "PHASES",
        "max_invocations": 100,
        "model_latency_thresholds": [
            ModelLatencyThreshold(percentile="P95", value_in_milliseconds=5000)
        ],
    }
    model.right_size(log_level="Verbose", **asked)
    package = _packaged(session, model_url, payload_url)
    package.right_size(log_level="Quiet", **asked)
    said = {
        "model": model.inference_recommendations,
        "package": package.inference_recommendations,
        "job": model.inference_recommender_job_results,
    }
    print("RESULT", json.dumps(said, default=str))


def _packaged(session: Any, model_url: str, payload_url: str) -> ModelPackage:
    client = session.sagemaker_client
    group = f"sdk-group-{uuid.uuid4().hex[:8]}"
    client.create_model_package_group(ModelPackageGroupName=group)
    arn = client.create_model_package(
        ModelPackageGroupName=group,
        Domain="COMPUTER_VISION",
        Task="IMAGE_CLASSIFICATION",
        SamplePayloadUrl=payload_url,
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": model_url, "Framework": "TENSORFLOW"}],
            "SupportedContentTypes": ["application/x-image"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    return ModelPackage(role=ROLE, model_package_arn=arn, sagemaker_session=session)


if __name__ == "__main__":
    main(*sys.argv[1:])
