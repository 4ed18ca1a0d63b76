"""Real jobs on a real Docker engine: what is left of them, and what they say when they cannot."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from rightsizer.hosts.docker.ownership import RUN

from tests.hosts.images import address, load_foreign_image, make_image, require_engine

from .conftest import command, wait_until_none
from .test_lifecycle import start, wait_for_line

pytestmark = pytest.mark.docker

JOB = """\
name: {name}
server:
  image: {image}
  command: ["python3", "-u", "/ready.py", "{{port}}", {words}]
  protocol: raw
  request: {{path: {path}, method: GET}}
  ready_path: /ping
  environment: {{LISTEN: 0.0.0.0}}
  request_timeout_s: 2
  ready_timeout_s: 20
payload: {{archive: body.txt, content_type: text/plain}}
candidates:
  - instance_type: {kind}
traffic: {{type: rate, per_s: 20, duration_s: {duration_s}}}
limit: {{latency_ms: 500}}
hosts: hosts.yaml
"""
HOSTS = "hosts:\n  - {name: rack, kind: docker}\n"


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    require_engine()
    with contextlib.closing(docker.APIClient(base_url=address())) as made:
        yield made


@pytest.fixture
def write_job(tmp_path, client) -> Callable[..., Path]:
    """A job file around the small server in a container."""

    def write(hosts: str = HOSTS, **changes: object) -> Path:
        given = {
            "name": "contained",
            "image": make_image(client),
            "words": "",
            "path": "/ping",
            "kind": "local.1cpu",
            "duration_s": 3,
        }
        (tmp_path / "body.txt").write_text("hello")
        (tmp_path / "hosts.yaml").write_text(hosts)
        path = tmp_path / "job.yaml"
        path.write_text(JOB.format(**{**given, **changes}))
        return path

    return write


def ours(client: docker.APIClient) -> set[str]:
    """All that carries our label."""
    filters = {"label": RUN}
    return {
        *(found["Names"][0] for found in client.containers(all=True, filters=filters)),
        *(found["Name"] for found in client.networks(filters=filters)),
        *(found["Name"] for found in client.volumes(filters=filters)["Volumes"] or []),
    }


def eventually_only(client: docker.APIClient, kept: set[str], within_s: float) -> set[str]:
    """What there is beside `kept` when the time is up; empty as soon as nothing is."""
    deadline_s = time.monotonic() + within_s
    while (left := ours(client) - kept) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return left


MOMENTS = {
    "before anything": (None, 0.7),
    "while it is made": ("starting the server", 0.1),
    "while it starts": ("starting the server", 0.5),
    "once it is ready": ("server ready", 0.0),
    "in a step": ("step 1", 1.0),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_is_left_within_ten_seconds_of_a_kill_9(tmp_path, write_job, client, moment):
    line, wait_s = MOMENTS[moment]
    before = ours(client)
    # Somebody else's, and one of an engine that lives: both must stay.
    labels = {"com.example.owner": "somebody"}
    other = client.create_container(make_image(client), ["/x"], labels=labels)["Id"]
    try:
        process = start("run", write_job(duration_s=30, words='"slow"'))
        with process:
            if line:
                wait_for_line(process, line if line != "step 1" else "server ready")
            time.sleep(wait_s)
            if moment in ("once it is ready", "in a step"):
                assert len(ours(client) - before) == 2
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        assert eventually_only(client, before, 10.0) == set()
        assert wait_until_none(tmp_path, 10.0) == []
        client.inspect_container(other)
    finally:
        client.remove_container(other, force=True)


def test_three_interrupts_leave_nothing(tmp_path, write_job, client):
    before = ours(client)
    with start("run", write_job(duration_s=30, words='"stubborn"')) as process:
        wait_for_line(process, "server ready")
        for _ in range(3):
            os.kill(process.pid, signal.SIGINT)
            time.sleep(0.1)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert eventually_only(client, before, 10.0) == set()
    assert wait_until_none(tmp_path, 10.0) == []


def test_a_living_engines_container_survives_the_death_of_another(
    tmp_path, write_job, client, monkeypatch
):
    job = write_job(duration_s=20)
    with start("run", job) as living:
        wait_for_line(living, "server ready")
        kept = ours(client)
        assert len(kept) == 2  # a container and its network
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # the CPUs are leased to the first
        with start("run", job) as dying:
            wait_for_line(dying, "server ready")
            assert len(ours(client)) == 4
            os.kill(dying.pid, signal.SIGKILL)
            dying.communicate()
        assert eventually_only(client, kept, 10.0) == set()
        said = subprocess.run([*command(), "gc"], capture_output=True, text=True, check=False)
        assert "removed container" not in said.stdout
        assert ours(client) == kept
        living.communicate(timeout=60)
        assert living.returncode == 0
    assert eventually_only(client, set(), 5.0) == set()


def test_what_a_dead_engine_and_its_guardian_left_is_swept_by_gc(tmp_path, write_job, client):
    with start("run", write_job(duration_s=30)) as process:
        wait_for_line(process, "server ready")
        tree = [*map(int, _children(process.pid)), process.pid]
        for pid in tree:
            os.kill(pid, signal.SIGKILL)
        process.communicate()
    assert len(ours(client)) == 2
    said = subprocess.run([*command(), "gc"], capture_output=True, text=True, check=False)
    assert "rack: removed container rightsizer-" in said.stdout
    assert "rack: removed network rightsizer-" in said.stdout
    assert ours(client) == set()
    assert wait_until_none(tmp_path, 10.0) == []


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_job_in_containers_is_measured_with_its_usage(write_job, rightsizer, client):
    done = rightsizer("run", write_job(duration_s=5), "--json", "-")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    [trial] = document["trials"]
    assert trial["state"] == "succeeded"
    assert trial["requests"]["succeeded"] > 50
    assert document["recommendations"][0]["provenance"] == "native"
    assert document["recommendations"][0]["cpu_utilization_percent"] > 0
    assert ours(client) == set()


def test_a_relaxation_is_in_the_plan_and_in_the_report(write_job, rightsizer):
    job = write_job()
    job.write_text(
        job.read_text().replace(
            "  ready_path:", "  container: {writable_root: true}\n  ready_path:"
        )
    )
    plan = rightsizer("plan", job)
    assert plan.returncode == 0, plan.stderr
    assert "server.container.writable_root: it can fill the host's disk" in plan.stdout
    document = json.loads(rightsizer("run", job, "--json", "-").stdout)
    codes = {doubt["code"] for doubt in document["recommendations"][0]["doubts"]}
    assert "relaxed-container" in codes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": "no/such:1"}, "`docker -H {address} pull no/such:1` gets it"),
        ({"kind": "local.2cpu"}, "leaves the generator no physical core of its own"),
    ],
)
def test_a_candidate_that_cannot_run_is_told_before_anything_starts(
    write_job, rightsizer, client, changes, said
):
    job = write_job(**changes)
    for verb in ("plan", "run"):
        done = rightsizer(verb, job)
        assert done.returncode == 4
        assert said.format(address=address()) in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_gpu_on_a_host_without_one_is_told_before_anything_starts(write_job, rightsizer, client):
    done = rightsizer("run", write_job(kind="ml.g4dn.xlarge"))
    assert done.returncode == 4
    [line] = done.stderr.splitlines()
    assert "ml.g4dn.xlarge needs 1 x NVIDIA T4 and this host has" in line
    assert ours(client) == set()


def test_an_image_for_another_processor_is_told_before_anything_starts(
    write_job, rightsizer, client
):
    load_foreign_image(client, "rightsizer-test/foreign:1")
    done = rightsizer("run", write_job(image="rightsizer-test/foreign:1"))
    assert done.returncode == 4
    assert "image rightsizer-test/foreign:1 is for s390x" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    client.remove_image("rightsizer-test/foreign:1")


@pytest.mark.parametrize(
    ("host", "code", "said"),
    [
        ("kind: podman", 3, "kind"),
        ("kind: docker, address: 'npipe://x'", 3, "address"),
        ("kind: docker, address: 'tcp://10.0.0.5:2375'", 3, "plain tcp"),
        ("kind: docker, address: 'tcp://10.0.0.5'", 3, "names no engine"),
        ("kind: docker, address: 'unix:///no/such.sock'", 4, "no Docker engine answers"),
        ("kind: docker, address: 'tcp://127.0.0.1:1', publish: true", 4, "refused"),
        ("kind: docker, server_cpus: '4000'", 4, "CPUs"),
        (
            "kind: docker, address: 'tcp://10.0.0.5:2376', publish: true, "
            "tls: {ca: no.pem, cert: no.pem, key: no.pem}",
            4,
            "tls.ca: there is no file",
        ),
        ("kind: docker, address: 'ssh://127.0.0.1:1', publish: true", 4, "ssh to 127.0.0.1"),
        (
            "kind: docker, provides: [{instance_type: local.1cpu, as: native, memory_gib: 9999}]",
            4,
            "needs 9,999 GiB and host rack has",
        ),
    ],
)
def test_a_host_that_cannot_be_is_one_line(write_job, rightsizer, host, code, said):
    done = rightsizer("run", write_job(hosts=f"hosts:\n  - {{name: rack, {host}}}\n"))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_hosts_of_a_job_are_shown_with_its_image_and_how_far_they_are(
    write_job, rightsizer, client
):
    image = make_image(client)
    done = rightsizer("hosts", "--job", write_job(image=image))
    assert done.returncode == 0, done.stderr
    assert f"  image {image}: here\n" in done.stdout
    [host] = json.loads(rightsizer("hosts", "--job", write_job(), "--json", "-").stdout)["hosts"]
    told = client.info()
    assert (host["engine_version"], host["cpu_count"]) == (told["ServerVersion"], told["NCPU"])
    assert 0 < host["round_trip_s"] < 1
    # The same machine's clock, told in the middle of the call.
    assert abs(host["clock_offset_s"]) <= host["clock_error_s"] + 0.001
    assert ours(client) == set()


def test_an_image_that_is_not_on_a_host_is_shown_with_what_brings_it(write_job, rightsizer):
    done = rightsizer("hosts", "--job", write_job(image="no/such:1"))
    assert done.returncode == 0, done.stderr
    assert f"`docker -H {address()} pull no/such:1` gets it" in done.stdout


def test_a_container_that_is_paused_in_a_step_is_hung(write_job, rightsizer, client):
    def strike() -> None:
        while not struck:
            found = client.containers(filters={"label": RUN})
            samples = list(Path(os.environ["RIGHTSIZER_STORE"]).glob("jobs/*/*/samples-0.bin"))
            if found and any(path.stat().st_size for path in samples):
                client.pause(found[0]["Id"])
                struck.append(1)
            time.sleep(0.2)

    struck: list[int] = []
    thread = threading.Thread(target=strike)
    thread.start()
    try:
        done = rightsizer("run", write_job(duration_s=20), "--json", "-")
    finally:
        struck.append(0)
        thread.join()
    [trial] = json.loads(done.stdout)["trials"]
    assert (trial["state"], trial["reason"]) == ("failed", "hung")
    assert "paused" in trial["detail"]
    assert ours(client) == set()
