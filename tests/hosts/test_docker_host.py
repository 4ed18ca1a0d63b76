"""The Docker host with real containers: how they start, fail, are confined and end."""

from __future__ import annotations

import contextlib
import errno
import gc
import itertools
import json
import os
import socket
import stat
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import docker
import httpx
import pytest
from rightsizer.accelerators import Accelerator
from rightsizer.containers import SAGEMAKER_COMMAND
from rightsizer.errors import Reason, TrialFailed, TrialInterrupted
from rightsizer.hosts.docker import host as docker_host_module
from rightsizer.hosts.docker.engine import Engine
from rightsizer.hosts.docker.host import DockerHost
from rightsizer.hosts.docker.ownership import labels_of, this_process
from rightsizer.hosts.docker.sweep import sweep
from rightsizer.hosts.docker.watch import processes_of
from rightsizer.hosts.tree import run_delays_ns
from rightsizer.inventory import HostSpec

from tests.hosts.containers import container_launch, docker_host, left
from tests.hosts.images import address, make_image, require_engine
from tests.hosts.outside import another_machine
from tests.hosts.processes import SERVER_CPU, eventually
from tests.hosts.relay import Relay, unix_listener
from tests.hosts.tools import neuron_monitor_line, put_program

pytestmark = [pytest.mark.docker, pytest.mark.shared_cpus]


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    require_engine()
    with contextlib.closing(docker.APIClient(base_url=address())) as made:
        yield made


@pytest.fixture
def image(client) -> str:
    return client.inspect_image(make_image(client))["Id"]


@pytest.fixture
def job(tmp_path) -> str:
    """The label of this test's containers."""
    return f"job-{tmp_path.name}"


@pytest.fixture(autouse=True)
def _nothing_left(client, job, monkeypatch):
    """A stubborn server need not cost 5 s; and nothing of a test is left in the engine."""
    monkeypatch.setattr(docker_host_module, "STOP_GRACE_S", 1)
    yield
    assert left(client, job) == []


@pytest.fixture
def start(tmp_path, image):
    def run(*words: str, tick=lambda: None, publish: bool = False, **changes: object):
        host = docker_host(publish=publish)
        return host.start(container_launch(tmp_path, image, *words, **changes), tick)

    return run


def failure(context, error: type[Exception] = TrialFailed) -> TrialFailed:
    with pytest.raises(error) as caught, context:
        raise AssertionError("it started")
    return caught.value


def get(server, path: str):
    return httpx.get(server.endpoint.url + path, trust_env=False, timeout=10).json()


def inside(server, expression: str):
    """What a Python expression is in the container."""
    return get(server, "/eval?" + quote(expression))


def container_of(client, job: str) -> dict:
    [found] = client.containers(all=True, filters={"label": f"rightsizer.job={job}"})
    return client.inspect_container(found["Id"])


def ended(server, within_s: float = 20.0) -> TrialFailed:
    """How a running server's check tells its end."""
    found: list[Exception] = []

    def look() -> bool:
        try:
            server.check()
        except (TrialFailed, TrialInterrupted) as error:
            found.append(error)
        return bool(found)

    assert eventually(look, within_s)
    return found[0]


# -- what it may do ----------------------------------------------------------------------------


def test_it_has_its_instance_types_cpus_and_memory_and_no_privileges(start, client, job):
    with start() as server:
        assert get(server, "/where")["cpus"] == [SERVER_CPU]
        status = inside(server, "open('/proc/self/status').read()")
        assert "CapEff:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        host = container_of(client, job)["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 128 << 20
    assert host["ShmSize"] == 64 << 20
    assert host["PidsLimit"] == 1024 + 256
    assert host["ReadonlyRootfs"] is host["Init"] is True
    assert host["RestartPolicy"]["Name"] in ("", "no")
    assert host["Binds"] is None
    assert host["LogConfig"]["Config"] == {"max-size": "1m", "max-file": "2"}


