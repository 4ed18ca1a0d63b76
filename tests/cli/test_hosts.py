"""`rightsizer hosts`: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from rightsizer.hosts.lease import lease

from tests.fakes import JOB, write_job
from tests.hosts.tools import T4, put_nvidia_smi

from .test_cli import rightsizer


@pytest.fixture
def hosts_file(tmp_path: Path):
    def write(*entries: str) -> Path:
        path = tmp_path / "hosts.yaml"
        path.write_text("hosts:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries))
        return path

    return write


def test_without_a_file_it_is_this_machine():
    done = rightsizer("hosts")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("local: process, this machine:\n")
    assert f"of {os.cpu_count()} may be used" in done.stdout
    [host] = json.loads(rightsizer("hosts", "--json", "-").stdout)["hosts"]
    assert host["memory_bytes"] > 0
    assert {"instance_type": "local.1cpu", "provenance": "native"}.items() <= host["types"][
        0
    ].items()


def test_each_hosts_problem_is_a_line_and_the_others_are_shown_all_the_same(hosts_file, tmp_path):
    path = hosts_file(
        "name: a",
        f"name: b, kind: docker, address: 'unix://{tmp_path}/none.sock'",
        "name: c, server_cpus: '4000'",
    )
    done = rightsizer("hosts", path, "--json", tmp_path / "out.json")
    assert done.returncode == 4
    first, second = done.stderr.splitlines()
    assert first.startswith("error: host b: no Docker engine answers at unix://")
    assert "start Docker there" in first
    assert second.startswith("error: host c: server_cpus 4000 may not be used there")
    assert [line.partition(":")[0] for line in done.stdout.splitlines() if line[:1].strip()] == [
        "a",
        "b",
        "c",
    ]
    hosts = json.loads((tmp_path / "out.json").read_text())["hosts"]
    assert [len(host["problems"]) for host in hosts] == [0, 1, 1]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("name: a, kind: podman", "hosts[0].kind"),
        ("name: a, kind: docker, address: 'npipe://x'", "hosts[0].address"),
        ("name: a, kind: docker, address: 'tcp://10.0.0.5:2375'", "plain tcp"),
        ("name: a, accelerators: ['0']", "hosts[0].accelerators"),
    ],
)
def test_a_hosts_file_that_is_wrong_is_one_line_and_exit_code_3(hosts_file, entry, said):
    done = rightsizer("hosts", hosts_file(entry))
    assert (done.returncode, done.stdout) == (3, "")
    [line] = done.stderr.splitlines()
    assert said in line


@pytest.mark.parametrize("arguments", [["no.yaml"], ["--job", "no.yaml"]])
def test_a_file_that_is_not_there_is_exit_code_3(arguments):
    done = rightsizer("hosts", *arguments)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


def test_a_job_brings_its_hosts_file_and_its_price_files_types(hosts_file, tmp_path):
    hosts_file(
        "name: mine, provides: [{instance_type: rack.box, as: stand-in, cpus: 1, memory_gib: 1}]"
    )
    job = write_job(tmp_path, JOB + "hosts: hosts.yaml\n")
    (tmp_path / "prices.csv").write_text("instance_type,price_per_hour\nrack.box,0.5\n")
    [host] = json.loads(rightsizer("hosts", "--job", job, "--json", "-").stdout)["hosts"]
    assert host["name"] == "mine"
    fits = {fit["instance_type"]: fit["provenance"] for fit in host["types"]}
    assert fits["rack.box"] == "stand-in"


def test_gpus_and_leases_are_shown(tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch)
    with lease([0], "job demo", accelerators=[T4]):
        done = rightsizer("hosts")
    assert f"accelerators: 1 x Tesla T4 (15 GiB): {T4}" in done.stdout, done.stdout
    assert "untried: no GPU or Inferentia chip has ever run" in done.stdout
    assert "leased now: CPU 0 by job demo" in done.stdout
    assert "local.gpu (native" in done.stdout
    assert "local.gpu" in rightsizer("instance-types").stdout
