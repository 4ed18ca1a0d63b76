"""What this machine has, read off files as Linux writes them."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from rightsizer.hosts import probe
from rightsizer.hosts.probe import this_machine

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of these hyperthread lists, of which these CPUs may be used."""
    root = tmp_path / "root"

    def make(siblings: list[str], allowed: set[int]) -> Path:
        for cpu, text in enumerate(siblings):
            folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
            folder.mkdir(parents=True)
            (folder / "thread_siblings_list").write_text(text + "\n")
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed, raising=False)
        monkeypatch.setattr(psutil, "cpu_count", lambda: len(siblings))
        total = type("Memory", (), {"total": 64 * GIB})
        monkeypatch.setattr(psutil, "virtual_memory", lambda: total)
        root.mkdir(exist_ok=True)
        return root

    return make


def test_hyperthreads_of_a_core_are_grouped_however_they_are_written(machine):
    found = this_machine(machine(["0,2", "1,3", "0,2", "1,3"], {0, 1, 2, 3}))
    assert found.cores == ((0, 2), (1, 3))
    assert (found.cpu_count, found.threads_per_core, found.cpus) == (4, 2, (0, 1, 2, 3))


def test_neighbouring_hyperthreads_are_written_as_a_range(machine):
    assert this_machine(machine(["0-1", "0-1", "2-3", "2-3"], {0, 1, 2, 3})).cores == (
        (0, 1),
        (2, 3),
    )


def test_only_cpus_of_the_engines_affinity_count_but_the_threads_are_the_processors(machine):
    found = this_machine(machine(["0,2", "1,3", "0,2", "1,3"], {2, 3, 1}))
    assert found.cores == ((1, 3), (2,))
    assert (found.cpu_count, found.threads_per_core) == (4, 2)


def test_without_topology_each_cpu_is_a_core(machine):
    found = this_machine(machine([], {0, 1}))
    assert (found.cores, found.threads_per_core) == (((0,), (1,)), 1)


def test_memory_is_the_machines_where_no_cgroup_limits_it(machine):
    assert this_machine(machine([], {0})).memory_bytes == 64 * GIB


@pytest.mark.parametrize(
    ("cgroup", "files", "gib"),
    [
        ("0::/\n", {"sys/fs/cgroup/memory.max": f"{4 * GIB}\n"}, 4),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}, 64),
        ("0::/a/b\n", {"sys/fs/cgroup/a/memory.max": f"{8 * GIB}\n"}, 8),
        (
            "0::/a\n",
            {"sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/memory.max": f"{2 * GIB}\n"},
            2,
        ),
        (
            "5:cpu:/x\n4:memory:/docker/1\n0::/\n",
            {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{3 * GIB}\n"},
            3,
        ),
        ("0::/\n", {"sys/fs/cgroup/memory.max": f"{1 << 62}\n"}, 64),
        ("0::/not/mounted/here\n", {"sys/fs/cgroup/memory.max": f"{5 * GIB}\n"}, 5),
    ],
)
def test_memory_is_what_the_tightest_cgroup_leaves(machine, cgroup, files, gib):
    root = machine([], {0})
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    assert this_machine(root).memory_bytes == gib * GIB


def test_the_processor_is_named_as_linux_names_it(machine):
    root = machine([], {0})
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: AMD EPYC 7R32\nflags\t: x\n")
    assert this_machine(root).processor == "AMD EPYC 7R32"


def test_a_machine_that_says_nothing_of_its_processor_still_has_a_name(machine, monkeypatch):
    monkeypatch.setattr(probe.platform, "processor", lambda: "")
    assert this_machine(machine([], {0})).processor == "unknown processor"


def test_without_affinities_nothing_can_be_pinned(machine, monkeypatch):
    root = machine(["0", "1", "2"], {0})
    monkeypatch.delattr(os, "sched_getaffinity")
    found = this_machine(root)
    assert (found.can_pin, found.cpus) == (False, (0, 1, 2))


def test_the_machine_at_hand_is_like_what_the_system_says():
    found = this_machine()
    assert found.cpu_count == os.cpu_count()
    assert 0 < found.memory_bytes <= psutil.virtual_memory().total
    if found.can_pin:
        assert set(found.cpus) == os.sched_getaffinity(0)
    assert found.processor
    assert found.architecture == os.uname().machine
