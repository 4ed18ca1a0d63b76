"""The embedded host with real servers: how they start, fail, are watched and end."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

import httpx
import psutil
import pytest
from rightsizer.accelerators import Accelerator
from rightsizer.errors import EnvironmentFault, Reason, TrialFailed, TrialInterrupted
from rightsizer.hosts import process
from rightsizer.hosts.process import ProcessHost
from rightsizer.inventory import THIS_MACHINE
from rightsizer.machines import Placement

from tests.hosts.processes import (
    CPUS,
    GENERATOR_CPU,
    PYTHON,
    SERVER,
    SERVER_CPU,
    eventually,
    is_alive,
    launch_of,
    noted,
    of_folder,
)

pytestmark = [pytest.mark.server, pytest.mark.shared_cpus]


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path, monkeypatch):
    """A stubborn server need not cost 5 s; and after every test none of its processes is left."""
    monkeypatch.setattr(process, "STOP_GRACE_S", 0.5)
    monkeypatch.setattr(process, "GPU_DRIVER", tmp_path / "no driver")
    yield
    assert of_folder(tmp_path) == []


@pytest.fixture
def start(tmp_path):
    """The small server under a process host, with these words and changes."""

    def run(*words: str, tick=lambda: None, **changes: object):
        return ProcessHost(THIS_MACHINE).start(launch_of(tmp_path, *words, **changes), tick)

    return run


def failure(context, error: type[Exception] = TrialFailed) -> TrialFailed:
    with pytest.raises(error) as caught, context:
        raise AssertionError("it started")
    return caught.value


def get(server, path: str):
    return httpx.get(server.endpoint.url + path, trust_env=False, timeout=5).json()


@contextmanager
def listening(folder, *words: str):
    """The small server, started by somebody else; its port and process."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with subprocess.Popen([PYTHON, str(SERVER), str(port), *words], cwd=folder) as other:
        try:
            assert eventually(lambda: _accepts(port))
            yield port, other
        finally:
            other.kill()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


# -- a server that is well ---------------------------------------------------------------------


def test_a_server_is_ready_inside_and_gone_after(start, tmp_path):
    with start("slow") as server:
        assert get(server, "/ping") == {}
        assert 0.5 <= server.ready_s < 15
        server.check()
        assert "listening" in server.log_tail()
        pid = noted(tmp_path)["server"]
        assert is_alive(pid)
    assert not is_alive(pid)


