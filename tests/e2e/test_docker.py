"""Real jobs on a real Docker engine: what is left of them, and what they say when they cannot."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from rightsizer.cli import main
from rightsizer.hosts.affinity import kept_to
from rightsizer.hosts.docker.engine import Engine
from rightsizer.hosts.docker.ownership import RUN
from rightsizer.hosts.docker.sweep import sweep

from tests.hosts.images import address, load_foreign_image, make_image, require_engine
from tests.hosts.relay import Relay, unix_listener

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
def verb(monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """A verb that starts nothing, in this process: its exit code, what it printed and said."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rightsizer", *map(str, words)])
        capfd.readouterr()
        code = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
            gc.collect()  # the SDK leaves a socket open that fails
        return (code, *capfd.readouterr())

    return call


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
    volumes = client.volumes(filters=filters)["Volumes"] or []
    return {
        *(f"container {c['Names'][0]}" for c in client.containers(all=True, filters=filters)),
        *(f"network {found['Name']}" for found in client.networks(filters=filters)),
        *(f"volume {found['Name']}" for found in volumes),
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


@contextlib.contextmanager
def of_somebody_else(client: docker.APIClient) -> Iterator[None]:
    """A container, a network and a volume that are none of ours, and must stay."""
    labels = {"com.example.owner": "somebody"}
    container = client.create_container(make_image(client), ["/x"], labels=labels)["Id"]
    network = client.create_network(f"somebody-{container[:8]}", labels=labels)["Id"]
    volume = client.create_volume(f"somebody-{container[:8]}", labels=labels)["Name"]
    try:
        yield
    finally:
        client.remove_container(container, force=True)
        client.remove_network(network)
        client.remove_volume(volume)


KINDS = {"near": ["container", "network"], "far": ["container", "container", "network", "volume"]}
"""A far host's second container is its lease."""


@pytest.fixture
def near(write_job) -> Path:
    return write_job(duration_s=30, words='"slow"')


@pytest.fixture
def far(tmp_path, write_job) -> Iterator[Path]:
    """A job whose model is copied to its host, into a volume."""
    with Relay(socket.create_server(("127.0.0.1", 0))) as relay:
        host = f"{{name: far, kind: docker, publish: true, address: '{relay.address}'}}"
        job = write_job(f"hosts:\n  - {host}\n", duration_s=30, words='"slow"')
        with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "body.txt", "model/1/saved_model.pb")
        job.write_text(f"{job.read_text()}model: {{name: m, archive: model.tar.gz}}\n")
        yield job


@pytest.mark.shared_cpus
@pytest.mark.parametrize(
    ("moment", "where"),
    [*((moment, "near") for moment in MOMENTS), ("while it is made", "far"), ("in a step", "far")],
)
def test_nothing_is_left_within_ten_seconds_of_a_kill_9(tmp_path, request, client, moment, where):
    line, wait_s = MOMENTS[moment]
    job = request.getfixturevalue(where)
    before = ours(client)
    with of_somebody_else(client):
        process = start("run", job)
        with process:
            if line:
                wait_for_line(process, line if line != "step 1" else "server ready")
            time.sleep(wait_s)
            if moment in ("once it is ready", "in a step"):
                kinds = [name.split()[0] for name in ours(client) - before]
                assert sorted(kinds) == KINDS[where]
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        assert eventually_only(client, before, 10.0) == set()
        assert wait_until_none(tmp_path, 10.0) == []


@pytest.mark.shared_cpus
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


@pytest.mark.shared_cpus
def test_a_living_engines_container_survives_the_death_of_another(
    tmp_path, write_job, client, monkeypatch
):
    job = write_job(duration_s=60)
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
        living.send_signal(signal.SIGINT)  # it has measured enough
        out, _ = living.communicate(timeout=60)
        assert living.returncode == 130
        assert "local.1cpu" in out
    assert eventually_only(client, set(), 5.0) == set()


@pytest.mark.shared_cpus
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


