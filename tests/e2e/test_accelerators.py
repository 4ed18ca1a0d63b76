"""Jobs for GPUs where `nvidia-smi` is a program that prints what the real one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.hosts.tools import T4, put_nvidia_smi

from .conftest import command, wait_until_none
from .test_lifecycle import start, wait_for_line

pytestmark = pytest.mark.server


@pytest.fixture
def gpu_job(tmp_path, monkeypatch, write_job):
    put_nvidia_smi(tmp_path, monkeypatch, busy=f"{T4}, 37, 2048\n")
    job = write_job()
    job.write_text(job.read_text().replace("local.1cpu", "local.gpu"))
    return job


def test_a_job_for_a_gpu_is_measured_with_what_the_gpu_did(gpu_job, rightsizer, tmp_path):
    done = rightsizer("run", gpu_job, "--json", "-")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    [row] = document["recommendations"]
    assert row["provenance"] == "native"
    assert row["accelerator_utilization_percent"] == pytest.approx(37.0)
    [given] = document["trials"][0]["placement"]["accelerators"]
    assert (given["id"], given["name"]) == (T4, "Tesla T4")
    assert wait_until_none(tmp_path, 5.0) == []


@pytest.mark.shared_cpus
def test_nothing_of_it_is_left_after_a_kill_9(gpu_job, tmp_path):
    with start("run", gpu_job) as process:
        wait_for_line(process, "server ready")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert wait_until_none(tmp_path, 10.0) == []


@pytest.mark.shared_cpus
def test_where_there_is_no_gpu_the_plan_says_so(write_job, rightsizer):
    job = write_job()
    job.write_text(job.read_text().replace("local.1cpu", "ml.g4dn.xlarge"))
    for verb in ("plan", "run"):
        done = rightsizer(verb, job)
        assert done.returncode == 4
        [line] = done.stderr.splitlines()
        assert "ml.g4dn.xlarge needs 1 x NVIDIA T4 and this host has" in line


@pytest.mark.shared_cpus
def test_a_gpu_that_another_job_measures_on_is_not_shared(gpu_job, tmp_path):
    with start("run", gpu_job) as first:
        wait_for_line(first, "server ready")
        second = subprocess.run(
            [*command(), "plan", str(gpu_job)], capture_output=True, text=True, check=False
        )
        first.communicate(timeout=60)
    assert second.returncode == 4
    assert f"{T4} is leased to job e2e-" in second.stderr