def test_its_variables_are_path_home_lang_tmpdir_and_its_own_and_nothing_else(
    start, tmp_path, monkeypatch
):
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TMPDIR", "/tmp")
    monkeypatch.setenv("HOME", "/engine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leak")
    monkeypatch.setenv("PYTHONPATH", "/leak")
    own = {"OMP_NUM_THREADS": "2", "HOME": "/mine", "EMPTY": "", "PIDS": f"{tmp_path}/pids"}
    with start(environment=own) as server:
        found = get(server, "/environ")
    found.pop("LC_CTYPE", None)  # Python's own, where LANG is C
    assert found == {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": "/tmp", **own}


GPUS = (Accelerator("nvidia", "GPU-a"), Accelerator("nvidia", "GPU-b"))
CHIP = (Accelerator("neuron", "/dev/neuron1", cores=(4, 5)),)


@pytest.mark.parametrize(
    ("accelerators", "driver", "own", "seen"),
    [
        (GPUS, True, {}, ("GPU-a,GPU-b", None)),
        (CHIP, False, {}, (None, "4,5")),
        # a server of several processes gives each its part, and may say so itself
        (CHIP, False, {"NEURON_RT_VISIBLE_CORES": "4"}, (None, "4")),
        # a type without any must not find the machine's
        ((), True, {}, ("", None)),
        ((), False, {}, (None, None)),
    ],
)
def test_a_server_is_told_its_accelerators_and_sees_no_others(
    start, tmp_path, monkeypatch, accelerators, driver, own, seen
):
    monkeypatch.setattr(process, "GPU_DRIVER", tmp_path if driver else tmp_path / "none")
    cpus = ((SERVER_CPU,), (GENERATOR_CPU,))
    placement = Placement(*cpus, "native", 1 << 33, accelerators=accelerators)
    with start(placement=placement, environment={**own, "PIDS": str(tmp_path / "pids")}) as server:
        found = httpx.get(server.endpoint.url + "/environ", trust_env=False).json()
    assert (found.get("CUDA_VISIBLE_DEVICES"), found.get("NEURON_RT_VISIBLE_CORES")) == seen


def test_what_the_engine_has_not_is_not_made_up(start, monkeypatch):
    monkeypatch.delenv("LANG", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)
    with start() as server:
        assert not {"LANG", "TMPDIR"} & set(get(server, "/environ"))


def test_folder_cpus_and_words_are_the_launchs(start, tmp_path):
    (tmp_path / "work").mkdir()
    words = ("--model={model_dir}", "{{literal}}", "p{port}p", "{python}")
    with start(*words, working_dir=tmp_path / "work", model_dir=tmp_path / "m") as server:
        found = get(server, "/where")
        port = server.endpoint.url.rpartition(":")[2]
    assert found["cwd"] == str(tmp_path / "work")
    assert found["cpus"] == [SERVER_CPU]
    assert found["argv"] == [f"--model={tmp_path / 'm'}", "{literal}", f"p{port}p", PYTHON]


def test_a_server_may_have_all_cpus(start):
    with start(placement=Placement(CPUS, (GENERATOR_CPU,), "native", 1 << 33)) as server:
        assert get(server, "/where")["cpus"] == list(CPUS)


def test_without_a_ready_path_a_connection_is_enough(start):
    with start("unready", ready_path=None) as server:
        assert server.ready_s > 0


def test_readings_of_a_busy_server_arrive(start):
    with start("busy") as server:
        assert eventually(lambda: len(server.usage()) >= 4)
        first, last = server.usage()[-3], server.usage()[-1]
    busy = (last.cpu_s - first.cpu_s) / ((last.t_ns - first.t_ns) / 1e9)
    assert 0.2 < busy < 1.2
    assert 5 << 20 < last.memory_bytes < 200 << 20


def test_two_trials_after_one_another_have_readings_and_logs_of_their_own(start):
    with start("busy") as server:
        assert eventually(lambda: server.usage() and server.usage()[-1].cpu_s > 0.5)
    with start() as server:
        assert eventually(server.usage)
        assert server.usage()[-1].cpu_s < 0.5
        assert server.log_tail() == "listening"


def test_a_chatty_server_is_served_while_its_log_stays_bounded(start, tmp_path):
    with start("chatty") as server:
        assert eventually(lambda: (tmp_path / "trial/server.log.1").exists())
        assert eventually(lambda: len(server.usage()) >= 2)
        get(server, "/ping")
        server.check()
        assert sum(p.stat().st_size for p in (tmp_path / "trial").iterdir()) < 3 << 20
        assert len(server.log_tail().splitlines()) == 20


def test_a_secret_printed_a_letter_at_a_time_does_not_reach_the_log(start, tmp_path):
    own = {"TOKEN": "hunter2-hunter3", "PIDS": f"{tmp_path}/pids"}
    with start("secret", environment=own, secrets=frozenset({"hunter2-hunter3"})) as server:
        assert server.log_tail() == "***\nlistening"


def test_ticks_come_while_a_server_that_does_not_answer_is_waited_for(tmp_path, start):
    mute = "import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    ticks: list[float] = []
    context = start(
        command=("{python}", "-c", mute),
        tick=lambda: ticks.append(time.monotonic()),
        ready_timeout_s=1.2,
    )
    assert failure(context).reason is Reason.NEVER_READY
    gaps = [b - a for a, b in itertools.pairwise(ticks)]
    assert len(gaps) > 3
    assert max(gaps) < 0.6


# -- a server that does not start --------------------------------------------------------------


def test_a_server_that_exits_at_once_is_told_with_its_code_and_last_words(start):
    found = failure(start("exit"))
    assert found.reason is Reason.EXITED_AT_START
    assert found.detail.endswith("exit code 7")
    assert found.log_tail == "line one\nthe model is missing"


def test_a_server_that_exits_with_0_has_not_started_either(start):
    found = failure(start(command=("{python}", "-c", "print('bye')")))
    assert (found.reason, found.log_tail) == (Reason.EXITED_AT_START, "bye")
    assert found.detail.endswith("exit code 0")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"command": ("no-such-program-here", "{port}")}, "no-such-program-here"),
        ({"command": ("{python}",), "working_dir": "/no/such/folder"}, "/no/such/folder"),
    ],
)
def test_a_program_or_folder_that_is_not_there_is_named(start, changes, why):
    found = failure(start(**changes))
    assert found.reason is Reason.EXITED_AT_START
    assert why in found.detail
    assert "No such file or directory" in found.detail


@pytest.mark.parametrize(("words", "last"), [(("loading",), ""), (("unready",), "status 503")])
def test_a_server_that_is_never_ready_is_given_up_after_its_time(start, words, last):
    begin_s = time.monotonic()
    found = failure(start(*words, "stubborn", "child", ready_timeout_s=2))
    assert 2 <= time.monotonic() - begin_s < 8
    assert found.reason is Reason.NEVER_READY
    assert "/ping" in found.detail
    assert "within 2 s" in found.detail
    assert last in found.detail
    assert found.detail.endswith("; raise server.ready_timeout_s if it needs longer")