def test_a_job_in_containers_is_measured_with_its_usage_and_tells_what_was_relaxed(
    write_job, verb, rightsizer, client
):
    job = write_job(duration_s=5)
    relaxed = "  container: {writable_root: true}\n  ready_path:"
    job.write_text(job.read_text().replace("  ready_path:", relaxed))
    code, shown, told = verb("plan", job)
    assert code == 0, told
    assert "server.container.writable_root: it can fill the host's disk" in shown
    done = rightsizer("run", job, "--json", "-")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    [trial] = document["trials"]
    assert trial["state"] == "succeeded"
    assert trial["requests"]["succeeded"] > 50
    [found] = document["recommendations"]
    assert found["provenance"] == "native"
    assert found["cpu_utilization_percent"] > 0
    assert "relaxed-container" in {doubt["code"] for doubt in found["doubts"]}
    assert ours(client) == set()


def test_an_image_that_speaks_sagemakers_contract_is_measured_as_it_is(
    write_job, rightsizer, client
):
    job = write_job(duration_s=3)
    lines = [
        line.replace("protocol: raw", "protocol: sagemaker")
        for line in job.read_text().splitlines(keepends=True)
        if not line.strip().startswith(("command:", "request:", "ready_path:"))
    ]
    job.write_text("".join(lines))
    done = rightsizer("run", job, "--json", "-")
    assert done.returncode == 0, done.stderr
    [trial] = json.loads(done.stdout)["trials"]
    assert trial["requests"]["succeeded"] > 30
    assert ours(client) == set()


@pytest.mark.shared_cpus
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": "no/such:1"}, "`docker -H {address} pull no/such:1` gets it"),
        ({"kind": "local.2cpu"}, "leaves the generator no physical core of its own"),
    ],
)
def test_a_candidate_that_cannot_run_is_told_before_anything_starts(write_job, verb, changes, said):
    job = write_job(**changes)
    for name in ("plan", "run"):
        code, _, told = verb(name, job)
        assert code == 4
        [line] = told.splitlines()
        assert said.format(address=address()) in line


@pytest.mark.shared_cpus
def test_a_gpu_on_a_host_without_one_is_told_before_anything_starts(write_job, verb, client):
    code, _, told = verb("run", write_job(kind="ml.g4dn.xlarge"))
    assert code == 4
    [line] = told.splitlines()
    assert "ml.g4dn.xlarge needs 1 x NVIDIA T4 and this host has" in line
    assert ours(client) == set()


@pytest.mark.shared_cpus
def test_an_image_for_another_processor_is_told_before_anything_starts(write_job, verb, client):
    load_foreign_image(client, "rightsizer-test/foreign:1")
    code, _, told = verb("run", write_job(image="rightsizer-test/foreign:1"))
    assert code == 4
    [line] = told.splitlines()
    assert "image rightsizer-test/foreign:1 is for s390x" in line
    client.remove_image("rightsizer-test/foreign:1")


@pytest.mark.shared_cpus
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
def test_a_host_that_cannot_be_is_one_line(write_job, verb, host, code, said):
    ended, _, told = verb("run", write_job(hosts=f"hosts:\n  - {{name: rack, {host}}}\n"))
    assert ended == code, told
    [line] = told.splitlines()
    assert said in line


@pytest.mark.shared_cpus
def test_the_hosts_of_a_job_are_shown_with_its_image_and_how_far_they_are(write_job, verb, client):
    image = make_image(client)
    code, shown, told = verb("hosts", "--job", write_job(image=image))
    assert code == 0, told
    assert f"  image {image}: here\n" in shown
    [host] = json.loads(verb("hosts", "--job", write_job(), "--json", "-")[1])["hosts"]
    told = client.info()
    assert (host["engine_version"], host["cpu_count"]) == (told["ServerVersion"], told["NCPU"])
    assert 0 < host["round_trip_s"] < 1
    # The same machine's clock, told in the middle of the call.
    assert abs(host["clock_offset_s"]) <= host["clock_error_s"] + 0.001
    assert ours(client) == set()