def test_its_variables_are_the_images_and_its_own(start, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leak")
    with start(environment={"LISTEN": "0.0.0.0", "OMP_NUM_THREADS": "2"}) as server:
        found = get(server, "/environ")
    assert found["OMP_NUM_THREADS"] == "2"
    assert not {"AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "RIGHTSIZER_STORE"} & set(found)


REACH = "__import__('socket').create_connection(({host!r}, {port}), 2).close()"


def attempt(server, expression: str) -> str:
    """What a Python expression is in the container, or the error that it raises there."""
    code = (
        '(lambda n: (exec("try:\\n r = repr({})\\nexcept Exception as e: r = repr(e)", n), '
        "n['r'])[1])(dict())"
    ).format(expression.replace('"', '\\"'))
    return inside(server, code)


NAMED = (
    "__import__('concurrent.futures').futures.ThreadPoolExecutor()"
    ".submit(__import__('socket').gethostbyname, 'example.com').result(3)"
)


def test_it_reaches_nobody_outside_nor_the_engines_socket(start):
    with another_machine() as (name, port):
        reach = REACH.format(host=name, port=port)
        with start(settings={"network": "bridge"}) as server:
            assert attempt(server, reach) == "None"  # there is somebody to be reached
        with start() as server:
            assert attempt(server, REACH.format(host="127.0.0.1", port=8080)) == "None"
            said = attempt(server, reach)
            assert "unreachable" in said or "timed out" in said
            # How long a resolver tries that reaches nobody is the engine's affair.
            names = attempt(server, NAMED)
            assert "gaierror" in names or "TimeoutError" in names
            exists = "__import__('os').path.exists({!r})"
            for path in (address().removeprefix("unix://"), "/var/run/docker.sock"):
                assert inside(server, exists.format(path)) is False
            assert inside(server, exists.format("/ready.py")) is True


def test_of_its_host_it_reaches_what_listens_on_all_addresses_and_not_on_loopback(
    start, client, job
):
    with socket.create_server(("0.0.0.0", 0)) as on_all, start() as server:
        [network] = client.networks(filters={"label": f"rightsizer.job={job}"})
        gateway = network["IPAM"]["Config"][0]["Gateway"]
        there = {"host": gateway, "port": on_all.getsockname()[1]}
        assert attempt(server, REACH.format(**there)) == "None"
        with socket.create_server(("127.0.0.1", 0)) as on_loopback:
            there["port"] = on_loopback.getsockname()[1]
            assert "refused" in attempt(server, REACH.format(**there))


def test_an_image_is_started_as_sagemaker_starts_it(start):
    with start(command=SAGEMAKER_COMMAND) as server:
        url = f"{server.endpoint.url}/invocations"
        answer = httpx.post(url, content=b"12345", trust_env=False, timeout=10)
        assert (answer.status_code, answer.json()) == (200, {"length": 5})


def test_what_a_quota_held_it_up_is_in_its_readings(start, client, job):
    with start("busy") as server:
        assert eventually(lambda: server.usage())
        assert server.usage()[-1].throttled_periods == 0
        found = container_of(client, job)["Id"]
        client.update_container(found, cpu_period=100_000, cpu_quota=20_000)
        assert eventually(lambda: server.usage()[-1].throttled_periods > 0)
        assert eventually(lambda: (server.usage()[-1].throttled_s or 0.0) > 0.1)


def test_how_long_its_threads_waited_is_in_its_readings_where_its_processes_are_seen(
    start, client, job
):
    with start("busy") as server:
        assert eventually(lambda: len(server.usage()) >= 2)
        found = container_of(client, job)
        pid = client.inspect_container(found["Id"])["State"]["Pid"]
        is_seen = bool(processes_of(found["Id"], pid)) and bool(run_delays_ns(pid))
        assert (server.usage()[-1].run_delay_s is not None) == is_seen


def test_a_bridge_has_a_way_out_and_a_published_port_is_on_loopback(start, client, job):
    with start(settings={"network": "bridge"}) as server:
        [network] = client.networks(filters={"label": f"rightsizer.job={job}"})
        assert network["Internal"] is False
        assert not server.endpoint.url.startswith("http://127.0.0.1")
    with start(publish=True) as server:
        assert server.endpoint.url.startswith("http://127.0.0.1:")
        bound = container_of(client, job)["NetworkSettings"]["Ports"]["8080/tcp"]
        assert [place["HostIp"] for place in bound] == ["127.0.0.1"]


WRITE = "open({path!r}, 'w').write('x')"


def test_its_root_and_its_model_are_read_only_and_its_own_folders_are_not(start, tmp_path):
    model = tmp_path / "model"
    (model / "1").mkdir(parents=True)
    (model / "1" / "weights").write_text("42")
    with start(model_dir=model, settings={"writable": ["/scratch"]}) as server:
        assert inside(server, "open('/opt/ml/model/1/weights').read()") == "42"
        for path in ("/x", "/opt/ml/model/x"):
            assert "Read-only" in attempt(server, WRITE.format(path=path))
        for path in ("/tmp/x", "/run/x", "/dev/shm/x", "/scratch/x"):
            assert inside(server, WRITE.format(path=path)) == 1
    with start(settings={"writable_root": True}) as server:
        assert inside(server, WRITE.format(path="/x")) == 1


# -- how it fails ------------------------------------------------------------------------------


def test_a_server_that_exits_at_once_is_told_with_its_code_and_last_words(start):
    found = failure(start("exit"))
    assert found.reason is Reason.EXITED_AT_START
    assert found.detail.endswith("exit code 7")
    assert found.log_tail == "line one\nthe model is missing"


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (b"\x7fELF not for here", 0o755, "its program is for another processor, or is none"),
        (b"#!/bin/sh", 0o644, "its program may not be executed"),
        (None, 0, "its program, or what is to run that, is not in the image"),
    ],
    ids=["exec format error", "not executable", "not there"],
)
def test_a_program_that_cannot_be_run_is_told_as_such(start, tmp_path, content, mode, why):
    model = tmp_path / "model"
    model.mkdir()
    if content is not None:
        (model / "program").write_bytes(content)
        (model / "program").chmod(mode)
    found = failure(start(model_dir=model, command=("/opt/ml/model/program",)))
    assert found.reason is Reason.EXITED_AT_START
    assert found.detail.endswith(why)
    assert "/opt/ml/model/program" in found.log_tail


