"""Image URIs of the cloud and what they are here."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from rightsizer.api.faults import ApiFault
from rightsizer.api.images import local_server
from rightsizer.api.settings import ImageSpec, Settings

ROOT = Path(__file__).parents[2]
ECR = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
EMBEDDED = "rightsizer/savedmodel-server:cpu"
SERVE = str(ROOT / "containers" / "savedmodel-server" / "serve.py")
COMMAND = ("{python}", SERVE, "--port", "{port}", "--model-dir", "{model_dir}")


def published() -> dict[str, set[str]]:
    """The reference's TensorFlow images by what they are for, as its SDK's own table has them."""
    sdk = importlib.util.find_spec("sagemaker")  # found, not imported: that takes seconds
    assert sdk is not None
    assert sdk.origin is not None
    table = Path(sdk.origin).parent / "image_uri_config" / "tensorflow.json"
    found: dict[str, set[str]] = {}
    for purpose, images in json.loads(table.read_text()).items():
        versions = [
            (version, one)
            for version, row in images["versions"].items()
            for one in (row, *row.values())  # a few have one by Python's version
            if isinstance(one, dict) and "registries" in one
        ]
        for version, one in versions:
            for region, account in one["registries"].items():
                china = ".cn" if region.startswith("cn-") else ""
                registry = f"{account}.dkr.ecr.{region}.amazonaws.com{china}"
                found.setdefault(purpose, set()).update(
                    f"{registry}/{one['repository']}:{version}-{processor}"
                    for processor in one.get("processors", images.get("processors", ["cpu"]))
                )
    return found


PUBLISHED = published()


def is_embedded(uri: str) -> bool:
    try:
        server = local_server(uri, Settings())
    except ApiFault:
        return False
    return server.image == EMBEDDED and server.command == COMMAND


def test_the_published_images_that_serve_tensorflow_are_the_embedded_server():
    serving = PUBLISHED["inference"] | PUBLISHED["inference_graviton"]
    assert len(serving) > 1000
    assert not [uri for uri in serving if not is_embedded(uri)]


def test_those_of_elastic_inference_and_of_training_are_not():
    others = PUBLISHED["eia"] | (PUBLISHED["training"] - PUBLISHED["inference"])
    assert len(others) > 1000
    assert not [uri for uri in others if is_embedded(uri)]


@pytest.mark.parametrize(
    "name",
    [
        "tensorflow-inference:2.19.0-cpu-py312-ubuntu22.04-sagemaker",
        "tensorflow-inference-graviton:2.13-cpu-py310-ubuntu20.04-sagemaker",
        "sagemaker-tensorflow:1.10.0-cpu-py3",
        f"tensorflow-inference@sha256:{'0' * 64}",
        "tensorflow-inference",
    ],
)
def test_tags_digests_and_older_names_are_known_too(name):
    assert local_server(f"{ECR}/{name}", Settings()).image == EMBEDDED


def test_that_a_gpu_image_is_served_on_cpus_is_said():
    assert (
        "computes on CPUs" in local_server(f"{ECR}/tensorflow-inference:2.16-gpu", Settings()).note
    )
    assert local_server(f"{ECR}/tensorflow-inference:2.16-cpu", Settings()).note == ""


@pytest.mark.parametrize(
    "image",
    [
        f"{ECR}/tensorflow-inference-eia:1.15-cpu",
        f"{ECR}/sagemaker-tensorflow-serving-eia:1.12-cpu",
        f"{ECR}/sagemaker-tensorflow-eia:1.10-cpu",
        f"{ECR}/tensorflow-training:2.16-cpu",
        f"{ECR}/sagemaker-tensorflow-scriptmode:1.11-cpu",
        f"{ECR}/team/tensorflow-inference:2.16-cpu",
        f"evil.example/{ECR}/tensorflow-inference:2.16-cpu",
        "my-server:1",
        "rightsizer/savedmodel-server:cpu",
        "ghcr.io/someone/tensorflow-inference:2",
    ],
)
def test_an_image_that_no_row_fits_is_refused_with_the_row_that_would(image):
    with pytest.raises(ApiFault) as caught:
        local_server(image, Settings())
    assert caught.value.code == "ValidationException"
    assert f'images: [{{uri: "{image}", image: my-server:1}}]' in caught.value.message
    assert "serve.yaml" in caught.value.message


def test_the_first_row_that_fits_is_taken_before_the_built_in_ones():
    settings = Settings(
        images=(
            ImageSpec(uri="*/other:*", image="other:1"),
            ImageSpec(uri="*/tensorflow-inference:2.1[0-9]-*", command=("./serve", "{port}")),
            ImageSpec(uri="*/tensorflow-inference:*", image="second:1"),
        )
    )
    first = local_server(f"{ECR}/tensorflow-inference:2.16-cpu", settings)
    assert (first.image, first.command) == (None, ("./serve", "{port}"))
    assert local_server(f"{ECR}/tensorflow-inference:2.8-cpu", settings).image == "second:1"
    assert local_server(f"{ECR}/sagemaker-tensorflow:1.9-cpu-py3", settings).image == EMBEDDED


def test_patterns_are_told_apart_by_case():
    settings = Settings(images=(ImageSpec(uri="My-Server:*", image="mine:1"),))
    assert local_server("My-Server:7", settings).image == "mine:1"
    with pytest.raises(ApiFault):
        local_server("my-server:7", settings)


def test_without_the_folder_of_containers_there_is_only_the_image(tmp_path):
    server = local_server(f"{ECR}/tensorflow-inference:2.16-cpu", Settings(), tmp_path)
    assert (server.image, server.command) == (EMBEDDED, None)