@pytest.mark.shared_cpus
def test_an_image_that_is_not_on_a_host_is_shown_with_what_brings_it(write_job, verb):
    code, shown, told = verb("hosts", "--job", write_job(image="no/such:1"))
    assert code == 0, told
    assert f"`docker -H {address()} pull no/such:1` gets it" in shown


def in_a_step(client: docker.APIClient, strike: Callable[[str], object]) -> Callable[[], None]:
    """Does that once to the container that is being measured; to be run in a thread."""
    stop_s = time.monotonic() + 60

    def run() -> None:
        while time.monotonic() < stop_s:
            found = client.containers(filters={"label": RUN})
            samples = list(Path(os.environ["RIGHTSIZER_STORE"]).glob("jobs/*/*/samples-0.bin"))
            if found and any(path.stat().st_size for path in samples):
                strike(found[0]["Id"])
                return
            time.sleep(0.2)

    return run


def run_out_of_memory(client: docker.APIClient, container: str) -> None:
    client.update_container(container, mem_limit=64 << 20, memswap_limit=64 << 20)
    hog = ["python3", "-c", "x = bytearray(b'x') * (200 << 20)"]
    client.exec_start(client.exec_create(container, hog)["Id"])


STRIKES = {
    "killed": (docker.APIClient.kill, "crashed", "SIGKILL"),
    "paused": (docker.APIClient.pause, "hung", "paused"),
    "out of memory": (run_out_of_memory, "out-of-memory", "a process of the server"),
}


@pytest.mark.shared_cpus
@pytest.mark.parametrize("strike", STRIKES)
def test_what_befalls_a_container_in_a_step_ends_the_trial_with_its_own_reason(
    write_job, rightsizer, client, strike
):
    act, reason, said = STRIKES[strike]
    job = write_job(duration_s=20)
    thread = threading.Thread(target=in_a_step(client, lambda found: act(client, found)))
    thread.start()
    done = rightsizer("run", job, "--json", "-")
    thread.join()
    [trial] = json.loads(done.stdout)["trials"]
    assert (trial["state"], trial["reason"]) == ("failed", reason)
    assert said in trial["detail"]
    assert done.returncode == 6
    assert ours(client) == set()


@pytest.mark.shared_cpus
def test_an_engine_that_is_gone_in_a_step_interrupts_the_trial_and_the_job_ends(
    tmp_path, write_job, rightsizer, client
):
    with Relay(unix_listener(tmp_path / "relay.sock")) as relay:
        hosts = f"hosts:\n  - {{name: rack, kind: docker, address: '{relay.address}'}}\n"
        job = write_job(hosts, duration_s=10)
        # A host that is gone is waited for, but no longer than the job may take.
        job.write_text(f"{job.read_text()}limits: {{duration_s: 20}}\n")
        thread = threading.Thread(target=in_a_step(client, lambda found: relay.cut()))
        thread.start()
        done = rightsizer("run", job, "--json", "-")
        thread.join()
    trials = json.loads(done.stdout)["trials"]
    assert {(trial["state"], trial["reason"]) for trial in trials} == {("interrupted", "host-lost")}
    assert done.returncode == 6
    assert len(ours(client)) == 2  # nobody could remove them
    said = rightsizer("gc")  # of this job's host the address is gone, not the engine
    assert "not swept: no Docker engine answers" in said.stdout
    with Engine(address()) as engine:
        assert len(sweep(engine)) == 2
    assert ours(client) == set()


def test_two_jobs_at_once_never_share_a_cpu(write_job, client):
    """They may use the same two CPUs, which is enough for one of them."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    job = write_job(duration_s=3)
    with kept_to(cpus):
        both = [start("run", job), start("run", job)]
    said = []
    for process in both:
        with process:
            _, text = process.communicate(timeout=60)
            said.append((process.returncode, text))
    (ran, _), (refused, why) = sorted(said)
    assert (ran, refused) == (0, 4), why
    assert "leased to" in why
    assert ours(client) == set()
