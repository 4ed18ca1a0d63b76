"""Engines at tcp:// and ssh:// addresses: theirs is another machine, as far as anybody can tell."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import httpx
import pytest
from rightsizer.errors import Reason, TrialInterrupted
from rightsizer.hosts.docker.engine import Engine, tls_of
from rightsizer.hosts.docker.host import DockerHost
from rightsizer.hosts.docker.ownership import labels_of, this_process
from rightsizer.hosts.docker.survey import network_round_trip_s, survey
from rightsizer.hosts.docker.turns import take_turn
from rightsizer.inventory import HostSpec, TlsFiles

from tests.certificates import make_certificates
from tests.hosts.containers import container_launch, left
from tests.hosts.images import address, make_image, require_engine
from tests.hosts.processes import eventually
from tests.hosts.relay import Relay
from tests.hosts.tools import put_program

pytestmark = [pytest.mark.docker, pytest.mark.shared_cpus]


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("pem"))


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    require_engine()
    with contextlib.closing(docker.APIClient(base_url=address())) as made:
        yield made


def asking_for_certificates(pem: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pem / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(pem / "server.pem", pem / "server.key")
    return context


@pytest.fixture
def ssh(tmp_path, monkeypatch) -> HostSpec:
    """A host reached by a program called ssh, which here stays on this machine."""
    pytest.importorskip("paramiko", reason="the SDK wants it for ssh:// addresses")
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec docker -H {address()} system dial-stdio\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return HostSpec(name="far", kind="docker", address="ssh://ops@127.0.0.1", publish=True)


# The SDK leaves its ssh processes to the garbage collector.
LEAVES_SSH = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(params=["plain", "tls", pytest.param("ssh", marks=LEAVES_SSH)])
def far(request, client, pem) -> Iterator[HostSpec]:
    """A host whose engine is reached over TCP, or by ssh."""
    context, files = None, None
    if request.param == "ssh":
        yield request.getfixturevalue("ssh")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        return
    if request.param == "tls":
        context = asking_for_certificates(pem)
        names = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
        files = TlsFiles(**{key: str(pem / name) for key, name in names.items()})
    with Relay(socket.create_server(("127.0.0.1", 0)), context) as relay:
        yield HostSpec(name="far", kind="docker", address=relay.address, tls=files, publish=True)


def test_a_model_is_copied_there_and_the_port_is_published(far, tmp_path, client):
    model = tmp_path / "model"
    (model / "1").mkdir(parents=True)
    (model / "1" / "weights").write_text("42")
    image = client.inspect_image(make_image(client))["Id"]
    launch = container_launch(tmp_path, image, model_dir=model)
    with DockerHost(far).start(launch) as server:
        url = server.endpoint.url
        assert url.startswith("http://127.0.0.1:")
        read = "/eval?open('/opt/ml/model/1/weights').read()"
        assert httpx.get(url + read, trust_env=False).json() == "42"
        writable = "/eval?__import__('os').access('/opt/ml/model',2)"
        assert httpx.get(url + writable, trust_env=False).json() is False
        assert eventually(lambda: len(server.usage()) >= 2)
        assert len(left(client, launch.job_id)) == 4  # container, lease, network and volume
    assert left(client, launch.job_id) == []


def test_a_far_machine_runs_one_trial_at_a_time_whoever_asks(far, tmp_path, client):
    image = client.inspect_image(make_image(client))["Id"]
    first, second = (container_launch(tmp_path / name, image) for name in ("first", "second"))
    mine, theirs = DockerHost(far), DockerHost(far)
    with mine.start(first):
        assert not theirs.answers()
        with pytest.raises(TrialInterrupted) as caught:
            theirs.start(second).__enter__()
        assert caught.value.reason is Reason.HOST_BUSY
        assert caught.value.detail.endswith("of job job-first")
        assert left(client, second.job_id) == []
    assert theirs.answers()
    with theirs.start(second):
        assert len(left(client, second.job_id)) == 3  # container, lease and network
    assert left(client, second.job_id) == []


def test_the_lease_of_an_engine_that_died_is_nobodys(far, tmp_path, client):
    image = client.inspect_image(make_image(client))["Id"]
    gone = subprocess.Popen(["true"])
    gone.wait()
    owner = replace(this_process(), pid=gone.pid, started="1")
    labels = labels_of(owner, "run-of-the-dead", "job-of-the-dead", "t", time.time() + 3600)
    with Engine(far.address, tls_of(far)) as engine:
        take_turn(engine, labels, image)
    launch = container_launch(tmp_path, image)
    with DockerHost(far).start(launch):
        assert left(client, "job-of-the-dead") == []


def test_it_is_asked_what_it_has(far, client):
    image = make_image(client)
    facts = survey(far, [image, "no/such:1"])
    assert facts.fault == ""
    assert facts.cpu_count == client.info()["NCPU"]
    assert set(facts.images) == {image}


def test_a_round_trip_is_that_of_the_network_and_not_of_a_login():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for scheme in ("tcp", "ssh"):
            found_s = network_round_trip_s(f"{scheme}://127.0.0.1:{port}")
            assert found_s is not None
            assert found_s < 0.1
    # Nobody listens there any more: ssh may know another way.
    assert network_round_trip_s(f"ssh://127.0.0.1:{port}") is None
    assert network_round_trip_s("unix:///var/run/docker.sock") is None


def test_without_the_certificate_it_asks_for_it_is_told_in_one_line(client, pem):
    context = asking_for_certificates(pem)
    with Relay(socket.create_server(("127.0.0.1", 0)), context) as relay:
        facts = survey(HostSpec(name="far", kind="docker", address=relay.address), [])
    assert facts.fault.startswith("host far: no Docker engine answers at tcp://127.0.0.1")
    assert "\n" not in facts.fault


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ca": "no.pem"}, "host far: tls.ca: there is no file"),
        ({"key": "no.key"}, "host far: tls.key: there is no file"),
        # no PEM, and the key of another certificate
        ({"ca": "text"}, "give PEM files"),
        ({"key": "server.key"}, "give PEM files"),
    ],
)
def test_tls_files_that_are_missing_or_wrong_are_named_before_anybody_is_asked(pem, changes, said):
    (pem / "text").write_text("no certificate\n")
    names = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key", **changes}
    files = TlsFiles(**{key: str(pem / name) for key, name in names.items()})
    host = HostSpec(name="far", kind="docker", address="tcp://192.0.2.1:2376", tls=files)
    fault = survey(host, []).fault
    assert said in fault
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo 'No ED25519 host key is known for rack1 and you have requested strict checking.\n"
            "Host key verification failed.' >&2; exit 255",
            "host far: rack1 is not in known_hosts, or has another key; `ssh -l ops -p 2222 rack1`",
        ),
        (
            "echo 'ops@rack1: Permission denied (publickey).' >&2; exit 255",
            "ssh to rack1 failed: ops@rack1: Permission denied (publickey); `ssh -l ops",
        ),
        ("exit 3", "ssh to rack1 failed: exit code 3"),
    ],
)
def test_a_machine_that_nobody_can_log_in_to_unasked_is_told_with_what_to_do(
    tmp_path, monkeypatch, capfd, script, said
):
    # What the real one is given must let it ask nothing.
    put_program(tmp_path, monkeypatch, "ssh", f'case "$*" in *BatchMode=yes*) {script} ;; esac')
    address = "ssh://ops@rack1:2222"
    fault = survey(HostSpec(name="far", kind="docker", address=address, publish=True), []).fault
    assert said in fault
    assert "\n" not in fault
    assert capfd.readouterr() == ("", "")