def test_a_fixed_port_that_is_taken_is_told_with_its_holder(start, tmp_path):
    with listening(tmp_path) as (port, other):
        found = failure(start(command=("{python}", str(SERVER), str(port)), port=port))
        name = psutil.Process(other.pid).name()
    assert found.reason is Reason.PORT_TAKEN
    for part in (str(port), str(other.pid), name, "{port}"):
        assert part in found.detail
    assert not (tmp_path / "pids").exists()  # nothing was started


def test_a_fixed_port_is_used(start):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with start(command=("{python}", str(SERVER), str(port)), port=port) as server:
        assert server.endpoint.url == f"http://127.0.0.1:{port}"
        get(server, "/ping")


def test_a_port_held_by_every_address_is_taken_too(start):
    with socket.create_server(("0.0.0.0", 0)) as sock:
        port = sock.getsockname()[1]
        found = failure(start(command=("{python}", str(SERVER), str(port)), port=port))
    assert found.reason is Reason.PORT_TAKEN


def test_a_stranger_that_answers_on_the_servers_port_is_not_measured(start, tmp_path, monkeypatch):
    with listening(tmp_path) as (port, other):
        # Taken between our choice of it and the server's start.
        monkeypatch.setattr(process, "free_port", lambda: port)
        sleeper = ("{python}", "-c", "import time; time.sleep(600)", "{port}")
        found = failure(start(command=sleeper))
        assert found.reason is Reason.PORT_TAKEN
        assert str(other.pid) in found.detail


def test_what_a_tick_raises_ends_the_start_and_the_server(start, tmp_path):
    class Stop(Exception):
        pass

    def tick():
        if (tmp_path / "pids").exists() and len(noted(tmp_path)) == 3:
            raise Stop

    failure(start("loading", "stubborn", "child", "daemon", tick=tick), Stop)
    assert not any(is_alive(pid) for pid in noted(tmp_path).values())


def test_a_trial_folder_that_cannot_be_written_is_this_machines_fault(start, tmp_path):
    (tmp_path / "trial" / "server.log").mkdir(parents=True)
    failure(start(), EnvironmentFault)


# -- a server that goes wrong ------------------------------------------------------------------


def test_a_crash_in_the_middle_is_noticed_with_the_last_words(start):
    with start() as server:
        server.check()
        with pytest.raises(httpx.HTTPError):
            get(server, "/die")
        assert eventually(lambda: server.owner.exited("server"))
        with pytest.raises(TrialFailed) as caught:
            server.check()
    assert caught.value.reason is Reason.CRASHED
    assert caught.value.detail.endswith("exit code 3")
    assert caught.value.log_tail.endswith("dying as told")


def test_a_server_that_outgrows_its_memory_is_ended_and_the_figures_told(start, tmp_path):
    small = Placement((SERVER_CPU,), (GENERATOR_CPU,), "native", 100 << 20)

    def until_it_fails(context):
        with context as server:
            deadline_s = time.monotonic() + 10
            while time.monotonic() < deadline_s:
                server.check()
                time.sleep(0.05)

    with pytest.raises(TrialFailed) as caught:
        until_it_fails(start("greedy", "child", placement=small))
    assert caught.value.reason is Reason.OUT_OF_MEMORY
    used, limit = (int(word) for word in caught.value.detail.split() if word.isdigit())
    assert 100 < used < 300
    assert limit == 100


def test_a_server_within_its_memory_is_left_alone(start):
    enough = Placement((SERVER_CPU,), (GENERATOR_CPU,), "native", 400 << 20)
    with start("greedy", placement=enough) as server:
        assert eventually(lambda: server.usage() and server.usage()[-1].memory_bytes > 200 << 20)
        server.check()


def test_a_lost_guardian_interrupts_the_trial(start):
    with start() as server:
        os.kill(server.owner.guardian_pid, 9)

        def lost():
            try:
                server.check()
            except TrialInterrupted as error:
                return error.reason is Reason.HOST_LOST
            return False

        assert eventually(lost)


# -- a server that goes into the background ----------------------------------------------------


@pytest.mark.parametrize("words", [("background",), ("background", "slow")])
def test_a_server_that_goes_into_the_background_is_measured_and_ended(start, tmp_path, words):
    with start(*words) as server:
        found = noted(tmp_path)
        assert get(server, "/where")["pid"] == found["background"]
        assert not is_alive(found["server"])
        server.check()
        readings = len(server.usage())
        assert eventually(lambda: len(server.usage()) > readings)
        assert server.usage()[-1].memory_bytes > 5 << 20
    assert not is_alive(found["background"])


def test_a_daemon_that_dies_is_noticed(start, tmp_path):
    with start("background") as server:
        os.kill(noted(tmp_path)["background"], 9)

        def crashed():
            try:
                server.check()
            except TrialFailed as error:
                return error.reason is Reason.CRASHED
            return False

        assert eventually(crashed)


