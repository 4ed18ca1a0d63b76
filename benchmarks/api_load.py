"""What asking the API costs while a job runs: how fast it answers, and whether the job notices.

    python benchmarks/api_load.py [--pairs 6] [--phase-s 20] [--json]

A real `rightsizer serve` with a server of 5 ms a request. Jobs run in pairs: one is asked about
20 times a second (Describe and List of 100 jobs in turn, from the generator's CPU, where a client
far away would not be), the other hardly; which goes first alternates. Figures: P99 from the
request to the answer's last byte (at most 50 ms), and the ratio of the two maxima, whose 95 %
interval must hold 1 and be at most 3 % to either side, by paired log ratios. The exit status is 1
where one is missed. Six minutes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from rightsizer.analysis.intervals import t_quantile

DESCRIBE, LIST = "DescribeInferenceRecommendationsJob", "ListInferenceRecommendationsJobs"
RATE_PER_S = 20.0
MOST_P99_MS = 50.0
MOST_HALF = 0.03
"""Half of the interval of the log ratio."""
SERVICE_MS = 5
PHASE_S = 120
JOBS = 250
"""In the store, as paginators walk them."""
ROLE = "arn:aws:iam::123456789012:role/anybody"


def main() -> int:
    """Measure, print, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--phase-s", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, served(Path(made), options.phase_s) as client:
        folder = Path(made)
        queue_stopped(client, folder)
        ratios: list[float] = []
        answers_ms: dict[str, list[float]] = {DESCRIBE: [], LIST: []}
        for pair in range(options.pairs):
            maxima = {}
            for asked in (True, False) if pair % 2 else (False, True):
                name = f"pair-{pair}-{'asked' if asked else 'quiet'}"
                maximum, took_ms = job(client, folder, name, asked)
                maxima[asked] = maximum
                for operation, values in took_ms.items() if asked else ():
                    answers_ms[operation] += values
            ratios.append(math.log(maxima[True] / maxima[False]))
            print(f"pair {pair + 1}: {maxima[False]} quiet, {maxima[True]} asked", file=sys.stderr)
    every_ms = [value for values in answers_ms.values() for value in values]
    mean = statistics.mean(ratios)
    half = t_quantile(len(ratios) - 1) * statistics.stdev(ratios) / math.sqrt(len(ratios))
    low, high = mean - half, mean + half
    found = {
        "answers": len(every_ms),
        "p50_ms": quantile(every_ms, 0.50),
        "p99_ms": quantile(every_ms, 0.99),
        "p99_ms_of": {name: quantile(values, 0.99) for name, values in answers_ms.items()},
        "maximum_ratio": math.exp(mean),
        "maximum_ratio_ci": [math.exp(low), math.exp(high)],
        "pairs": options.pairs,
    }
    # An interval that holds everything shows nothing.
    missed = found["p99_ms"] > MOST_P99_MS or not low <= 0 <= high or half > MOST_HALF
    if options.json:
        print(json.dumps({**found, "missed": missed}))
    else:
        ci = " to ".join(f"{value:.3f}" for value in found["maximum_ratio_ci"])
        print(
            f"{found['answers']} answers at {RATE_PER_S:g}/s: P50 {found['p50_ms']:.1f} ms, P99 "
            f"{found['p99_ms']:.1f} ms (at most {MOST_P99_MS:g}); "
            + ", ".join(f"{name} {ms:.1f}" for name, ms in found["p99_ms_of"].items())
        )
        print(
            f"maximum of a job that is asked about over one that is not: "
            f"{found['maximum_ratio']:.3f} ({ci}), {options.pairs} pairs"
        )
    return int(missed)


def quantile(values: list[float], p: float) -> float:
    """Nearest rank."""
    return sorted(values)[max(0, math.ceil(p * len(values)) - 1)]


