"""The reference's own calls, on real hardware: boto3 and the sagemaker SDK as users call them.

A real server process, a real S3 server, the real ResNet50. Only phases are shorter.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from rightsizer.samples import read_samples

from tests.e2e.reference_flow import INSTANCE_TYPES

from .conftest import command, wait_until_none

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "resnet50"
IMAGES = ROOT / "payloads" / "images.tar.gz"
COLUMNS = {
    "EndpointName", "VariantName", "InstanceType", "InitialInstanceCount", "EnvironmentParameters",
    "CostPerHour", "CostPerInference", "MaxInvocations", "ModelLatency", "CpuUtilization",
    "MemoryUtilization",
}  # fmt: skip
TIME_SCALE = 0.07
NONE = "accelerators: 0"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def served(folder: Path, s3: str) -> Iterator[dict[str, str]]:
    """`rightsizer serve` with all of the reference's types on the CPUs at hand, and what it says
    to export."""
    provides = "".join(
        f"      - {{instance_type: {name}, as: stand-in, cpus: 1, memory_gib: 4, {NONE}}}\n"
        for name in INSTANCE_TYPES
    )
    (folder / "hosts.yaml").write_text(
        f"hosts:\n  - name: this\n    kind: process\n    provides:\n{provides}"
    )
    (folder / "serve.yaml").write_text(f"hosts: hosts.yaml\ns3: {{endpoint_url: {s3}}}\n")
    arguments = ["--port", "0", "--store", "store", "--config", "serve.yaml"]
    arguments += ["--time-scale", str(TIME_SCALE)]
    with (folder / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [*command(), "serve", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={name: value for name, value in os.environ.items() if "AWS_" not in name},
        )
    try:
        assert server.stdout is not None
        ready = server.stdout.readline()
        assert ready.startswith("ready: export "), (folder / "serve.log").read_text()
        yield dict(word.split("=", 1) for word in shlex.split(ready)[2:])
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
    assert not wait_until_none(folder, 20)


def run(script: str, served: dict[str, str], *arguments: object) -> str:
    """A user's script, changed by nothing but environment variables."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        env={**os.environ, **served},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def flow(folder: Path, served: dict[str, str]) -> dict[str, Any]:
    """What the reference's flow came to."""
    source = folder / "source"
    with tarfile.open(BUILT / "model.tar.gz") as tar:
        tar.extractall(source, filter="data")
    with tarfile.open(IMAGES) as tar:
        tar.extractall(source / "images", filter="data")
    found: dict[str, Any] = json.loads(run("reference_flow.py", served, source))
    return found


def test_the_metadata_makes_a_frame(flow: dict[str, Any]):
    assert {"Domain", "Framework", "Task", "Model", "FrameworkVersion"} == set(flow["metadata"][0])
    assert any("resnet50" in row["Model"] for row in flow["metadata"])


@pytest.mark.parametrize("kind", ["default", "advanced"])
def test_a_job_completes_with_the_references_columns(flow: dict[str, Any], kind: str):
    job = flow[kind]
    assert job["described"]["Status"] == "COMPLETED", job["described"]
    assert set(job["columns"]) == COLUMNS
    for row in job["rows"]:
        assert 10 < row["MaxInvocations"] < 10_000
        assert row["CostPerInference"] == pytest.approx(
            row["CostPerHour"] / (60 * row["MaxInvocations"]), rel=0.02
        )
        assert row["ModelLatency"] > 10
        assert 0 < row["CpuUtilization"] <= 100
    for one in job["described"]["InferenceRecommendations"]:
        assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,63}/\w{8}", one["RecommendationId"])
        assert one["InvocationStartTime"] < one["InvocationEndTime"]


def test_types_that_this_host_cannot_tell_apart_are_measured_once_and_told_apart_by_price(
    flow: dict[str, Any],
):
    job = flow["default"]
    types = {
        step["InferenceBenchmark"]["EndpointConfiguration"]["InstanceType"] for step in job["steps"]
    }
    assert types == set(INSTANCE_TYPES)
    starts = {step["InferenceBenchmark"]["InvocationStartTime"] for step in job["steps"]}
    assert len(starts) < len(INSTANCE_TYPES) / 2
    costs = [row["CostPerInference"] for row in job["rows"]]
    assert costs == sorted(costs)
    assert len(job["rows"]) == 10
    tags = {tag["Key"]: tag["Value"] for tag in job["tags"]}
    assert tags["rightsizer:provenance"] == "stand-in"
    assert "by-price-only" in tags["rightsizer:doubts"]
    assert "time-scaled" in tags["rightsizer:doubts"]


def test_an_advanced_jobs_rows_carry_the_target_and_its_swept_variables(flow: dict[str, Any]):
    rows = flow["advanced"]["rows"]
    assert {row["EnvironmentParameters"][0]["Value"] for row in rows} == {"2", "4"}
    for row in rows:
        assert row["EnvironmentParameters"][0]["Key"] == "OMP_NUM_THREADS"
        assert row["MaxInvocations"] >= 300
        assert row["CostPerHour"] == pytest.approx(row["InitialInstanceCount"] * 0.204)
    tags = {tag["Key"]: tag["Value"] for tag in flow["advanced"]["tags"]}
    assert tags["rightsizer:basis"] == "closed"


def test_the_command_line_sees_the_same_jobs(flow: dict[str, Any], folder: Path):
    name = flow["advanced"]["described"]["JobName"]
    shown = subprocess.run(
        [*command(), "show", name, "--store", str(folder / "store"), "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(shown.stdout)
    assert len(document["recommendations"]) == len(flow["advanced"]["rows"])
    for trial in document["trials"]:
        if trial["state"] == "succeeded":
            requests = trial["requests"]
            stored = read_samples(sorted(Path(trial["samples"]).glob("samples-*.bin")))
            assert len(stored) == requests["attempted"] + requests["dropped"] > 0


def test_the_sdk_right_sizes_a_model_and_a_package(flow: dict[str, Any], served: dict[str, str]):
    urls = ("s3://a-bucket/inference/model.tar.gz", "s3://a-bucket/inference/payload.tar.gz")
    printed = run("sdk_flow.py", served, *urls)
    said = json.loads(printed.split("RESULT ", 1)[1])
    assert said["job"]["Status"] == "COMPLETED"
    for rows in (said["model"], said["package"]):
        [row] = rows
        assert row["EndpointConfiguration"]["InstanceType"] == "ml.c5.xlarge"
        assert row["Metrics"]["MaxInvocations"] >= 100
