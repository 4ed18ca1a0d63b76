"""What accelerators do in a trial: the vendors' tools under the guardian, and their lines."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from rightsizer.accelerators import Accelerator
from rightsizer.hosts.accelerator_watch import (
    STALE_NS,
    NvidiaLines,
    Reading,
    accelerator_watch,
    beside,
    neuron_line,
)
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.hosts.records import Usage
from rightsizer.machines import Placement
from rightsizer.units import BYTES_PER_MIB

from tests.hosts.processes import GENERATOR_CPU, SERVER_CPU, eventually, launch_of
from tests.hosts.tools import T4, neuron_monitor_line, put_nvidia_smi, put_program

pytestmark = pytest.mark.shared_cpus

# -- lines -------------------------------------------------------------------------------------


def test_the_lines_of_all_gpus_are_one_reading():
    read = NvidiaLines(["GPU-a", "GPU-b"])
    assert read("GPU-a, 30, 1000\n") is None
    assert read("GPU-b, 70, 24\n") == (0.5, 1024 * BYTES_PER_MIB)
    assert read("GPU-a, 0, 0\n") is None


@pytest.mark.parametrize(
    "line", ["", "GPU-b, 50, 1\n", "GPU-a, [N/A], 4\n", "Unable to determine\n"]
)
def test_lines_of_others_and_of_no_figures_are_passed_over(line):
    read = NvidiaLines(["GPU-a"])
    assert read(line) is None
    assert read("GPU-a, 100, 1\n") == (1.0, BYTES_PER_MIB)


def test_a_report_of_neuron_monitor_is_the_mean_of_the_servers_cores():
    line = neuron_monitor_line({0: 80.0, 1: 40.0}, 5)
    assert neuron_line(line, frozenset({0, 1, 2, 3})) == (pytest.approx(0.3), 5)
    assert neuron_line(neuron_monitor_line({8: 99.0}, 5), frozenset({0, 1})) == (0.0, 0)


@pytest.mark.parametrize("line", ["", "no json", "{}", '{"neuron_runtime_data": [{}]}'])
def test_a_report_without_figures_is_no_reading(line):
    assert neuron_line(line, frozenset({0})) is None


# -- beside the server's usage -----------------------------------------------------------------


def test_each_usage_has_the_latest_reading_before_it_unless_that_is_stale():
    usage = [Usage(t_ns, 0.0, 0) for t_ns in (5, 10, 15, 21 + STALE_NS)]
    found = beside(usage, [Reading(10, 0.4, 7), Reading(20, 0.9, 8)])
    assert [one.accelerator_ratio for one in found] == [None, 0.4, 0.4, None]
    assert found[1].accelerator_bytes == 7
    assert beside(usage, []) == usage


# -- the tools ---------------------------------------------------------------------------------

CHIP = Accelerator("neuron", "/dev/neuron0", "Inferentia", 8 << 30, (0, 1))
GPU = Accelerator("nvidia", T4, "Tesla T4", 15 << 30)


def launch_with(folder: Path, *accelerators: Accelerator, **changes: object):
    (folder / "trial").mkdir()
    placement = Placement(
        (SERVER_CPU,), (GENERATOR_CPU,), "native", 1 << 30, accelerators=accelerators, **changes
    )
    return launch_of(folder, placement=placement)


def readings(watch) -> list[tuple[float | None, int | None]]:
    [found] = watch.beside([Usage(time.monotonic_ns(), 0.0, 0)])
    return [(found.accelerator_ratio, found.accelerator_bytes)]


@pytest.mark.server
def test_nvidia_smi_is_read_as_long_as_the_trial_lasts_and_ended_with_it(tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch, busy=f"{T4}, 37, 2048\n")
    with GuardedOwner((GENERATOR_CPU,)) as owner:
        with accelerator_watch(owner, launch_with(tmp_path, GPU)) as watch:
            assert eventually(lambda: readings(watch) == [(0.37, 2048 * BYTES_PER_MIB)])
            assert owner.exited("accelerators") is None
        assert eventually(lambda: owner.exited("accelerators") is not None)


@pytest.mark.server
def test_neuron_monitor_is_asked_for_a_report_a_second(tmp_path, monkeypatch):
    line = neuron_monitor_line({0: 50.0, 1: 100.0}, 9)
    script = f"""grep -q '"period": "1s"' "$2" || exit 1
while :; do echo '{line}'; sleep 0.2; done"""
    put_program(tmp_path, monkeypatch, "neuron-monitor", script)
    with (
        GuardedOwner((GENERATOR_CPU,)) as owner,
        accelerator_watch(owner, launch_with(tmp_path, CHIP)) as watch,
    ):
        assert eventually(lambda: readings(watch) == [(0.75, 9)])


@pytest.mark.server
@pytest.mark.parametrize("accelerator", [CHIP, Accelerator("nvidia", "MIG-1")])
def test_where_no_tool_can_tell_a_trial_goes_without(tmp_path, monkeypatch, accelerator):
    monkeypatch.setenv("PATH", str(tmp_path))
    before = os.listdir("/proc/self/fd")
    with (
        GuardedOwner((GENERATOR_CPU,)) as owner,
        accelerator_watch(owner, launch_with(tmp_path, accelerator)) as watch,
    ):
        assert readings(watch) == [(None, None)]
    assert len(os.listdir("/proc/self/fd")) <= len(before)


@pytest.mark.server
def test_the_tools_of_this_machine_say_nothing_of_a_far_ones_accelerators(tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch, busy=f"{T4}, 37, 2048\n")
    with (
        GuardedOwner((GENERATOR_CPU,)) as owner,
        accelerator_watch(owner, launch_with(tmp_path, GPU, far=True)) as watch,
    ):
        time.sleep(0.5)
        assert readings(watch) == [(None, None)]
