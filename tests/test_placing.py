"""Who gets which CPUs, worked out on machines made up for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rightsizer.accelerators import Accelerator
from rightsizer.catalog import InstanceType
from rightsizer.inventory import THIS_MACHINE, HostSpec, Provided
from rightsizer.machines import Machine, MemoryNode, Placement
from rightsizer.placing import NotRunnable, place
from rightsizer.units import BYTES_PER_GIB


def machine(*cores: tuple[int, ...], **more: object) -> Machine:
    given = {
        "cpu_count": sum(len(core) for core in cores),
        "memory_bytes": 64 * BYTES_PER_GIB,
        "processor": "AMD EPYC 7R32",
        "architecture": "x86_64",
        "threads_per_core": max(len(core) for core in cores),
    }
    return Machine(cores=cores, **{**given, **more})


ONE = machine((0,))
TWO = machine((0,), (1,))
FOUR = machine((0,), (1,), (2,), (3,))
THREADED = machine((0, 4), (1, 5), (2, 6), (3, 7))


def local(cpus: int) -> InstanceType:
    return InstanceType(f"local.{cpus}cpu", cpus, 2.0)


def host(**keys: object) -> HostSpec:
    return HostSpec(name="h", **keys)


def refused(*args: object) -> str:
    with pytest.raises(NotRunnable) as caught:
        place(*args)
    return str(caught.value)


# -- the process host's arithmetic -------------------------------------------------------------


def test_one_cpu_is_shared_and_the_placement_says_so():
    assert place(local(1), THIS_MACHINE, ONE) == Placement(
        (0,), (0,), "native", 2 * BYTES_PER_GIB, co_located=True, shared_core=False
    )


def test_of_two_cpus_the_generator_gets_the_lower_and_the_server_the_other():
    found = place(local(1), THIS_MACHINE, TWO)
    assert (found.generator_cpus, found.server_cpus) == ((0,), (1,))
    assert not found.co_located
    assert not found.shared_core
    assert found.cpus == {0, 1}


def test_a_server_of_all_cpus_shares_the_generators_and_the_placement_says_so():
    found = place(local(2), THIS_MACHINE, TWO)
    assert (found.generator_cpus, found.server_cpus) == ((0,), (0, 1))
    assert found.co_located


def test_cores_are_told_apart_by_what_the_machine_says_and_not_by_their_numbers():
    neighbours = machine((0, 1), (2, 3))
    found = place(local(1), THIS_MACHINE, neighbours)
    assert (found.generator_cpus, found.server_cpus) == ((0, 1), (2,))


@pytest.mark.parametrize(
    ("cpus", "server", "co_located", "shared_core"),
    [
        (1, (1,), False, False),
        (2, (1, 2), False, False),
        (3, (1, 2, 3), False, False),
        (4, (1, 2, 3, 5), False, True),
        (6, (1, 2, 3, 5, 6, 7), False, True),
        (7, (0, 1, 2, 3, 5, 6, 7), True, True),
        (8, (0, 1, 2, 3, 4, 5, 6, 7), True, True),
    ],
)
def test_hyperthreads_are_given_out_only_when_whole_cores_are_not_enough(
    cpus, server, co_located, shared_core
):
    found = place(local(cpus), THIS_MACHINE, THREADED)
    assert found.generator_cpus == (0, 4)
    assert found.server_cpus == server
    assert (found.co_located, found.shared_core) == (co_located, shared_core)


def test_a_machine_that_cannot_hold_processes_to_cpus_is_co_located():
    assert place(local(1), THIS_MACHINE, machine((0,), (1,), can_pin=False)).co_located


def test_more_cpus_than_there_are_is_refused_with_both_figures():
    assert refused(local(3), THIS_MACHINE, TWO) == "local.3cpu needs 3 CPUs and 2 may be used here"


def test_only_cpus_this_process_may_use_are_given_out():
    part = machine((2, 6), (3,), cpu_count=8, threads_per_core=2)
    found = place(local(1), THIS_MACHINE, part)
    assert (found.generator_cpus, found.server_cpus) == ((2, 6), (3,))


def test_the_memory_of_the_type_is_the_limit():
    assert place(local(1), THIS_MACHINE, TWO).memory_bytes == 2 * BYTES_PER_GIB


# -- other jobs --------------------------------------------------------------------------------


def test_cpus_of_other_jobs_are_left_alone():
    found = place(local(1), THIS_MACHINE, FOUR, frozenset({0, 1}))
    assert (found.generator_cpus, found.server_cpus) == ((2,), (3,))


def test_when_others_leave_one_cpu_it_is_shared():
    found = place(local(1), THIS_MACHINE, TWO, frozenset({0}))
    assert (found.generator_cpus, found.server_cpus, found.co_located) == ((1,), (1,), True)


def test_the_refusal_says_how_many_cpus_others_have():
    said = refused(local(2), THIS_MACHINE, TWO, frozenset({0}))
    assert said == "local.2cpu needs 2 CPUs and 1 may be used here, 1 of them leased to other jobs"


def test_nothing_runs_where_others_have_every_cpu():
    assert "every CPU here is leased" in refused(local(1), THIS_MACHINE, TWO, frozenset({0, 1}))


def test_cores_that_others_have_a_thread_of_are_given_out_last_and_told():
    taken = frozenset({4, 5})
    found = place(local(1), THIS_MACHINE, THREADED, taken)
    assert (found.generator_cpus, found.server_cpus) == ((2, 6), (3,))
    assert not found.shared_core
    found = place(local(3), THIS_MACHINE, THREADED, taken)
    assert (found.generator_cpus, found.server_cpus) == ((2, 6), (0, 1, 3))
    assert found.shared_core


# -- explicit CPU lists ------------------------------------------------------------------------


def test_explicit_lists_are_kept_to():
    found = place(local(2), host(server_cpus="0-1", generator_cpus="3"), FOUR)
    assert (found.generator_cpus, found.server_cpus) == ((3,), (0, 1))


def test_the_generator_keeps_off_the_cpus_reserved_for_servers():
    found = place(local(2), host(server_cpus="0-1"), FOUR)
    assert (found.generator_cpus, found.server_cpus) == ((2,), (0, 1))
    assert not found.co_located


def test_servers_reserved_everywhere_share_with_the_generator():
    found = place(local(2), host(server_cpus="0-1"), TWO)
    assert (found.generator_cpus, found.server_cpus, found.co_located) == ((0,), (0, 1), True)


def test_more_cpus_than_are_reserved_for_servers_is_refused_by_the_reserved():
    said = refused(local(3), host(server_cpus="0-1"), FOUR)
    assert said == "local.3cpu needs 3 CPUs and 2 may be used here"


def test_generator_cpus_that_are_not_here_are_named():
    said = refused(local(1), host(generator_cpus="1,8-9"), FOUR)
    assert said == "generator_cpus 8-9 may not be used here"
    assert "generator_cpus 1 may" in refused(
        local(1), host(generator_cpus="1"), FOUR, frozenset({1})
    )


def test_an_explicit_generator_on_one_thread_keeps_servers_off_its_core():
    found = place(local(3), host(generator_cpus="5"), THREADED)
    assert found.server_cpus == (0, 2, 3)
    assert not found.co_located


# -- other instance types ----------------------------------------------------------------------

C5A = InstanceType("ml.c5a.xlarge", 4, 8.0, physical_cores=2, processor="AMD EPYC 7R32")
G4 = InstanceType("ml.g4dn.xlarge", 4, 16.0, accelerator="T4", accelerator_count=1)


def test_a_type_of_the_same_processor_and_threads_is_emulated():
    found = place(C5A, THIS_MACHINE, THREADED)
    assert found.provenance == "emulated"
    assert found.memory_bytes == 8 * BYTES_PER_GIB
    assert len(found.server_cpus) == 4


@pytest.mark.parametrize(
    "other",
    [
        machine((0,), (1,), (2,), (3,), (4,)),
        machine((0, 4), (1, 5), (2, 6), (3, 7), processor="AMD EPYC 7571"),
        machine((0, 4), (1, 5), (2, 6), (3, 7), memory_bytes=4 * BYTES_PER_GIB),
    ],
    ids=["without hyperthreads", "another model", "too little memory"],
)
def test_a_type_is_not_emulated_on_a_machine_of(other):
    said = refused(C5A, THIS_MACHINE, other)
    assert "ml.c5a.xlarge is another machine than this one (AMD EPYC" in said
    assert "declare a stand-in" in said


def test_a_processor_without_a_model_number_is_never_taken_for_the_same():
    graviton = InstanceType("ml.c6g.large", 2, 4.0, physical_cores=2, processor="AWS Graviton2")
    assert "another machine" in refused(graviton, THIS_MACHINE, FOUR)


def test_a_stand_in_gives_its_own_size_where_it_says_one():
    provided = Provided(instance_type=C5A.name, cpus=1, memory_gib=1.5, **{"as": "stand-in"})
    found = place(C5A, host(provides=[provided]), TWO)
    assert found.provenance == "stand-in"
    assert found.server_cpus == (1,)
    assert found.memory_bytes == int(1.5 * BYTES_PER_GIB)


def test_a_stand_in_has_the_types_size_where_it_says_none():
    provided = Provided(instance_type=C5A.name, **{"as": "native"})
    found = place(C5A, host(provides=[provided]), machine(*((i,) for i in range(6))))
    assert found.provenance == "native"
    assert len(found.server_cpus) == 4
    assert found.memory_bytes == 8 * BYTES_PER_GIB


def test_a_type_of_unknown_size_is_refused_until_the_hosts_file_gives_it():
    unknown = InstanceType("mine.box", 0, 0.0)
    part = Provided(instance_type="mine.box", cpus=1, **{"as": "native"})
    whole = Provided(instance_type="mine.box", cpus=1, memory_gib=1.0, **{"as": "native"})
    assert "size of mine.box is not known" in refused(unknown, host(provides=[part]), TWO)
    assert place(unknown, host(provides=[whole]), TWO).server_cpus == (1,)


def test_an_accelerator_that_no_host_has_is_refused_by_its_name():
    assert refused(G4, THIS_MACHINE, FOUR) == (
        "ml.g4dn.xlarge needs 1 x T4 and this host has no accelerator; use a host that has them"
    )


# -- cores and memory nodes --------------------------------------------------------------------


def test_an_emulated_types_cpus_are_whole_cores_and_their_siblings_are_no_doubt():
    found = place(C5A, THIS_MACHINE, THREADED)
    assert (found.generator_cpus, found.server_cpus) == ((0, 4), (1, 2, 5, 6))
    assert not found.shared_core


def two_nodes(memory_gib: float = 32.0) -> Machine:
    """Two nodes of two cores of two threads each."""
    return machine(
        (0, 4), (1, 5), (2, 6), (3, 7),
        nodes=tuple(
            MemoryNode(number, frozenset(cpus), int(memory_gib * BYTES_PER_GIB))
            for number, cpus in ((0, {0, 4, 1, 5}), (1, {2, 6, 3, 7}))
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cpus", "server", "node"),
    [
        # beside the generator's core on the first node, as long as that has cores
        (1, (1,), 0),
        # then on the second
        (2, (2, 3), 1),
        (3, (2, 3, 6), 1),
        (4, (2, 3, 6, 7), 1),
        # and over both where neither is enough
        (5, (1, 2, 3, 5, 6), None),
    ],
)
def test_a_servers_cpus_are_of_one_memory_node_where_one_has_enough(cpus, server, node):
    found = place(local(cpus), THIS_MACHINE, two_nodes())
    assert (found.server_cpus, found.memory_node) == (server, node)
    assert not found.co_located


def test_a_node_of_too_little_memory_is_not_bound_to():
    found = place(local(1), THIS_MACHINE, two_nodes(memory_gib=1.0))
    assert (found.server_cpus, found.memory_node) == ((1,), None)


# -- accelerators ------------------------------------------------------------------------------

T4 = Accelerator("nvidia", "GPU-1", "Tesla T4", 15 * BYTES_PER_GIB)
V100 = Accelerator("nvidia", "GPU-2", "Tesla V100-SXM2-16GB", 16 * BYTES_PER_GIB)
SLICE = Accelerator("nvidia", "MIG-1", "NVIDIA A100 MIG 1g.5gb", 5 * BYTES_PER_GIB)
CHIP = Accelerator("neuron", "/dev/neuron0", "Inferentia", 8 * BYTES_PER_GIB, (0, 1, 2, 3))
GPU = InstanceType("local.gpu", 1, 2.0, accelerator="NVIDIA GPU", accelerator_count=1)
NEURON = InstanceType("local.neuron", 1, 2.0, accelerator="Neuron device", accelerator_count=1)
G4DN = InstanceType(
    "ml.g4dn.xlarge", 4, 16.0, 2, processor="AMD EPYC 7R32", accelerator="NVIDIA T4",
    accelerator_count=1, accelerator_memory_mib=16384,
)  # fmt: skip


def with_these(*found: Accelerator, **more: object) -> Machine:
    return machine((0, 4), (1, 5), (2, 6), (3, 7), accelerators=found, **more)


def given(kind: InstanceType, at: HostSpec, *found: Accelerator) -> list[str]:
    return [one.id for one in place(kind, at, with_these(*found)).accelerators]


def test_a_local_type_gets_one_accelerator_of_its_maker_whole_ones_before_slices():
    assert given(GPU, THIS_MACHINE, SLICE, CHIP, T4, V100) == ["GPU-1"]
    assert given(GPU, THIS_MACHINE, SLICE) == ["MIG-1"]
    assert given(NEURON, THIS_MACHINE, T4, CHIP) == ["/dev/neuron0"]
    assert given(local(1), THIS_MACHINE, T4, CHIP) == []


def test_an_emulated_type_gets_accelerators_of_its_own_model():
    assert given(G4DN, THIS_MACHINE, V100, T4) == ["GPU-1"]
    assert place(G4DN, THIS_MACHINE, with_these(T4)).provenance == "emulated"
    assert refused(G4DN, THIS_MACHINE, with_these(V100)) == (
        "ml.g4dn.xlarge needs 1 x NVIDIA T4 and this host has 1 x Tesla V100-SXM2-16GB (16 GiB); "
        "use a host that has them"
    )


def stand_in(kind: InstanceType, **more: object) -> HostSpec:
    return host(provides=[Provided(instance_type=kind.name, **{"as": "stand-in"}, **more)])


def test_a_stand_in_has_any_accelerator_of_the_maker_or_as_many_as_it_says():
    four = InstanceType("ml.g4dn.12xlarge", 4, 16.0, accelerator="NVIDIA T4", accelerator_count=4)
    assert given(four, stand_in(four, accelerators=2), T4, V100, SLICE) == ["GPU-1", "GPU-2"]
    assert given(G4DN, stand_in(G4DN, accelerators=0)) == []
    assert "needs 4 x NVIDIA T4" in refused(four, stand_in(four), with_these(T4, V100))
    assert "this host has no accelerator" in refused(G4DN, stand_in(G4DN), with_these())


def test_slices_do_not_add_up_for_a_process_sees_one_of_them():
    two = InstanceType("ml.x", 1, 2.0, accelerator="NVIDIA T4", accelerator_count=2)
    assert "needs 2 x" in refused(two, stand_in(two), with_these(SLICE, SLICE))


def test_a_hosts_file_restricts_and_what_it_names_in_vain_is_said():
    at = host(accelerators=["GPU-2", "GPU-9"])
    assert given(GPU, at, T4, V100) == ["GPU-2"]
    said = refused(GPU, host(accelerators=["GPU-9"]), with_these(T4))
    assert "this host has no accelerator, GPU-9 of the hosts file is not here;" in said


def test_why_there_are_no_more_accelerators_is_in_the_refusal():
    said = refused(
        GPU, THIS_MACHINE, with_these(accelerators_missing=("GPU-1 is leased to job a",))
    )
    assert "this host has no accelerator, GPU-1 is leased to job a; use a host" in said


def test_only_accelerators_of_this_machine_are_leased():
    near = place(GPU, THIS_MACHINE, with_these(T4))
    assert near.own_accelerators == {"GPU-1"}
    assert replace(near, far=True).own_accelerators == frozenset()