@contextmanager
def served(folder: Path, phase_s: float) -> Iterator[Any]:
    """A client of a server whose phases of 120 s take `phase_s`."""
    (folder / "body").write_bytes(b"x" * 1000)
    with tarfile.open(folder / "payload.tar.gz", "w:gz") as tar:
        tar.add(folder / "body", arcname="body")
    command = ["{python}", "-m", "rightsizer.instrument.truth_server", "{port}", "--law", "fixed"]
    command += ["--service-ms", str(SERVICE_MS)]
    (folder / "serve.yaml").write_text(
        json.dumps(
            {"images": [{"uri": "*", "command": command}], "folders": ["."], "hosts": "hosts.yaml"}
        )
    )
    type_ = {"instance_type": "ml.c5.large", "as": "stand-in", "cpus": 1, "memory_gib": 1}
    (folder / "hosts.yaml").write_text(
        json.dumps({"hosts": [{"name": "this", "kind": "process", "provides": [type_]}]})
    )
    program = Path(sys.executable).parent / "rightsizer"
    arguments = ["--port", "0", "--store", "store", "--config", "serve.yaml"]
    arguments += ["--time-scale", str(phase_s / PHASE_S)]
    server = subprocess.Popen(
        [str(program), "serve", *arguments], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        ready = server.stdout.readline()
        os.environ |= dict(word.split("=", 1) for word in shlex.split(ready)[2:])
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        import boto3

        client = boto3.client("sagemaker")
        client.create_model(
            ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "registry/an-image:1"}
        )
        yield client
    finally:
        server.terminate()
        server.communicate()


def queue_stopped(client: Any, folder: Path) -> None:
    """Many jobs that have ended, for lists to be long."""
    for number in range(JOBS):
        create(client, folder, f"ended-{number}")
        client.stop_inference_recommendations_job(JobName=f"ended-{number}")
    while client.list_inference_recommendations_jobs(StatusEquals="STOPPING", MaxResults=1)[
        "InferenceRecommendationsJobs"
    ]:
        time.sleep(1.0)


def create(client: Any, folder: Path, name: str) -> None:
    """A job of three users in a loop."""
    client.create_inference_recommendations_job(
        JobName=name,
        JobType="Advanced",
        RoleArn=ROLE,
        InputConfig={
            "ModelName": "m",
            "ContainerConfig": {
                "Domain": "MACHINE_LEARNING",
                "Task": "OTHER",
                "Framework": "TENSORFLOW",
                "PayloadConfig": {
                    "SamplePayloadUrl": f"file://{folder / 'payload.tar.gz'}",
                    "SupportedContentTypes": ["text/plain"],
                },
            },
            "EndpointConfigurations": [{"InstanceType": "ml.c5.large"}],
            "TrafficPattern": {
                "TrafficType": "PHASES",
                "Phases": [
                    {"InitialNumberOfUsers": 3, "SpawnRate": 0, "DurationInSeconds": PHASE_S}
                ],
            },
        },
    )


def job(client: Any, folder: Path, name: str, asked: bool) -> tuple[int, dict[str, list[float]]]:
    """A job's maximum, and how long each answer took while it ran, ms, by operation."""
    create(client, folder, name)
    took_ms: dict[str, list[float]] = {DESCRIBE: [], LIST: []}
    wire = Wire(client.meta.endpoint_url)
    began_s = time.monotonic()
    number, status = 0, "PENDING"
    while status in ("PENDING", "IN_PROGRESS"):
        due_s = began_s + number / (RATE_PER_S if asked else 0.5)
        time.sleep(max(0.0, due_s - time.monotonic()))
        number += 1
        if number % 2 and asked:
            took_ms[LIST].append(wire.ask(LIST, {"MaxResults": 100})[0])
            continue
        ms, described = wire.ask(DESCRIBE, {"JobName": name})
        took_ms[DESCRIBE].append(ms)
        status = described["Status"]
    if status != "COMPLETED":
        raise SystemExit(f"{name}: {described.get('FailureReason')}")
    [row] = described["InferenceRecommendations"]
    # The last answer's ranking is made for it: no job runs then.
    return row["Metrics"]["MaxInvocations"], {**took_ms, DESCRIBE: took_ms[DESCRIBE][:-1]}


class Wire:
    """A kept connection; what a client spends on signing and parsing is not in the times."""

    def __init__(self, url: str) -> None:
        import botocore.session

        self._url = url
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"))
        session = botocore.session.get_session()
        region = session.get_config_variable("region")
        self._signer = SigV4Auth(session.get_credentials(), "sagemaker", region)

    def ask(self, operation: str, document: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """The time to the answer's last byte, ms, and the answer."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"SageMaker.{operation}",
        }
        request = AWSRequest("POST", f"{self._url}/", data=json.dumps(document), headers=headers)
        self._signer.add_auth(request)
        began_s = time.monotonic()
        self._connection.request("POST", "/", request.data, dict(request.headers))
        answer = self._connection.getresponse()
        body = answer.read()
        took_ms = (time.monotonic() - began_s) * 1000
        if answer.status != 200:
            raise SystemExit(body.decode())
        return took_ms, json.loads(body)


if __name__ == "__main__":
    sys.exit(main())