def test_a_start_that_fails_for_its_confinement_names_the_key_that_relaxes_it(start):
    code = "open('/state', 'w')"
    found = failure(start(command=("python3", "-c", code)))
    assert found.reason is Reason.EXITED_AT_START
    assert "server.container.writable_root" in found.detail


def test_a_server_that_never_gets_ready_is_told_what_it_answered_last(start):
    found = failure(start("loading", ready_timeout_s=1.5))
    assert found.reason is Reason.NEVER_READY
    assert "within 1.5 s" in found.detail


def test_a_server_that_accepts_and_never_answers_is_not_ready(start):
    mute = "import socket, time; s = socket.create_server(('0.0.0.0', 8080)); time.sleep(60)"
    ticks: list[float] = []
    context = start(
        command=("python3", "-c", mute),
        tick=lambda: ticks.append(time.monotonic()),
        ready_timeout_s=2,
    )
    assert failure(context).reason is Reason.NEVER_READY
    assert max(b - a for a, b in itertools.pairwise(ticks[1:])) < 1.0


def test_a_model_that_is_larger_than_the_memory_is_out_of_memory(start):
    found = failure(start("greedy"))
    assert found.reason is Reason.OUT_OF_MEMORY
    assert "memory limit" in found.detail


HOG = "globals().__setitem__('hoard', bytearray(300 << 20)) or 1"
HOG_IN_A_CHILD = (
    "__import__('subprocess').Popen(['python3', '-c', 'x = bytearray(300 << 20)']).wait()"
)


def test_memory_that_runs_out_mid_step_is_told_of_the_main_process(start):
    with start() as server:
        with contextlib.suppress(httpx.HTTPError):
            inside(server, HOG)
        found = ended(server)
    assert found.reason is Reason.OUT_OF_MEMORY
    assert found.detail.startswith("the server was killed")


def test_memory_that_runs_out_mid_step_is_told_of_a_child(start):
    with start() as server:
        inside(server, HOG_IN_A_CHILD)
        found = ended(server)
    assert found.reason is Reason.OUT_OF_MEMORY
    assert found.detail.startswith("a process of the server was killed")


@pytest.mark.parametrize(
    ("strike", "reason"),
    [
        (lambda client, found: client.kill(found), Reason.CRASHED),
        (lambda client, found: client.pause(found), Reason.HUNG),
        (lambda client, found: client.remove_container(found, force=True), Reason.HOST_LOST),
    ],
    ids=["killed", "paused", "removed"],
)
def test_what_somebody_does_to_it_mid_step_is_told(start, client, job, strike, reason):
    with start() as server:
        server.check()
        strike(client, container_of(client, job)["Id"])
        found = ended(server)
    assert found.reason is reason
    assert "memory" not in found.detail


def test_a_server_that_ignores_sigterm_is_killed_after_the_grace(start):
    begin_s = time.monotonic()
    with start("stubborn"):
        begin_s = time.monotonic()
    assert 0.9 < time.monotonic() - begin_s < 6


def test_a_server_that_fills_its_disk_meets_the_size_of_its_folder(start):
    with start(settings={"tmp_mib": 8}) as server:
        said = attempt(server, "open('/tmp/x', 'wb').write(bytes(20 << 20))")
        assert "No space left" in said
        server.check()


SLEEP = "['python3', '-c', 'input()']"
FORKS = f"[__import__('subprocess').Popen({SLEEP}, stdin=-1) for _ in range(99)]"


def test_a_server_that_forks_without_end_meets_its_limit(start):
    with start(settings={"pids": 32}) as server:
        assert "BlockingIOError" in attempt(server, FORKS)
        server.check()


