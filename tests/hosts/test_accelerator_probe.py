"""Asking the vendors' tools, which here are programs that print what the real ones do."""

from __future__ import annotations

import json

import pytest
from rightsizer.hosts import accelerator_probe
from rightsizer.hosts.accelerator_probe import this_machines_accelerators, with_accelerators
from rightsizer.hosts.probe import this_machine

from tests.hosts.tools import (
    SLICES,
    T4,
    T4_AND_SLICED_A100,
    neuron_chip,
    put_nvidia_smi,
    put_program,
)


@pytest.fixture(autouse=True)
def _no_tools_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(accelerator_probe, "NEURON_TOOLS", str(tmp_path / "tools"))


def ids(root) -> list[str]:
    found = this_machines_accelerators(root)
    assert found.faults == ()
    return [one.id for one in found.accelerators]


def test_without_tools_and_device_nodes_there_is_nothing(tmp_path):
    assert ids(tmp_path) == []


def test_gpus_and_slices_are_found_by_nvidia_smi(tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch, T4_AND_SLICED_A100)
    assert ids(tmp_path) == [T4, *SLICES]


def test_chips_are_found_by_neuron_ls_and_without_it_by_their_device_nodes(tmp_path, monkeypatch):
    (tmp_path / "dev").mkdir()
    for name in ("neuron0", "neuron10", "neuron2", "neuron_x", "neuronlike"):
        (tmp_path / "dev" / name).touch()
    assert ids(tmp_path) == ["/dev/neuron0", "/dev/neuron2", "/dev/neuron10"]
    listed = json.dumps([neuron_chip(0), neuron_chip(1)])
    put_program(tmp_path, monkeypatch, "neuron-ls", f"[ \"$*\" = -j ] && echo '{listed}'")
    assert ids(tmp_path) == ["/dev/neuron0", "/dev/neuron1"]


def test_a_tool_that_fails_is_a_fault_in_one_line_and_hides_no_other_maker(tmp_path, monkeypatch):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "neuron0").touch()
    said = (
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure "
        "that the latest NVIDIA driver is installed and running."
    )
    put_program(tmp_path, monkeypatch, "nvidia-smi", f'printf "%s\\n\\n" "{said}"; exit 9')
    found = this_machines_accelerators(tmp_path)
    assert [one.id for one in found.accelerators] == ["/dev/neuron0"]
    [fault] = found.faults
    assert fault.startswith("nvidia-smi failed with exit code 9: NVIDIA-SMI has failed because")
    assert "\n" not in fault


def test_neuron_ls_on_a_machine_without_chips_is_no_fault(tmp_path, monkeypatch):
    put_program(tmp_path, monkeypatch, "neuron-ls", "echo no neuron device found >&2; exit 1")
    assert ids(tmp_path) == []


def test_a_tool_that_hangs_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator_probe, "TOOL_S", 0.3)
    put_program(tmp_path, monkeypatch, "nvidia-smi", "exec sleep 60")
    [fault] = this_machines_accelerators(tmp_path).faults
    assert "did not answer within 0.3 s" in fault


def test_an_accelerator_that_another_job_holds_is_left_out_and_told(tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch, T4_AND_SLICED_A100)
    machine = with_accelerators(this_machine(), {T4: "job a"})
    assert [one.id for one in machine.accelerators] == list(SLICES)
    assert f"{T4} is leased to job a" in machine.accelerators_missing
    assert machine.size.gpus == 2
