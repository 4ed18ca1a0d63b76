"""The guardian: what it starts ends with the trial, with the engine, and with itself."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from rightsizer.analysis.utilisation import runnable_threads
from rightsizer.analysis.windows import Window
from rightsizer.errors import EnvironmentFault, Reason, TrialInterrupted
from rightsizer.hosts.owner import GuardedOwner, SpawnRefused
from rightsizer.hosts.tree import run_delays_ns

from tests.hosts.processes import (
    CPUS,
    GENERATOR_CPU,
    PYTHON,
    SERVER,
    SERVER_CPU,
    eventually,
    is_alive,
    noted,
    of_folder,
)

pytestmark = pytest.mark.server

ENGINE = SERVER.with_name("engine.py")
ROOT = Path(__file__).parents[2]
PYTHONPATH = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


@pytest.fixture
def owner():
    with GuardedOwner([GENERATOR_CPU]) as started:
        yield started


@pytest.fixture
def spawn(owner, tmp_path):
    """Start a program under `owner`; by default one that sleeps."""

    def start(
        code: str = "import time; time.sleep(600)", name: str = "server", **more: object
    ) -> int:
        given = {
            "environment": {"PIDS": f"{tmp_path}/pids"},
            "working_dir": tmp_path,
            "cpus": [SERVER_CPU],
            "log": tmp_path / f"{name}.log",
            **more,
        }
        return owner.spawn(name, [PYTHON, "-c", code], **given)

    return start


@pytest.fixture
def small_server(owner, tmp_path):
    """Start `servers/ready.py` with these words, and wait until it has noted as many processes."""

    def start(*words: str, count: int) -> dict[str, int]:
        owner.spawn(
            "server",
            [PYTHON, str(SERVER), "0", *words],
            environment={"PIDS": f"{tmp_path}/pids"},
            working_dir=tmp_path,
            cpus=[SERVER_CPU],
            log=tmp_path / "server.log",
        )
        assert eventually(lambda: len(noted(tmp_path)) == count)
        return noted(tmp_path)

    return start


# -- one process -------------------------------------------------------------------------------


def test_a_process_runs_until_it_is_ended_and_then_tells_how(owner, spawn):
    pid = spawn()
    assert is_alive(pid)
    assert owner.exited("server") is None
    owner.end("server", 5.0)
    assert not is_alive(pid)
    assert owner.exited("server") == "signal SIGTERM"


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("pass", "exit code 0"),
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "signal SIGKILL"),
        ("import os; os.abort()", "signal SIGABRT"),
    ],
)
def test_the_end_of_a_process_is_told(owner, spawn, code, ended):
    spawn(code)
    assert eventually(lambda: owner.exited("server") is not None)
    assert owner.exited("server") == ended


def test_the_last_words_stand_in_the_log_when_the_end_is_told(owner, spawn, tmp_path):
    for i in range(5):
        spawn(f"import os; os.write(1, b'x' * 60000 + b'last {i}\\n'); os._exit(1)", f"p{i}")
        assert eventually(lambda name=f"p{i}": owner.exited(name) is not None)
        assert (tmp_path / f"p{i}.log").read_bytes().endswith(b"last %d\n" % i)


def test_a_name_may_be_used_again(owner, spawn):
    spawn("pass")
    assert eventually(lambda: owner.exited("server"))
    pid = spawn()
    assert owner.exited("server") is None
    assert is_alive(pid)


def test_ending_what_was_never_started_or_has_ended_is_nothing(owner, spawn):
    owner.end("server", 0.0)
    spawn("pass")
    assert eventually(lambda: owner.exited("server"))
    owner.end("server", 0.0)
    assert owner.exited("server") == "exit code 0"


def test_a_process_keeps_to_its_cpus_and_the_guardian_to_its_own(owner, spawn):
    pid = spawn()
    assert os.sched_getaffinity(pid) == {SERVER_CPU}
    assert os.sched_getaffinity(owner.guardian_pid) == {GENERATOR_CPU}
    everywhere = spawn(name="other", cpus=CPUS)
    assert os.sched_getaffinity(everywhere) == set(CPUS)


def test_a_process_has_a_session_of_its_own_and_the_default_signals(spawn, tmp_path):
    pid = spawn(
        "import signal, json\n"
        "print(json.dumps([str(signal.getsignal(n)) for n in (2, 13, 15, 17)]), flush=True)\n"
        "import time; time.sleep(600)"
    )
    assert os.getsid(pid) == pid
    assert eventually(lambda: (tmp_path / "server.log").read_text().endswith("\n"))
    found = json.loads((tmp_path / "server.log").read_text())
    assert found[2:] == ["0", "0"] or found[2:] == ["Handlers.SIG_DFL", "Handlers.SIG_DFL"]
    blocked = Path(f"/proc/{pid}/status").read_text().partition("SigBlk:")[2].split()[0]
    assert int(blocked, 16) == 0


@pytest.mark.parametrize(
    ("argv", "more", "why"),
    [
        (["/no/such/program"], {}, "No such file or directory"),
        (["a\0b"], {}, "null byte"),
        (["/etc"], {}, "Permission denied"),
        (["true"], {"working_dir": Path("/no/such/folder")}, "/no/such/folder"),
        (["true"], {"cpus": [4000]}, "CPUs 4000"),
    ],
)
def test_what_cannot_be_started_is_refused_with_the_reason(owner, tmp_path, argv, more, why):
    given = {"environment": {}, "working_dir": tmp_path, "cpus": [], "log": tmp_path / "a.log"}
    with pytest.raises(SpawnRefused, match=why):
        owner.spawn("server", argv, **{**given, **more})
    # and the guardian goes on
    owner.check()
    assert owner.spawn("server", [PYTHON, "-c", "pass"], **given)


def test_a_log_that_cannot_be_written_is_this_machines_fault(owner, spawn, tmp_path):
    with pytest.raises(EnvironmentFault, match="No such file or directory"):
        spawn(log=tmp_path / "none" / "server.log")
    owner.check()


def test_variables_and_secrets_that_are_no_text_do_not_end_the_guardian(tmp_path):
    with GuardedOwner([GENERATOR_CPU], frozenset({"hunter\udcff2"})) as owner:
        owner.spawn(
            "server",
            [PYTHON, "-c", "import os; os.write(1, b'(' + os.environb[b'KEY'] + b')\\n')"],
            environment={"KEY": "hunter\udcff2"},
            working_dir=tmp_path,
            cpus=[],
            log=tmp_path / "server.log",
        )
        assert eventually(lambda: owner.exited("server"))
        assert (tmp_path / "server.log").read_bytes() == b"(***)\n"


def test_an_environment_of_a_megabyte_arrives(owner, spawn, tmp_path):
    big = {f"V{i}": "x" * 100_000 for i in range(10)}
    code = "import os; print(sum(len(v) for k, v in os.environ.items() if k[0] == 'V'))"
    spawn(code, environment=big)
    assert eventually(lambda: owner.exited("server"))
    assert (tmp_path / "server.log").read_text() == "1000000\n"


def test_modules_in_the_working_folder_do_not_stand_in_for_the_librarys(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('not mine to run')")
    monkeypatch.chdir(tmp_path)
    with GuardedOwner([GENERATOR_CPU]) as owner:
        owner.end("nothing", 0.0)
        owner.check()


# -- pipes -------------------------------------------------------------------------------------


def test_a_generator_talks_through_pipes_and_its_errors_go_to_the_log(owner, spawn, tmp_path):
    code = (
        "import sys\nfor line in sys.stdin:\n"
        "    print(line.strip().upper(), flush=True)\n    print('saw', line, file=sys.stderr)\n"
    )
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    spawn(code, "generator", stdin=down_read, stdout=up_write)
    os.close(down_read)
    os.close(up_write)
    with os.fdopen(down_write, "w") as down, os.fdopen(up_read) as up:
        for word in ("hello", "again"):
            print(word, file=down, flush=True)
            assert up.readline() == f"{word.upper()}\n"
        down.close()
        # No copy of the pipes is left in the guardian: both ends close.
        assert up.read() == ""
    assert eventually(lambda: owner.exited("generator") == "exit code 0")
    assert "saw again" in (tmp_path / "generator.log").read_text()
    assert "HELLO" not in (tmp_path / "generator.log").read_text()


def test_pipes_of_a_refused_program_are_closed(owner, tmp_path):
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    with pytest.raises(SpawnRefused):
        owner.spawn(
            "generator",
            ["/no/such/program"],
            environment={},
            working_dir=tmp_path,
            cpus=[],
            log=tmp_path / "g.log",
            stdin=down_read,
            stdout=up_write,
        )
    for descriptor in (down_read, down_write, up_write):
        os.close(descriptor)
    with os.fdopen(up_read) as up:
        assert up.read() == ""


# -- trees -------------------------------------------------------------------------------------


def test_the_end_of_a_server_is_that_of_its_workers_and_daemons(owner, small_server):
    found = small_server("child", "daemon", count=3)
    assert owner.exited("server") is None
    owner.end("server", 5.0)
    assert not any(map(is_alive, found.values()))


def test_what_ignores_sigterm_is_killed_after_the_grace_and_not_before(owner, small_server):
    found = small_server("stubborn", "child", "daemon", count=3)
    begin_s = time.monotonic()
    owner.end("server", 0.5)
    assert 0.5 <= time.monotonic() - begin_s < 3
    assert not any(map(is_alive, found.values()))
    assert owner.exited("server") == "signal SIGKILL"


def test_ending_the_server_leaves_the_generator_alone_and_the_other_way_round(owner, spawn):
    fork = "import os, time; os.fork(); time.sleep(600)"
    server, generator = spawn(fork), spawn(fork, "generator")
    for pid in (server, generator):
        assert eventually(lambda pid=pid: len(psutil.Process(pid).children()) == 1)
    theirs = [server, psutil.Process(server).children()[0].pid]
    ours = [generator, psutil.Process(generator).children()[0].pid]
    owner.end("generator", 5.0)
    assert [is_alive(pid) for pid in theirs + ours] == [True, True, False, False]
    assert owner.exited("server") is None
    generator = spawn(fork, "generator")
    owner.end("server", 5.0)
    assert [is_alive(pid) for pid in [*theirs, generator]] == [False, False, True]


def test_a_stubborn_worker_of_a_generator_does_not_outlive_its_end(owner, spawn):
    pid = spawn(
        "import os, signal, time\n"
        "if not os.fork(): signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)",
        "generator",
    )
    assert eventually(lambda: len(psutil.Process(pid).children()) == 1)
    worker = psutil.Process(pid).children()[0].pid
    status = Path(f"/proc/{worker}/status")
    ignores = 1 << (signal.SIGTERM - 1)
    assert eventually(
        lambda: int(status.read_text().partition("SigIgn:")[2].split()[0], 16) & ignores
    )
    owner.end("generator", 0.3)
    assert not is_alive(worker)


def test_leaving_the_context_ends_everything_and_no_zombie_is_left(tmp_path):
    with GuardedOwner([GENERATOR_CPU]) as owner:
        for name in ("server", "generator"):
            owner.spawn(
                name,
                [PYTHON, str(SERVER), "0", "stubborn", "child", "daemon"],
                environment={"PIDS": f"{tmp_path}/{name}"},
                working_dir=tmp_path,
                cpus=[],
                log=tmp_path / f"{name}.log",
            )
        assert eventually(lambda: len(of_folder(tmp_path)) >= 6)
        guardian = owner.guardian_pid
    assert of_folder(tmp_path) == []
    assert not Path(f"/proc/{guardian}").exists()


# -- usage -------------------------------------------------------------------------------------


def test_a_busy_server_uses_about_one_core_and_its_memory_is_told(owner, spawn):
    pid = spawn("hoard = b'x' * (60 << 20)\nwhile True: pass")
    assert eventually(lambda: len(owner.usage()) >= 5)
    readings = owner.usage()
    first, last = readings[1], readings[-1]
    busy = (last.cpu_s - first.cpu_s) / ((last.t_ns - first.t_ns) / 1e9)
    assert 0.2 < busy < 1.2  # of one core, less what the rest of this machine takes
    times = psutil.Process(pid).cpu_times()
    assert times.user + times.system - 1.5 < last.cpu_s <= times.user + times.system + 0.05
    assert 60 << 20 <= last.memory_bytes < 100 << 20
    assert [r.t_ns for r in readings] == sorted({r.t_ns for r in readings})
    assert abs(last.t_ns - time.monotonic_ns()) < 2e9


def test_the_time_of_workers_that_have_ended_stays_counted(owner, spawn):
    spawn(
        "import os, time\n"
        "def burn():\n    t = time.process_time()\n    while time.process_time() - t < 0.1: pass\n"
        "for i in range(5):\n    pid = os.fork()\n"
        "    if not pid:\n        burn()\n        os._exit(0)\n    os.waitpid(pid, 0)\n"
        "if not os.fork():\n    if not os.fork():\n        burn()\n    os._exit(0)\n"
        "time.sleep(600)"
    )
    # 0.6 s, less what the kernel cuts off: it tells four times of a process in hundredths
    assert eventually(lambda: owner.usage() and owner.usage()[-1].cpu_s >= 0.55)
    times = [reading.cpu_s for reading in owner.usage()]
    assert times == sorted(times)


COUNTS = pytest.mark.skipif(
    not run_delays_ns(os.getpid()), reason="this kernel does not count how long threads wait"
)
CROWD = "import os, time\nfor i in range({others}):\n    if not os.fork(): break\nwhile True: pass"


def runnable(owner, stretch_s: float = 2.0) -> float:
    """Threads of the server that ran or waited, on average over a stretch."""
    assert eventually(lambda: len(owner.usage()) >= 2)
    first = owner.usage()[-1]
    assert eventually(lambda: owner.usage()[-1].t_ns - first.t_ns > stretch_s * 1e9)
    return runnable_threads(owner.usage(), [Window(first.t_ns, owner.usage()[-1].t_ns)])


@COUNTS
def test_of_a_crowd_on_one_cpu_all_are_seen_to_want_it(owner, spawn):
    spawn(CROWD.format(others=5))
    # less what other processes of this machine make the counts lag
    assert 4.5 < runnable(owner) < 6.5


@COUNTS
def test_one_thread_is_one_though_others_have_its_cpu_most_of_the_time(owner, spawn):
    spawn(CROWD.format(others=3), "generator", cpus=[SERVER_CPU])
    spawn("while True: pass")
    assert 0.7 < runnable(owner) < 1.3


def test_the_generators_use_is_not_the_servers(owner, spawn):
    spawn("while True: pass", "generator")
    spawn()
    assert eventually(lambda: len(owner.usage()) >= 3)
    assert owner.usage()[-1].cpu_s < 0.4


def test_endless_output_is_bounded_and_does_not_hold_up_the_readings(owner, spawn, tmp_path):
    spawn("import os\nwhile True: os.write(1, b'x' * 8191 + b'\\n')")
    assert eventually(lambda: len(owner.usage()) >= 2)
    time.sleep(1.6)
    stamps = [reading.t_ns / 1e9 for reading in owner.usage()]
    gaps = [b - a for a, b in itertools.pairwise(stamps)]
    assert len(gaps) >= 3
    assert max(gaps) < 1.2
    assert sum(p.stat().st_size for p in tmp_path.glob("server.log*")) < 3 << 20
    begin_s = time.monotonic()
    owner.end("server", 5.0)
    assert time.monotonic() - begin_s < 3


# -- a guardian that dies ----------------------------------------------------------------------


def test_when_the_guardian_is_killed_its_children_end_and_every_call_says_so(owner, spawn):
    server, generator = spawn(), spawn(name="generator")
    os.kill(owner.guardian_pid, signal.SIGKILL)
    assert eventually(lambda: not is_alive(server) and not is_alive(generator), 5)

    def lost():
        try:
            owner.check()
        except TrialInterrupted as error:
            return error.reason is Reason.HOST_LOST
        return False

    assert eventually(lost)
    with pytest.raises(TrialInterrupted):
        spawn(name="another")
    with pytest.raises(TrialInterrupted):
        owner.exited("server")
    owner.end("server", 1.0)


def test_workers_that_share_the_servers_session_end_with_a_killed_guardian(owner, small_server):
    found = small_server("stubborn", "child", count=2)
    os.kill(owner.guardian_pid, signal.SIGKILL)
    assert eventually(lambda: not any(map(is_alive, found.values())), 5)


def test_a_guardian_told_to_end_ends_what_it_started(owner, small_server):
    found = small_server("child", "daemon", count=3)
    os.kill(owner.guardian_pid, signal.SIGTERM)
    assert eventually(lambda: not any(map(is_alive, found.values())), 5)


# -- an engine that dies -----------------------------------------------------------------------


@contextmanager
def engine_at(folder: Path, moment: str, *words: str) -> Iterator[tuple[int, int]]:
    """An engine that has come to this moment, and its guardian; killed in the end."""
    argv = [PYTHON, str(ENGINE), str(folder), moment, *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *PYTHONPATH])}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment) as engine:
        assert engine.stdout is not None
        try:
            assert engine.stdout.readline() == f"{moment}\n".encode()
            guardian = next(
                child.pid
                for child in psutil.Process(engine.pid).children()
                if "rightsizer.hosts.guardian" in child.cmdline()
            )
            yield engine.pid, guardian
        finally:
            engine.kill()


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("spawned", ()),
        ("loading", ("loading",)),
        ("ready", ()),
        ("ending", ()),
    ],
)
def test_nothing_is_left_five_seconds_after_a_killed_engine(tmp_path, moment, words):
    with engine_at(tmp_path, moment, "stubborn", "child", "daemon", *words) as (_, guardian):
        if moment == "ending":
            time.sleep(0.3)  # in the midst of the 5 s that a stubborn server is given
        if moment != "spawned":
            assert len(of_folder(tmp_path)) == 3
    # The promise is 5 s; the grace is 1 s, and a busy machine has a share in the rest.
    within_s = 3.5 if moment == "ending" else 5.0
    assert eventually(lambda: not is_alive(guardian) and not of_folder(tmp_path), within_s)


def test_a_server_does_not_outlive_a_guardian_that_dies_while_the_engine_is_stuck(tmp_path):
    with engine_at(tmp_path, "ready", "stubborn") as (engine, guardian):
        os.kill(engine, signal.SIGSTOP)
        assert len(of_folder(tmp_path)) == 1
        os.kill(guardian, signal.SIGKILL)
        assert eventually(lambda: not of_folder(tmp_path), 5.0)