def test_a_server_that_prints_without_end_is_served_while_its_log_stays_bounded(start, tmp_path):
    with start("chatty") as server:
        time.sleep(1.0)
        begin_s = time.monotonic()
        server.check()
        assert len(server.log_tail().splitlines()) == 20
        assert time.monotonic() - begin_s < 5
    assert (tmp_path / "trial" / "server.log").stat().st_size < 3 << 20


def test_a_secret_does_not_reach_the_log(start, tmp_path):
    own = {"TOKEN": "hunter2-hunter3", "LISTEN": "0.0.0.0"}
    with start("secret", environment=own, secrets=frozenset({"hunter2-hunter3"})) as server:
        assert server.log_tail() == "***\nlistening"
    assert "hunter2" not in (tmp_path / "trial" / "server.log").read_text()


def test_an_image_that_is_gone_since_the_plan_is_a_failed_trial(start, tmp_path):
    launch = container_launch(tmp_path, "sha256:" + "0" * 64)
    found = failure(docker_host().start(launch, lambda: None))
    assert found.reason is Reason.NOT_RUNNABLE
    assert "is gone since the plan" in found.detail


def test_limits_beyond_the_machine_are_refused_in_the_engines_words(start, tmp_path, image):
    launch = container_launch(tmp_path, image)
    launch = replace(launch, placement=replace(launch.placement, server_cpus=(4000,)))
    found = failure(docker_host().start(launch, lambda: None))
    assert found.reason is Reason.NOT_RUNNABLE
    assert "CPUs" in found.detail


# -- accelerators ------------------------------------------------------------------------------

NODE = "/dev/neuron97"
UNUSED = os.makedev(240, 97)
"""A number kept for experiments, which no driver has."""


@pytest.fixture
def device_node() -> Iterator[str]:
    """A stand-in: a device node as Neuron's driver makes them, without a driver behind it."""
    try:
        os.mknod(NODE, stat.S_IFCHR | 0o666, UNUSED)
    except PermissionError:
        pytest.skip("only root makes device nodes")
    os.chmod(NODE, 0o666)
    yield NODE
    os.unlink(NODE)


def given(image: str, folder, *accelerators: Accelerator):
    launch = container_launch(folder, image)
    placement = replace(launch.placement, accelerators=accelerators)
    return docker_host().start(replace(launch, placement=placement), lambda: None)


def test_a_chips_device_node_reaches_the_container_and_may_be_opened(
    image, tmp_path, device_node, start
):
    chip = Accelerator("neuron", device_node, cores=(388, 389))
    with given(image, tmp_path, chip) as server:
        assert inside(server, f"__import__('os').stat({device_node!r}).st_rdev") == UNUSED
        # Past the container's rules, up to the driver that is not there.
        said = attempt(server, f"__import__('os').open({device_node!r}, 2)")
        assert said.startswith(f"OSError({errno.ENXIO},")
        assert get(server, "/environ")["NEURON_RT_VISIBLE_CORES"] == "388,389"
    with start() as server:
        assert inside(server, f"__import__('os').path.exists({device_node!r})") is False
        assert "NEURON_RT_VISIBLE_CORES" not in get(server, "/environ")


def test_a_gpu_that_the_engine_cannot_give_is_a_failed_start_that_leaves_nothing(
    client, image, tmp_path, job
):
    if "nvidia" in client.info()["Runtimes"]:
        pytest.skip("this engine has the toolkit")
    found = failure(given(image, tmp_path, Accelerator("nvidia", "GPU-1")))
    assert found.reason is Reason.EXITED_AT_START
    assert 'could not select device driver "nvidia" with capabilities: [[gpu]]' in found.detail
    assert "nvidia-ctk runtime configure" in found.detail
    assert left(client, job) == []


def test_readings_of_a_container_have_what_its_chip_did(image, tmp_path, device_node, monkeypatch):
    line = neuron_monitor_line({388: 100.0, 389: 50.0}, 7)
    put_program(
        tmp_path, monkeypatch, "neuron-monitor", f"while :; do echo '{line}'; sleep 0.2; done"
    )
    with given(image, tmp_path, Accelerator("neuron", device_node, cores=(388, 389))) as server:
        assert eventually(lambda: any(one.accelerator_ratio == 0.75 for one in server.usage()))
        assert server.usage()[-1].accelerator_bytes == 7


def test_a_chip_that_is_not_there_is_a_failed_start_that_leaves_nothing(
    client, image, tmp_path, job
):
    found = failure(given(image, tmp_path, Accelerator("neuron", "/dev/neuron98")))
    assert found.reason is Reason.EXITED_AT_START
    assert "/dev/neuron98" in found.detail
    assert "\n" not in found.detail
    assert left(client, job) == []


