"""What hosts offer, worked out on machines and engines made up for it."""

from __future__ import annotations

from dataclasses import replace

from rightsizer.accelerators import Accelerator
from rightsizer.catalog import load_catalog
from rightsizer.containers import EngineFacts, ImageFacts
from rightsizer.inventory import THIS_MACHINE, HostSpec
from rightsizer.machines import Machine
from rightsizer.offers import Fit, HostOffer, offer_of
from rightsizer.units import BYTES_PER_GIB

T4 = Accelerator("nvidia", "GPU-1", "Tesla T4", 15 * BYTES_PER_GIB)
MACHINE = Machine(
    cores=((0, 4), (1, 5), (2, 6), (3, 7)),
    cpu_count=8,
    memory_bytes=32 * BYTES_PER_GIB,
    processor="AMD EPYC 7R32",
    architecture="x86_64",
    threads_per_core=2,
)
NEAR = EngineFacts(
    "unix:///d.sock",
    cpu_count=8,
    memory_bytes=32 * BYTES_PER_GIB,
    architecture="x86_64",
    images={"a:1": ImageFacts("sha256:1", "amd64"), "b:1": ImageFacts("sha256:2", "arm64")},
    version="27.0",
    system="Debian, cgroup v2",
    round_trip_s=0.001,
    clock_offset_s=0.0,
    clock_error_s=0.002,
)
FAR = replace(NEAR, address="tcp://10.0.0.5:2376", cpu_count=16)
RACK = HostSpec(name="rack", kind="docker", address="unix:///d.sock")


def offer(
    host: HostSpec = THIS_MACHINE,
    machine: Machine = MACHINE,
    engine: EngineFacts | None = None,
    **more: object,
) -> HostOffer:
    return offer_of(host, machine, engine, load_catalog(machine.size), **more)


def fit(found: HostOffer, name: str) -> Fit:
    [one] = [one for one in found.types if one.instance_type == name]
    return one


def host(**keys: object) -> HostSpec:
    return HostSpec.model_validate({"name": "rack", **keys})


# -- which types fit ---------------------------------------------------------------------------


def test_every_known_type_fits_or_has_a_reason():
    found = offer(machine=replace(MACHINE, processor="Intel(R) Xeon(R) Platinum 8275CL"))
    assert found.problems == ()
    assert (fit(found, "local.6cpu").provenance, fit(found, "local.6cpu").co_located) == (
        "native",
        False,
    )
    assert fit(found, "local.7cpu").co_located
    assert fit(found, "ml.c5.xlarge").provenance == "emulated"
    other = fit(found, "ml.m5.xlarge")
    assert other.provenance is None
    assert "is another machine than this one" in other.why_not
    assert len(found.types) > 80


def test_reasons_that_differ_in_figures_alone_have_one_cause():
    found = offer()
    gpus = [fit(found, name) for name in ("local.gpu", "ml.g4dn.xlarge", "ml.p3.8xlarge")]
    assert len({one.why_not for one in gpus}) == 3
    assert {one.cause for one in gpus} == {"accelerators that are not here"}


def test_a_docker_host_leaves_the_generator_a_core_and_needs_the_toolkit_for_gpus():
    found = offer(RACK, replace(MACHINE, accelerators=(T4,)), NEAR)
    assert fit(found, "local.6cpu").provenance == "native"
    assert "no physical core of its own" in fit(found, "local.7cpu").why_not
    assert "toolkit" in fit(found, "local.gpu").cause
    with_toolkit = replace(NEAR, gives_gpus=True)
    found = offer(RACK, replace(MACHINE, accelerators=(T4,)), with_toolkit)
    assert fit(found, "local.gpu").provenance == "native"


def test_servers_and_generator_have_the_cpus_that_a_job_would_give_them():
    found = offer()
    assert (found.generator_cpus, found.server_cpus) == ((0, 4), (1, 2, 3, 5, 6, 7))
    found = offer(host(server_cpus="2-3", generator_cpus="1"))
    assert (found.generator_cpus, found.server_cpus) == ((1,), (2, 3))
    one = replace(MACHINE, cores=((0, 4),), cpu_count=2)
    assert offer(machine=one).server_cpus == (0, 4)


# -- far hosts ---------------------------------------------------------------------------------


def test_of_a_far_host_only_what_its_engine_tells_is_known():
    far = HostSpec(
        name="rack", kind="docker", address=FAR.address, publish=True, accelerators=("GPU-7",)
    )
    found = offer(far, replace(MACHINE, accelerators=(T4,)), FAR)
    assert found.problems == ()
    assert (found.cores, found.processor, found.cpu_count) == (None, None, 16)
    assert found.server_cpus == tuple(range(16))
    assert found.generator_cpus == (0, 4)
    assert [one.id for one in found.accelerators] == ["GPU-7"]
    assert fit(found, "local.16cpu").provenance == "native"


def test_a_far_host_that_publishes_no_port_is_a_problem():
    far = HostSpec(name="rack", kind="docker", address=FAR.address)
    assert offer(far, engine=FAR).problems == (
        "host rack is far and its networks are not ours; give publish: true",
    )


# -- problems ----------------------------------------------------------------------------------


def test_an_engine_that_does_not_answer_is_all_there_is_to_say():
    found = offer(RACK, engine=EngineFacts("unix:///d.sock", fault="host rack: nobody; start it"))
    assert found.problems == ("host rack: nobody; start it",)
    assert (found.types, found.cpu_count) == ((), None)


def test_cpus_and_accelerators_of_the_file_that_are_not_there_are_named():
    found = offer(
        host(server_cpus="3,8-9", accelerators=["GPU-1", "GPU-2"]),
        replace(MACHINE, accelerators=(T4,)),
    )
    assert found.problems == (
        "host rack: server_cpus 8-9 may not be used there, of its CPUs 0-7; mend server_cpus",
        "host rack: accelerators GPU-2 are not there; mend accelerators, or see `nvidia-smi -L` "
        "and `neuron-ls`",
    )
    found = offer(host(generator_cpus="9"))
    assert found.problems == (
        "host rack: generator_cpus 9 may not be used here; mend generator_cpus",
    )
    assert found.generator_cpus == ()


def test_what_a_host_says_it_provides_and_cannot_is_a_problem():
    provides = [{"instance_type": "ml.c5.9xlarge", "as": "stand-in"}]
    [problem] = offer(host(provides=provides)).problems
    assert problem.startswith(
        "host rack does not provide what its file says: ml.c5.9xlarge needs 36"
    )
    provides = [{"instance_type": "ml.c5.9xlarge", "as": "stand-in", "cpus": 2, "memory_gib": 1}]
    found = offer(host(provides=provides))
    assert found.problems == ()
    assert fit(found, "ml.c5.9xlarge").provenance == "stand-in"


def test_a_clock_that_is_minutes_off_is_a_problem():
    [problem] = offer(RACK, engine=replace(NEAR, clock_offset_s=-300.0)).problems
    assert problem.startswith("host rack: its clock is 300 s behind this machine's")


# -- images ------------------------------------------------------------------------------------


def test_each_image_of_a_job_is_there_or_why_not():
    found = offer(RACK, engine=NEAR, images=("a:1", "b:1", "c:1"))
    assert found.images["a:1"] is None
    assert "is for arm64" in str(found.images["b:1"])
    assert "`docker -H unix:///d.sock pull c:1`" in str(found.images["c:1"])
    assert offer(images=("a:1",)).images == {}
