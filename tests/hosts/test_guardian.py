"""The guardian's own manners: light, deaf to the engine's variables, and never left alone."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rightsizer.hosts.owner import GuardedOwner

from tests.hosts.processes import GENERATOR_CPU, PYTHON, SERVER_CPU, eventually, is_alive

pytestmark = [pytest.mark.server, pytest.mark.shared_cpus]

HEAVY = {"psutil", "pydantic", "httpx", "numpy", "pandas", "ruamel", "rich", "typer", "locust"}


@pytest.fixture
def guardian() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A guardian and the engine's end of its channel."""
    ours, theirs = socket.socketpair()
    argv = [PYTHON, "-P", "-m", "rightsizer.hosts.guardian", str(theirs.fileno())]
    with subprocess.Popen(argv, pass_fds=[theirs.fileno()]) as process, ours:
        theirs.close()
        yield process, ours
        ours.close()
        process.wait(10)


def command(name: str, folder: Path, *argv: str) -> bytes:
    spawn = {
        "kind": "spawn",
        "name": name,
        "argv": argv,
        "environment": {},
        "working_dir": str(folder),
        "cpus": [],
        "log": str(folder / f"{name}.log"),
        "secrets": [],
        "streams": 0,
        "memory_limit": None,
    }
    return json.dumps(spawn).encode() + b"\n"


def test_it_imports_nothing_that_is_slow_to_load():
    code = "import sys, rightsizer.hosts.guardian; print('\\n'.join(sys.modules))"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in done.stdout.split())


def test_secrets_are_neither_in_its_words_nor_in_its_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKEN", "hunter2-hunter3")
    with GuardedOwner([GENERATOR_CPU], frozenset({"hunter2-hunter3"})) as owner:
        owner.spawn(
            "server",
            [PYTHON, "-c", "import time; time.sleep(600)"],
            environment={"TOKEN": "hunter2-hunter3"},
            working_dir=tmp_path,
            cpus=[SERVER_CPU],
            log=tmp_path / "server.log",
        )
        for file in ("cmdline", "environ"):
            assert b"hunter2" not in Path(f"/proc/{owner.guardian_pid}/{file}").read_bytes()


def test_commands_may_come_in_pieces_and_several_at_once(guardian, tmp_path):
    _, channel = guardian
    both = command("a", tmp_path, "/bin/sleep", "600") + command("b", tmp_path, "/bin/sleep", "600")
    for part in (both[:50], both[50:300], both[300:]):
        channel.sendall(part)
        time.sleep(0.05)
    with channel.makefile("rb") as lines:
        told = [json.loads(lines.readline()) for _ in range(2)]
    assert [(report["kind"], report["name"]) for report in told] == [
        ("spawned", "a"),
        ("spawned", "b"),
    ]


def test_an_engine_that_goes_before_the_guardian_is_up_leaves_nothing(guardian):
    process, channel = guardian
    channel.close()
    assert process.wait(5) == 0


def test_a_command_that_makes_no_sense_ends_the_guardian_and_all_it_started(tmp_path):
    ours, theirs = socket.socketpair()
    argv = [PYTHON, "-P", "-m", "rightsizer.hosts.guardian", str(theirs.fileno())]
    with (
        subprocess.Popen(argv, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE) as process,
        ours,
        theirs,
        ours.makefile("rb") as lines,
    ):
        ours.sendall(command("server", tmp_path, "/bin/sleep", "600"))
        pid = json.loads(lines.readline())["pid"]
        ours.sendall(b"what?\n")
        assert b"JSONDecodeError" in process.communicate(timeout=10)[1]
        assert not is_alive(pid)


def test_a_command_left_for_the_engines_death_is_run_then_and_only_then(guardian, tmp_path):
    process, channel = guardian
    argv = ["/bin/sh", "-c", 'echo "$WHO" >> done; sleep 0.2; echo ended >> done']
    on_loss = {"kind": "on-loss", "name": "on-loss", "environment": {"WHO": "reaper"}}
    shell = ["/bin/sh", "-c", f'cd {tmp_path} && exec "$@"', "sh", *argv]
    channel.sendall(json.dumps({**on_loss, "argv": shell}).encode() + b"\n")
    with channel.makefile("rb") as lines:
        assert json.loads(lines.readline()) == {"kind": "noted", "name": "on-loss"}
    assert not (tmp_path / "done").exists()
    channel.close()
    assert process.wait(10) == 0
    assert (tmp_path / "done").read_text() == "reaper\nended\n"


def test_a_command_that_is_taken_back_is_not_run(tmp_path):
    with GuardedOwner([GENERATOR_CPU]) as owner:
        owner.on_loss(["/bin/touch", str(tmp_path / "done")], {})
        owner.on_loss(None, {})
    assert not (tmp_path / "done").exists()


def test_a_command_is_run_when_the_owner_leaves_without_taking_it_back(tmp_path):
    with GuardedOwner([GENERATOR_CPU]) as owner:
        owner.on_loss(["/bin/touch", str(tmp_path / "done")], {})
    assert (tmp_path / "done").exists()


def test_pages_that_forked_workers_share_count_once_against_the_limit(tmp_path):
    workers = "import os, time\nhoard = b'x' * (60 << 20)\nos.fork()\nos.fork()\ntime.sleep(600)"
    with GuardedOwner([GENERATOR_CPU]) as owner:
        owner.spawn(
            "server",
            [PYTHON, "-c", workers],
            environment={},
            working_dir=tmp_path,
            cpus=[SERVER_CPU],
            log=tmp_path / "server.log",
            memory_limit_bytes=120 << 20,
        )
        # The cheap reading is over the limit; the exact one is not.
        assert eventually(lambda: sum(r.memory_bytes > 200 << 20 for r in owner.usage()) >= 2)
        assert owner.exited("server") is None
        assert owner.out_of_memory is None