def test_the_engine_is_asked_for_the_gpus_by_their_uuids(client, image, tmp_path, relay):
    said: list[bytes] = []
    relay.overhear(said.append)
    host = DockerHost(HostSpec(name="r", kind="docker", address=relay.address))
    launch = container_launch(tmp_path, image)
    gpus = (Accelerator("nvidia", "GPU-1"), Accelerator("nvidia", "GPU-2"))
    placement = replace(launch.placement, accelerators=gpus)
    with contextlib.suppress(TrialFailed), host.start(replace(launch, placement=placement)):
        pass
    asked = b"".join(said)
    begin = asked.index(b'"DeviceRequests"')
    requests, _ = json.JSONDecoder().raw_decode(
        asked[begin:].decode("utf-8", "replace").partition(":")[2].lstrip()
    )
    assert requests == [
        {"Driver": "nvidia", "Count": 0, "DeviceIDs": ["GPU-1", "GPU-2"], "Capabilities": [["gpu"]]}
    ]


# -- engines that are down ---------------------------------------------------------------------


@pytest.fixture
def sdk_leaves_sockets() -> Iterator[None]:
    """The SDK does not close a Unix socket that it could not connect."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def relay(tmp_path) -> Iterator[Relay]:
    """An address that leads to the engine until it is cut."""
    with Relay(unix_listener(tmp_path / "relay.sock")) as made:
        yield made


@pytest.mark.usefixtures("sdk_leaves_sockets")
def test_an_engine_that_is_down_at_a_start_interrupts_the_trial(tmp_path, image):
    host = DockerHost(HostSpec(name="r", kind="docker", address=f"unix://{tmp_path}/none.sock"))
    found = failure(host.start(container_launch(tmp_path, image)), TrialInterrupted)
    assert found.reason is Reason.HOST_LOST
    assert "no Docker engine answers" in found.detail
    assert "\n" not in found.detail


@pytest.mark.usefixtures("sdk_leaves_sockets")
def test_an_engine_that_is_gone_mid_trial_interrupts_it(tmp_path, image, relay, client, job):
    host = DockerHost(HostSpec(name="r", kind="docker", address=relay.address))
    with host.start(container_launch(tmp_path, image)) as server:
        server.check()
        relay.cut()
        found = ended(server)
        assert server.log_tail() == ""
    assert isinstance(found, TrialInterrupted)
    assert found.reason is Reason.HOST_LOST
    assert left(client, job) != []  # nobody could; the next start sweeps it once its owner is gone
    with Engine(address()) as engine:
        assert sweep(engine) == []
    for name in left(client, job):
        with contextlib.suppress(docker.errors.APIError):
            client.remove_container(name, force=True)
    client.prune_networks(filters={"label": [f"rightsizer.job={job}"]})


# -- what others left --------------------------------------------------------------------------


def test_a_sweep_removes_what_the_dead_left_and_nothing_else(client, image, job):
    here = this_process()
    dead = replace(here, pid=2**22 + 1)
    soon, past = time.time() + 3600, time.time() - 1
    owners = {
        "alive": labels_of(here, "r-alive", job, "t", past),
        "dead": labels_of(dead, "r-dead", job, "t", soon),
        "foreign": labels_of(replace(dead, machine="x"), "r-foreign", job, "t", soon),
        "foreign-late": labels_of(replace(dead, machine="x"), "r-late", job, "t", past),
        "reused": labels_of(replace(here, started="1"), "r-reused", job, "t", soon),
        "strange": {"com.example.owner": "somebody"},
    }
    prefix = job.replace("job-", "s-")
    try:
        for name, labels in owners.items():
            client.create_container(image, ["/x"], name=f"{prefix}-{name}", labels=labels)
            client.create_network(f"{prefix}-{name}", labels=labels)
        with Engine(address()) as engine:
            done = sweep(engine)
        for kind in ("container", "network"):
            for run in ("r-dead", "r-late", "r-reused"):
                assert f"removed {kind} {run}" in done
        filters = {"name": [prefix]}
        kept = [found["Names"][0] for found in client.containers(all=True, filters=filters)]
        assert sorted(kept) == [f"/{prefix}-{name}" for name in ("alive", "foreign", "strange")]
        assert len(client.networks(names=[prefix])) == 3
    finally:
        for found in client.containers(all=True, filters={"name": [prefix]}):
            client.remove_container(found["Id"], force=True)
        for found in client.networks(names=[prefix]):
            client.remove_network(found["Id"])
