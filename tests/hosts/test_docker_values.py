"""What is pure of the Docker host: the create request, owners, endings and readings."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rightsizer.accelerators import Accelerator
from rightsizer.containers import Container
from rightsizer.errors import EnvironmentFault, Reason, UsageError
from rightsizer.hosts.docker import reaper
from rightsizer.hosts.docker.endings import ending_of, hint, of_refused_start
from rightsizer.hosts.docker.engine import Missing, Refused
from rightsizer.hosts.docker.ownership import (
    HIDDEN,
    Owner,
    Starts,
    is_left_behind,
    labels_of,
    process_start,
    this_process,
)
from rightsizer.hosts.docker.request import create_request
from rightsizer.hosts.docker.sweep import sweep_host
from rightsizer.hosts.docker.transfer import content_of
from rightsizer.hosts.docker.turns import Busy, take_turn
from rightsizer.hosts.docker.watch import processes_of, usage_of
from rightsizer.inventory import HostSpec
from rightsizer.machines import Placement
from rightsizer.spec import ContainerSpec
from rightsizer.surveying import copy_to_hosts

from tests.hosts.tools import put_program

PLACEMENT = Placement((2, 3, 6), (0, 4), "emulated", 1 << 30, memory_node=1)


LEAST = ContainerSpec()


def request(settings: ContainerSpec = LEAST, **changes: object) -> dict:
    container = Container("mine:1", "sha256:1", ("serve",), 8080, settings)
    given = {"network": "n", "model": None, "publish_on": None}
    return create_request(container, PLACEMENT, {"A": "1"}, {"l": "v"}, **{**given, **changes})


# -- the request -------------------------------------------------------------------------------


def test_by_default_a_container_gets_the_least():
    host = request()["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert (host["CapAdd"], host["Privileged"]) == ([], False)
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is True
    assert sorted(host["Tmpfs"]) == ["/run", "/tmp"]
    assert "size=256m" in host["Tmpfs"]["/tmp"]
    assert (host["Mounts"], host["PortBindings"]) == ([], {})
    assert (host["RestartPolicy"], host["AutoRemove"]) == ({"Name": "no"}, False)
    assert host["Dns"] == ["127.0.0.1"]


def test_its_limits_are_the_placements():
    host = request()["HostConfig"]
    assert (host["CpusetCpus"], host["CpusetMems"]) == ("2-3,6", "1")
    assert host["Memory"] == host["MemorySwap"] == 1 << 30
    assert host["ShmSize"] == 1 << 29
    assert host["PidsLimit"] == 1024 + 3 * 256
    assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]} == {
        "nofile": 16384,
        "core": 0,
    }
    assert "NanoCpus" not in host  # a quota throttles, and pools are sized by the whole machine


def test_it_is_the_image_as_planned_with_the_variables_and_labels_given():
    body = request()
    assert (body["Image"], body["Cmd"], body["Env"]) == ("sha256:1", ["serve"], ["A=1"])
    assert (body["Labels"], body["User"]) == ({"l": "v"}, "")


def test_each_relaxation_changes_what_it_says_and_nothing_else():
    least = request()["HostConfig"]
    for settings, changed in (
        ({"writable_root": True}, {"ReadonlyRootfs"}),
        ({"capabilities": ("SYS_NICE",)}, {"CapAdd"}),
        ({"new_privileges": True}, {"SecurityOpt"}),
        ({"network": "bridge"}, {"Dns"}),
        ({"tmp_mib": 8}, {"Tmpfs"}),
        ({"writable": ("/var/log",)}, {"Tmpfs"}),
        ({"shm_mib": 8}, {"ShmSize"}),
        ({"pids": 64}, {"PidsLimit"}),
        ({"open_files": 64}, {"Ulimits"}),
    ):
        host = request(ContainerSpec(**settings))["HostConfig"]
        assert {key for key in host if host[key] != least[key]} == changed
    assert request(ContainerSpec(user="1000:1000"))["User"] == "1000:1000"


def test_a_model_is_mounted_read_only_from_a_folder_or_a_volume():
    for model, kind in (("/models/1", "bind"), ("rightsizer-1", "volume")):
        [mount] = request(model=model)["HostConfig"]["Mounts"]
        options = mount.pop("VolumeOptions", None)
        assert mount == {
            "Type": kind,
            "Source": model,
            "Target": "/opt/ml/model",
            "ReadOnly": True,
        }
        # The engine makes a volume that is gone anew: it must bear our labels, too.
        assert options == (None if kind == "bind" else {"Labels": {"l": "v"}})


def test_a_port_is_published_only_where_it_is_told_to():
    bound = request(publish_on="127.0.0.1")["HostConfig"]["PortBindings"]
    assert bound == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}


GPUS = (Accelerator("nvidia", "GPU-a"), Accelerator("nvidia", "GPU-b"))
CHIPS = (
    Accelerator("neuron", "/dev/neuron1", cores=(4, 5, 6, 7)),
    Accelerator("neuron", "/dev/neuron3"),
)


def with_accelerators(*found: Accelerator, **environment: str) -> dict:
    container = Container("mine:1", "sha256:1", None, 8080, LEAST)
    placement = replace(PLACEMENT, accelerators=found)
    where = {"network": "n", "model": None, "publish_on": None}
    return create_request(container, placement, environment, {}, **where)


def test_gpus_are_asked_for_by_their_uuids():
    [asked] = with_accelerators(*GPUS)["HostConfig"]["DeviceRequests"]
    assert asked == {
        "Driver": "nvidia",
        "Count": 0,  # the engine takes a count or ids
        "DeviceIDs": ["GPU-a", "GPU-b"],
        "Capabilities": [["gpu"]],
    }


def test_neuron_chips_are_device_nodes_and_their_cores_have_the_machines_numbers():
    body = with_accelerators(*CHIPS)
    assert [device["PathOnHost"] for device in body["HostConfig"]["Devices"]] == [
        "/dev/neuron1",
        "/dev/neuron3",
    ]
    assert body["Env"] == ["NEURON_RT_VISIBLE_CORES=4,5,6,7"]
    assert body["HostConfig"]["DeviceRequests"] == []
    own = with_accelerators(*CHIPS, NEURON_RT_VISIBLE_CORES="4")
    assert own["Env"] == ["NEURON_RT_VISIBLE_CORES=4"]


def test_without_accelerators_none_is_asked_for():
    host = request()["HostConfig"]
    assert (host["DeviceRequests"], host["Devices"]) == ([], [])


# -- owners ------------------------------------------------------------------------------------

HERE = Owner("machine", "boot/pid:[1]", 10, "500")


@pytest.mark.parametrize(
    ("owner", "deadline_s", "left"),
    [
        # alive, whatever its deadline
        (HERE, 99, False),
        # ended, or its pid is another's by now
        (replace(HERE, pid=11), 101, True),
        (replace(HERE, started="400"), 101, True),
        # of another machine, boot or process namespace: only the deadline speaks
        (replace(HERE, machine="other", pid=11), 101, False),
        (replace(HERE, machine="other", pid=11), 99, True),
        (replace(HERE, boot="earlier/pid:[1]", pid=11), 101, False),
        (replace(HERE, boot="boot/pid:[2]", pid=11), 101, False),
    ],
)
def test_an_owner_is_dead_when_its_process_is_gone_or_its_time_is_up(owner, deadline_s, left):
    labels = labels_of(owner, "r", "j", "t", deadline_s)
    starts = {10: "500", 11: None}
    assert is_left_behind(labels, HERE, 100, starts) is left


def test_labels_that_are_not_ours_or_make_no_sense_are_nobodys_to_sweep():
    labels = labels_of(replace(HERE, pid=11), "r", "j", "t", 0)
    starts = {11: None}
    assert is_left_behind(labels, HERE, 100, starts)
    for broken in ("rightsizer.run", "rightsizer.pid", "rightsizer.deadline"):
        less = {key: value for key, value in labels.items() if key != broken}
        assert not is_left_behind(less, HERE, 100, starts)
    assert not is_left_behind({**labels, "rightsizer.pid": "?"}, HERE, 100, starts)


def test_a_process_is_told_by_when_it_began_and_a_zombie_is_none():
    assert process_start(os.getpid()) == this_process().started
    with subprocess.Popen(["sleep", "60"]) as child:
        assert process_start(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(child.pid) is None
    assert Starts()[child.pid] is None


def test_a_process_that_is_hidden_from_this_user_is_not_dead(monkeypatch):
    def forbidden(pid: int, number: int) -> None:
        raise PermissionError

    gone = 2**22 + 1
    assert process_start(gone) is None
    monkeypatch.setattr(os, "kill", forbidden)
    assert process_start(gone) == HIDDEN
    labels = labels_of(replace(HERE, pid=11), "r", "j", "t", 101)
    assert not is_left_behind(labels, HERE, 100, {11: HIDDEN})


# -- endings -----------------------------------------------------------------------------------

RUNS = {"Running": True, "Paused": False, "OOMKilled": False, "ExitCode": 0}
ENDED = {**RUNS, "Running": False}


@pytest.mark.parametrize(
    ("state", "ran_out", "before", "reason", "said"),
    [
        (RUNS, False, False, None, ""),
        ({**RUNS, "Paused": True}, False, False, Reason.HUNG, "paused"),
        # memory, of the main process or of a child, told by the state or by an event
        ({**ENDED, "OOMKilled": True, "ExitCode": 137}, False, True, Reason.OUT_OF_MEMORY, "the s"),
        ({**ENDED, "ExitCode": 137}, True, False, Reason.OUT_OF_MEMORY, "the server was"),
        (RUNS, True, False, Reason.OUT_OF_MEMORY, "a process of the server"),
        # killed, but not for memory
        ({**ENDED, "ExitCode": 137}, False, False, Reason.CRASHED, "signal SIGKILL"),
        # ended by itself, before and after it was ready
        ({**ENDED, "ExitCode": 3}, False, True, Reason.EXITED_AT_START, "exit code 3"),
        ({**ENDED, "ExitCode": 3}, False, False, Reason.CRASHED, "exit code 3"),
        ({**ENDED, "ExitCode": 0}, False, False, Reason.CRASHED, "exit code 0"),
    ],
)
def test_a_state_tells_how_the_server_ended(state, ran_out, before, reason, said):
    found = ending_of(state, ran_out, "", before)
    assert (found[0] if found else None) is reason
    assert found is None or said in found[1]


@pytest.mark.parametrize(
    ("code", "printed", "why"),
    [
        (127, "[FATAL tini (7)] exec /x failed: Exec format error", "for another processor"),
        (127, "[FATAL tini (7)] exec /x failed: No such file or directory", "not in the image"),
        (127, "/x: 1: \x7fELF\x02\x01\x01: not found", "for another processor"),
        (126, "[FATAL tini (7)] exec /x failed: Permission denied", "may not be executed"),
        (1, "cp: cannot stat '/x': No such file or directory", ""),  # it did begin
    ],
)
def test_a_program_that_could_not_begin_is_told_by_what_init_says(code, printed, why):
    found = ending_of({**ENDED, "ExitCode": code}, False, printed, True)
    assert found is not None
    assert found[0] is Reason.EXITED_AT_START
    assert why in found[1]
    assert bool(why) is ("its program" in found[1])
    assert why in of_refused_start(printed)


@pytest.mark.parametrize(
    ("printed", "key"),
    [
        ("OSError: [Errno 30] Read-only file system: '/state'", "writable_root"),
        ("mkdir: cannot create directory: Read-only file system", "writable_root"),
        ("RuntimeError: can't start new thread", "pids"),
        ("fork: Resource temporarily unavailable", "pids"),
        ("write: No space left on device", "tmp_mib"),
        ("socket.gaierror: Temporary failure in name resolution", "network"),
        ('chown("/x") failed (1: Operation not permitted)', "capabilities"),
        ("listening on 8080", ""),
    ],
)
def test_what_a_server_prints_under_confinement_names_the_key_that_relaxes_it(printed, key):
    assert (f"server.container.{key}" if key else "") in hint(printed)
    assert bool(hint(printed)) is bool(key)


def test_an_engine_without_the_toolkit_is_told_what_it_lacks():
    assert "install it" in hint(
        'could not select device driver "nvidia" with capabilities: [[gpu]]'
    )


# -- readings ----------------------------------------------------------------------------------


def test_a_reading_counts_memory_without_cache_in_both_versions_of_control_groups():
    cpu = {
        "cpu_usage": {"total_usage": 2_500_000_000},
        "throttling_data": {"throttled_periods": 3, "throttled_time": 500_000_000},
    }
    for name in ("total_inactive_file", "inactive_file"):
        memory = {"usage": 1000, "stats": {name: 300}}
        usage = usage_of({"cpu_stats": cpu, "memory_stats": memory}, 7)
        assert usage is not None
        assert (usage.t_ns, usage.cpu_s, usage.memory_bytes) == (7, 2.5, 700)
        assert (usage.throttled_periods, usage.throttled_s) == (3, 0.5)


@pytest.mark.parametrize("reading", [{}, {"memory_stats": {}}, {"cpu_stats": {}}])
def test_a_container_that_does_not_run_has_no_reading(reading):
    assert usage_of(reading, 7) is None


def test_a_number_that_is_another_process_here_is_no_container(tmp_path):
    folder = tmp_path / "77"
    folder.mkdir()
    (folder / "cgroup").write_text("0::/system.slice/docker-abc.scope\n")
    assert processes_of("abc", 77, tmp_path)[:1] == [77]
    assert processes_of("def", 77, tmp_path) == []
    assert processes_of("abc", 78, tmp_path) == []
    # the kernel's own, which is where no number is known
    assert processes_of("abc", 0) == []


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"Id": "sha256:2", "Created": "now"}, True),
        ({"RootFS": {"Layers": ["b"]}}, False),
        ({"Config": {"Cmd": ["y"]}}, False),
        ({"Config": {"Cmd": ["x"], "Env": [], "Image": "z"}}, True),
    ],
)
def test_images_are_the_same_by_what_they_hold_and_run_not_by_their_ids(change, same):
    image = {"Id": "sha256:1", "RootFS": {"Layers": ["a"]}, "Config": {"Cmd": ["x"]}}
    assert (content_of({**image, **change}) == content_of(image)) is same


# -- turns -------------------------------------------------------------------------------------


class Lessor:
    """An engine whose lease somebody has at these attempts to take it."""

    def __init__(self, *taken: bool, told: bool = False) -> None:
        self.taken, self.told = list(taken), told

    def create(self, name: str, config: dict) -> str:
        if self.taken.pop(0):
            raise Refused("the name is in use")
        return "1"

    def inspect(self, name: str) -> dict:
        if not self.told:
            raise Missing("no such container")
        return {"Config": {"Labels": {"rightsizer.job": "theirs", "rightsizer.trial": "t7"}}}


def test_a_lease_that_is_given_back_at_that_moment_is_taken():
    lessor = Lessor(True, False)
    take_turn(lessor, {}, "sha256:1")
    assert lessor.taken == []


def test_a_lease_that_is_refused_for_another_reason_is_no_busy_host():
    with pytest.raises(Refused, match="the name is in use"):
        take_turn(Lessor(True, True), {}, "sha256:1")
    with pytest.raises(Busy, match="leased to trial t7 of job theirs"):
        take_turn(Lessor(True, told=True), {}, "sha256:1")


# -- the reaper --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("looks", "left"),
    [
        ([2, 1, 1, 1, 1, 0, 0], []),  # slow, but at it
        ([1, 0, 0, 0, 1, 1], [0, 1, 1]),  # quiet for long enough
    ],
)
def test_a_reaper_stays_as_long_as_there_is_something_to_remove(monkeypatch, looks, left):
    """A look takes a second, and two of them are its patience."""
    now_s = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(now_s)), sleep=lambda for_s: None)
    monkeypatch.setattr(reaper, "time", clock)
    monkeypatch.setattr(reaper, "PATIENCE_S", 2.5)
    monkeypatch.setattr(reaper, "Engine", lambda address, tls: contextlib.nullcontext())
    monkeypatch.setattr(reaper, "remove_run", lambda engine, run: looks.pop(0))
    reaper.reap("unix:///x", "run", None)
    assert looks == left


# -- access ------------------------------------------------------------------------------------


def test_sweeping_and_copying_ask_nothing_at_a_terminal_either(tmp_path, monkeypatch):
    put_program(
        tmp_path,
        monkeypatch,
        "ssh",
        'case "$*" in *BatchMode=yes*) echo "Host key verification failed." >&2; exit 255 ;; esac\n'
        f"touch {tmp_path}/asked; exit 1",
    )
    host = HostSpec(name="far", kind="docker", address="ssh://ops@rack1", publish=True)
    [line] = sweep_host(host)
    assert line.startswith("far: not swept: rack1 is not in known_hosts")
    hosts = tmp_path / "hosts.yaml"
    hosts.write_text("hosts: [{name: far, kind: docker, address: 'ssh://ops@rack1'}]\n")
    with pytest.raises(EnvironmentFault, match=r"not copied to host far.*not in known_hosts"):
        list(copy_to_hosts("mine:1", hosts))
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("host", ["kind: process", "kind: docker, address: 'unix:///x'"])
def test_an_image_that_no_other_engine_is_to_get_is_a_mistake_rather_than_nothing(
    tmp_path, monkeypatch, host
):
    monkeypatch.setenv("DOCKER_HOST", "unix:///x")
    hosts = tmp_path / "hosts.yaml"
    hosts.write_text(f"hosts: [{{name: here, {host}}}]\n")
    with pytest.raises(UsageError, match="mine:1 has nowhere to go"):
        list(copy_to_hosts("mine:1", hosts))
