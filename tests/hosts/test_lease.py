"""CPU leases: two jobs never share a CPU, and no lease outlives its holder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rightsizer.errors import EnvironmentFault
from rightsizer.hosts.lease import lease, leased_accelerators, leased_cpus, runtime_dir

pytestmark = pytest.mark.shared_cpus

HOLD = """
import sys
from pathlib import Path
from rightsizer.hosts.lease import lease
with lease([3, 5], "job demo", Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "leases"


def test_a_lease_shows_with_its_owner_while_it_is_held(folder):
    with lease([1, 0], "job a", folder):
        words = f"job a (process {os.getpid()})"
        assert leased_cpus(folder) == {0: words, 1: words}
    assert leased_cpus(folder) == {}


def test_a_cpu_is_leased_once_and_the_refusal_names_the_holder(folder):
    with (
        lease([0], "job a", folder),
        pytest.raises(EnvironmentFault, match=r"CPU 0 is leased to job a \(process \d+\)"),
        lease([0], "job b", folder),
    ):
        pass
    with lease([0], "job b", folder):
        assert leased_cpus(folder)[0].startswith("job b (")


def test_a_lease_is_of_all_cpus_or_none(folder):
    with lease([1], "job a", folder):
        with pytest.raises(EnvironmentFault), lease([0, 1, 2], "job b", folder):
            pass
        assert set(leased_cpus(folder)) == {1}


def test_leases_of_other_cpus_do_not_meet(folder):
    with lease([0], "job a", folder), lease([1], "job b", folder):
        assert set(leased_cpus(folder)) == {0, 1}


def test_a_lease_ends_with_an_exception(folder):
    with pytest.raises(RuntimeError), lease([0], "job a", folder):
        raise RuntimeError
    assert leased_cpus(folder) == {}


def test_a_shorter_owner_leaves_nothing_of_a_longer_one(folder):
    with lease([0], "job of a very long name", folder):
        pass
    with lease([0], "b", folder):
        assert leased_cpus(folder) == {0: f"b (process {os.getpid()})"}


def test_looking_does_not_keep_a_job_from_its_lease(folder):
    with lease([0], "first", folder):
        pass
    done = threading.Event()

    def look():
        while not done.is_set():
            leased_cpus(folder)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(200):
            with lease([0], "second", folder):
                pass
    finally:
        done.set()
        looking.join()


def test_a_folder_that_takes_no_locks_is_this_machines_fault(tmp_path):
    (tmp_path / "leases").write_text("a file")
    with (
        pytest.raises(EnvironmentFault, match="cannot keep CPU leases in"),
        lease([0], "job a", tmp_path / "leases"),
    ):
        pass


def test_files_of_others_in_the_folder_are_not_leases(folder):
    folder.mkdir()
    (folder / "cpu-x.lock").write_text("")
    (folder / "note.txt").write_text("")
    assert leased_cpus(folder) == {}


def test_locks_stand_in_the_users_runtime_folder(tmp_path, monkeypatch):
    assert runtime_dir() == tmp_path / "runtime" / "rightsizer"
    with lease([0], "job a"):
        assert (tmp_path / "runtime/rightsizer/cpu-0.lock").exists()
        assert (tmp_path / "runtime/rightsizer").stat().st_mode & 0o077 == 0
        assert set(leased_cpus()) == {0}
    # Jobs must agree on the folder, whatever TMPDIR each was started with.
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert tmp_path not in runtime_dir().parents
    assert "rightsizer" in runtime_dir().name


@pytest.mark.server
def test_a_lease_of_another_process_ends_when_it_is_killed(folder):
    argv = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert leased_cpus(folder) == {cpu: f"job demo (process {holder.pid})" for cpu in (3, 5)}
        with (
            pytest.raises(EnvironmentFault, match=f"job demo .process {holder.pid}"),
            lease([5], "mine", folder),
        ):
            pass
        holder.kill()
    assert leased_cpus(folder) == {}
    with lease([3, 5], "mine", folder):
        pass


def test_accelerators_are_leased_beside_cpus_and_listed_by_their_ids(folder):
    chip, gpu = "/dev/neuron0", "MIG-GPU-11111111/1/0"
    with lease([0], "job a", folder, accelerators=[gpu, chip]):
        assert set(leased_accelerators(folder)) == {chip, gpu}
        assert set(leased_cpus(folder)) == {0}
        with (
            pytest.raises(EnvironmentFault, match="accelerator /dev/neuron0 is leased to job a"),
            lease([1], "job b", folder, accelerators=[chip]),
        ):
            raise AssertionError("two jobs have it")
    assert leased_accelerators(folder) == {}
