"""What the vendors' tools print, as accelerators; and what a server is told of its own."""

from __future__ import annotations

import json

import pytest
from rightsizer.accelerators import (
    Accelerator,
    ToolOutput,
    described,
    is_of_model,
    maker_of,
    named,
    parse_neuron_ls,
    parse_nvidia_smi,
    visible,
)
from rightsizer.units import BYTES_PER_GIB

from tests.hosts.tools import A100, ONE_T4, SLICES, T4, T4_AND_SLICED_A100, neuron_chip

GIB = BYTES_PER_GIB


# -- nvidia-smi --------------------------------------------------------------------------------


def test_a_gpu_has_its_uuid_name_and_memory():
    [found] = parse_nvidia_smi(*ONE_T4)
    assert found == Accelerator("nvidia", T4, "Tesla T4", 15 * GIB)
    assert not found.is_slice


def test_a_gpu_that_is_cut_into_slices_is_its_slices():
    whole, small, large = parse_nvidia_smi(*T4_AND_SLICED_A100)
    assert whole.id == T4
    assert [found.id for found in (small, large)] == list(SLICES)
    assert [found.memory_bytes // GIB for found in (small, large)] == [5, 10]
    assert small.name == "NVIDIA A100-SXM4-40GB MIG 1g.5gb"
    assert small.is_slice


def test_slices_as_older_drivers_name_them_are_found_too():
    listing = (
        f"GPU 0: A100-SXM4-40GB (UUID: {A100})\n  MIG 3g.20gb Device 0: (UUID: MIG-{A100}/1/0)\n"
    )
    [found] = parse_nvidia_smi(listing, f"{A100}, A100-SXM4-40GB, 40536, Enabled\n")
    assert (found.id, found.memory_bytes) == (f"MIG-{A100}/1/0", 20 * GIB)


def test_a_gpu_in_slice_mode_without_slices_can_serve_nobody():
    assert parse_nvidia_smi("", f"{A100}, NVIDIA A100-SXM4-40GB, 40960, Enabled\n") == ()


def test_a_gpu_that_shares_the_machines_memory_has_none_of_its_own():
    [found] = parse_nvidia_smi("", f"{T4}, NVIDIA GB10, [N/A], [N/A]\n")
    assert found.memory_bytes == 0


@pytest.mark.parametrize("table", ["No devices were found\n", f"{T4}, Tesla T4\n"])
def test_a_table_that_is_none_is_told_with_what_was_printed(table):
    with pytest.raises(ToolOutput) as caught:
        parse_nvidia_smi("", table)
    assert "nvidia-smi printed" in str(caught.value)
    assert "\n" not in str(caught.value)


# -- neuron-ls ---------------------------------------------------------------------------------


def test_a_chip_has_its_device_node_and_its_cores():
    rows = [
        neuron_chip(1, neuroncore_ids=[4, 5, 6, 7]),
        neuron_chip(0, neuroncore_ids=[0, 1, 2, 3]),
    ]
    found = parse_neuron_ls(json.dumps(rows))
    assert found == (
        Accelerator("neuron", "/dev/neuron0", "Inferentia", 8 * GIB, (0, 1, 2, 3)),
        Accelerator("neuron", "/dev/neuron1", "Inferentia", 8 * GIB, (4, 5, 6, 7)),
    )


def test_cores_that_an_older_tool_does_not_number_count_on_from_chip_to_chip():
    found = parse_neuron_ls(json.dumps([neuron_chip(number) for number in range(14)]))
    assert found[12].cores == (48, 49, 50, 51)


@pytest.mark.parametrize(
    ("chip", "name"),
    [
        (neuron_chip(0, cores=2, gib=32), "Inferentia2"),
        (neuron_chip(0, cores=2, gib=32, instance_type="trn1.2xlarge"), "Trainium"),
        (neuron_chip(0, cores=8, gib=96), "Neuron device"),
    ],
)
def test_a_chips_model_is_told_by_the_instance_or_by_its_cores_and_memory(chip, name):
    [found] = parse_neuron_ls(json.dumps([chip]))
    assert found.name == name


@pytest.mark.parametrize("text", ["", "null", "{}x", '[{"neuron_device": 0}]', "[3]"])
def test_what_is_no_list_of_chips_is_told(text):
    with pytest.raises(ToolOutput, match="neuron-ls -j printed"):
        parse_neuron_ls(text)


# -- models ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gib", "model", "memory_mib", "same"),
    [
        ("Tesla T4", 15.0, "NVIDIA T4", 16384, True),
        ("NVIDIA A10G", 22.5, "NVIDIA A10G", 22888, True),
        ("Tesla V100-SXM2-16GB", 15.8, "V100", 16384, True),
        ("NVIDIA A100-SXM4-40GB", 40.0, "NVIDIA A100", 40960, True),
        ("Inferentia", 8.0, "inferentia", 8192, True),
        # another size, another model, a part of its name, another chip, a slice
        ("NVIDIA A100-SXM4-80GB", 80.0, "NVIDIA A100", 40960, False),
        ("Tesla T4", 15.0, "NVIDIA A10G", 22888, False),
        ("NVIDIA T4G", 15.0, "NVIDIA T4", 16384, False),
        ("Inferentia2", 32.0, "inferentia", 8192, False),
    ],
)
def test_an_accelerator_is_of_a_model_by_name_and_memory(name, gib, model, memory_mib, same):
    found = Accelerator("nvidia", "GPU-1", name, int(gib * GIB))
    assert is_of_model(found, model, memory_mib) is same


def test_a_slice_is_no_whole_model_and_makers_are_told_by_the_types_words():
    found = Accelerator("nvidia", SLICES[0], "NVIDIA A100-SXM4-40GB MIG 7g.40gb", 40 * GIB)
    assert not is_of_model(found, "NVIDIA A100", 40960)
    assert [maker_of(text) for text in ("V100", "NVIDIA GPU")] == ["nvidia", "nvidia"]
    assert [maker_of(text) for text in ("inferentia2", "Neuron device")] == ["neuron", "neuron"]


# -- what a server is told ---------------------------------------------------------------------


def test_a_server_sees_its_gpus_by_uuid_and_its_cores_by_number():
    chips = [Accelerator("neuron", f"/dev/neuron{n}", cores=(2 * n, 2 * n + 1)) for n in (1, 3)]
    assert visible([named("GPU-a"), named("GPU-b")]) == {"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}
    assert visible(chips) == {"NEURON_RT_VISIBLE_CORES": "2,3,6,7"}
    assert visible([]) == visible([named("/dev/neuron0")]) == {}


def test_several_of_a_kind_are_counted():
    t4 = Accelerator("nvidia", "GPU-1", "Tesla T4", 15 * GIB)
    assert described([t4, named("/dev/neuron0"), t4]) == "2 x Tesla T4 (15 GiB), 1 x Neuron device"
    assert described([]) == ""