def test_a_stubborn_daemon_of_the_server_ends_with_the_trial(start, tmp_path):
    with start("stubborn", "daemon", "child"):
        found = noted(tmp_path)
        assert len(found) == 3
    assert not any(map(is_alive, found.values()))


# -- a server at a URL -------------------------------------------------------------------------


def hook(code: str) -> tuple[str, ...]:
    return (PYTHON, "-c", code)


@pytest.fixture
def at_url(start, tmp_path):
    """A launch of a server that already runs, with hooks."""
    with listening(tmp_path) as (port, _):

        def run(**changes: object):
            return start(command=None, url=f"http://127.0.0.1:{port}/", **changes)

        yield run


def test_a_server_at_a_url_is_used_and_left_running(at_url):
    with at_url() as server:
        get(server, "/ping")
        server.check()
        assert server.usage() == []
        assert not server.endpoint.url.endswith("/")
    assert _accepts(int(server.endpoint.url.rpartition(":")[2]))


def test_hooks_run_before_and_after_in_the_launchs_folder_with_its_variables(at_url, tmp_path):
    note = "import os; open('order', 'a').write('{} ' + os.environ.get('COLOUR', '') + '\\n')"
    hooks = {"before": hook(note.format("before")), "after": hook(note.format("after"))}
    with at_url(**hooks, environment={"COLOUR": "red"}):
        assert (tmp_path / "order").read_text() == "before red\n"
    assert (tmp_path / "order").read_text() == "before red\nafter red\n"


def test_the_after_hook_runs_however_the_trial_ends(at_url, tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        at_url(after=hook("open('after', 'w')")),
    ):
        raise KeyboardInterrupt
    assert (tmp_path / "after").exists()


def test_a_hook_that_fails_is_told_with_its_code_and_last_words(at_url, tmp_path):
    found = failure(at_url(before=hook("print('no weights'); raise SystemExit(4)")))
    assert found.reason is Reason.HOOK_FAILED
    assert found.detail == "hooks.before_trial: exit code 4"
    assert found.log_tail == "no weights"
    with pytest.raises(TrialFailed, match=r"hooks.after_trial: exit code 5"):
        _run_through(at_url(after=hook("raise SystemExit(5)")))


def _run_through(context):
    with context:
        pass


def test_how_the_trial_ended_matters_more_than_a_failing_after_hook(at_url):
    with pytest.raises(ZeroDivisionError), at_url(after=hook("raise SystemExit(5)")):
        raise ZeroDivisionError


def test_a_hook_that_takes_too_long_is_ended_with_all_it_started(at_url, tmp_path):
    slow = "import os, time; os.fork(); time.sleep(600)"
    found = failure(at_url(before=hook(slow), ready_timeout_s=0.5))
    assert found.reason is Reason.HOOK_FAILED
    assert "0.5 s" in found.detail


def test_a_hook_that_is_not_there_is_named(at_url):
    found = failure(at_url(before=("no-such-hook",)))
    assert found.reason is Reason.HOOK_FAILED
    assert "no-such-hook" in found.detail


def test_a_tick_may_end_a_hook(at_url, tmp_path):
    class Stop(Exception):
        pass

    begun = threading.Event()

    def tick():
        if (tmp_path / "begun").exists():
            begun.set()
            raise Stop

    slow = hook("import time; open('begun', 'w'); time.sleep(600)")
    failure(at_url(before=slow, tick=tick), Stop)
    assert begun.is_set()


def test_a_secret_that_a_hook_prints_does_not_reach_its_log(at_url, tmp_path):
    loud = hook("import os; print(os.environ['KEY']); raise SystemExit(1)")
    found = failure(
        at_url(before=loud, environment={"KEY": "hunter2"}, secrets=frozenset({"hunter2"}))
    )
    assert found.log_tail == "***"
    for path in (tmp_path / "trial").iterdir():
        assert b"hunter2" not in path.read_bytes()


def test_nobody_at_the_url_is_never_ready(start):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    found = failure(start(command=None, url=f"http://127.0.0.1:{port}", ready_timeout_s=0.4))
    assert found.reason is Reason.NEVER_READY
    assert "ready_timeout_s" not in found.detail


# -- a generator beside it ---------------------------------------------------------------------


def test_a_generator_beside_the_server_ends_with_it(start, tmp_path):
    with start() as server:
        pid = server.owner.spawn(
            "generator",
            [
                PYTHON,
                "-c",
                "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)",
            ],
            environment={"PIDS": f"{tmp_path}/pids"},
            working_dir=tmp_path,
            cpus=[GENERATOR_CPU],
            log=tmp_path / "trial" / "generator.log",
        )
        assert is_alive(pid)
    assert not is_alive(pid)
