"""Process trees as /proc tells them."""

from __future__ import annotations

import itertools
import os
import subprocess
import time

import pytest
from rightsizer.hosts import tree
from rightsizer.hosts.tree import cpu_seconds, descendants, memory_bytes, proportional_bytes

from tests.hosts.processes import PYTHON, eventually, is_alive

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not os.path.exists("/proc"), reason="/proc"),
    pytest.mark.shared_cpus,
]


def python(code: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([PYTHON, "-c", code], stdin=pipe, stdout=pipe, bufsize=0)


def line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


@pytest.fixture
def started():
    processes = []

    def start(code: str) -> subprocess.Popen[bytes]:
        processes.append(python(code))
        return processes[-1]

    yield start
    for process in processes:
        for pid in [process.pid, *descendants(process.pid)]:
            if is_alive(pid):
                os.kill(pid, 9)
        process.communicate()


def test_children_and_theirs_are_found_also_those_a_thread_forked(started):
    process = started(
        "import os, threading, time\n"
        "def fork():\n"
        "    if not os.fork():\n"
        "        os.fork()\n"
        "        time.sleep(600)\n"
        "    time.sleep(600)\n"
        "threading.Thread(target=fork, daemon=True).start()\n"
        "time.sleep(600)\n"
    )
    assert eventually(lambda: len(descendants(process.pid)) == 2)
    child, grandchild = descendants(process.pid)
    assert descendants(child) == [grandchild]
    assert process.pid in descendants(os.getpid())
    assert {child, grandchild} <= set(descendants(os.getpid()))


def test_zombies_are_left_out_unless_asked_for(started):
    process = started(
        "import os, time\npid = os.fork()\nif not pid: os._exit(0)\n"
        "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\nprint(pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    zombie = int(line(process))
    assert descendants(process.pid) == []
    assert descendants(process.pid, zombies=True) == [zombie]


def test_cpu_time_holds_that_of_reaped_children(started):
    burn = "t = time.process_time()\nwhile time.process_time() - t < 0.3: pass\n"
    process = started(
        f"import os, time\npid = os.fork()\n{burn}"
        "if not pid: os._exit(0)\nos.waitpid(pid, 0)\nprint('done', flush=True)\ntime.sleep(600)\n"
    )
    assert line(process) == "done"
    assert 0.55 < cpu_seconds(process.pid) < 1.5


def test_a_program_may_be_called_anything(started, tmp_path):
    (tmp_path / "a) R 1 2 (").symlink_to("/bin/sleep")
    with subprocess.Popen([str(tmp_path / "a) R 1 2 ("), "600"]) as process:
        try:
            time.sleep(0.1)
            assert process.pid in descendants(os.getpid())
            assert cpu_seconds(process.pid) < 1
        finally:
            process.kill()


def test_memory_is_a_processes_own_and_not_the_page_cache(started, tmp_path):
    (tmp_path / "file").write_bytes(bytes(100 << 20))
    process = started(
        f"import mmap\nf = open({str(tmp_path / 'file')!r}, 'rb')\n"
        "m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\nsum(m[::4096])\n"
        "hoard = b'x' * (50 << 20)\nprint('ready', flush=True)\ninput()\n"
    )
    assert line(process) == "ready"
    for used in (memory_bytes(process.pid), proportional_bytes(process.pid)):
        assert 50 << 20 <= used < 80 << 20


def test_shared_pages_are_divided_among_those_that_share_them(started):
    process = started(
        "import os, time\nhoard = b'x' * (60 << 20)\npid = os.fork()\n"
        "if pid: print('ready', flush=True)\ntime.sleep(600)\n"
    )
    assert line(process) == "ready"
    pids = [process.pid, *descendants(process.pid)]
    assert len(pids) == 2
    assert sum(map(memory_bytes, pids)) > 120 << 20
    assert 60 << 20 <= sum(map(proportional_bytes, pids)) < 90 << 20


def test_a_process_that_is_gone_has_nothing(started):
    process = started("input()")
    process.communicate()
    assert descendants(process.pid) == []
    assert cpu_seconds(process.pid) == 0
    assert memory_bytes(process.pid) == proportional_bytes(process.pid) == 0


def test_an_orphan_whose_parent_ends_during_the_look_is_found_where_it_has_gone(monkeypatch):
    """1 adopts orphans; 2, the parent of 3, is listed and ends before its own list is read."""
    looks = itertools.chain([[2]], itertools.repeat([2, 3]))
    children = {2: [], 3: [4], 4: []}
    monkeypatch.setattr(tree, "_children", lambda pid: next(looks) if pid == 1 else children[pid])
    monkeypatch.setattr(tree, "_stat", lambda pid: ["Z" if pid == 2 else "S"])
    assert descendants(1) == [3, 4]
