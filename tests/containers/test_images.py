"""The images that can be built without a registry: built, and measured as candidates."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import docker
import pytest
import rightsizer

from tests.hosts.images import address, require_engine
from tests.noise import ADVICE, until_quiet

from .serving import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.tensorflow]

IMAGE = "rightsizer/savedmodel-server:cpu"
JOB = f"""\
name: image
model: {{name: echo, archive: model.tar.gz}}
server: {{image: "{IMAGE}", response: {{contains: "length"}}, @PROTOCOL@}}
payload: {{archive: body.txt, content_type: application/x-image}}
candidates:
  - instance_type: local.1cpu
    environment: {{TF_NUM_INTRAOP_THREADS: "1"}}
traffic: {{type: users, users: 1, duration_s: 3}}
hosts: hosts.yaml
"""


@pytest.fixture(scope="module")
def image() -> str:
    """`make images-offline`; where it has been made before, from Docker's cache."""
    require_engine()
    base = os.environ.get("BASE")
    if base is None and shutil.which("debootstrap") is None:
        pytest.skip("no base image: give BASE=IMAGE, or install debootstrap")
    environment = {**os.environ, "PYTHON": sys.executable, "DOCKER_HOST": address()}
    subprocess.run(
        [str(ROOT / "containers" / "build.sh"), "offline"],
        env=environment,
        check=True,
        timeout=900,
    )
    return IMAGE


@pytest.mark.parametrize(
    "protocol",
    [
        "protocol: sagemaker",
        "protocol: tfs-grpc, request: {model: echo, input: content}, "
        'environment: {TF_SERVING_GRPC_PORT: "8500"}',
    ],
)
def test_savedmodel_server_is_built_without_a_registry_and_measured(
    image: str, models: Path, tmp_path: Path, protocol: str
):
    with contextlib.closing(docker.APIClient(base_url=address())) as client:
        assert client.inspect_image(image)["Config"]["Entrypoint"][-1] == "0.0.0.0"
    shutil.make_archive(str(tmp_path / "model"), "gztar", models, "echo")
    (tmp_path / "body.txt").write_text("hello")
    (tmp_path / "hosts.yaml").write_text("hosts:\n  - {name: rack, kind: docker}\n")
    (tmp_path / "job.yaml").write_text(JOB.replace("@PROTOCOL@", protocol))
    [trial] = until_quiet(
        lambda: rightsizer.run(tmp_path / "job.yaml").trials,
        lambda found: ADVICE in found[0].detail,
    )
    assert trial.state.value == "succeeded", trial.log_tail or trial.detail
    assert trial.requests.succeeded > 10
