"""Which container a candidate becomes on an engine, and why it becomes none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rightsizer.accelerators import Accelerator
from rightsizer.catalog import InstanceType
from rightsizer.containers import (
    Container,
    EngineFacts,
    ImageFacts,
    container_of,
    images_of,
    place_container,
    relaxations,
)
from rightsizer.inventory import HostSpec, Provided
from rightsizer.machines import Machine
from rightsizer.placing import NotRunnable
from rightsizer.spec import ContainerSpec, ServerSpec
from rightsizer.units import BYTES_PER_GIB

IMAGE = ImageFacts("sha256:1", "amd64", ports=(9000,))
NEAR = EngineFacts(
    "unix:///var/run/docker.sock",
    cpu_count=2,
    memory_bytes=8 * BYTES_PER_GIB,
    architecture="x86_64",
    images={"mine:1": IMAGE, "other:1": ImageFacts("sha256:2", "arm64")},
)
FAR = EngineFacts("tcp://10.0.0.5:2376", 16, 64 * BYTES_PER_GIB, "x86_64", {"mine:1": IMAGE})
TWO = Machine(((0,), (1,)), 2, 8 * BYTES_PER_GIB, "AMD EPYC 7R32", "x86_64")
RACK = HostSpec(name="rack", kind="docker")
LEAST = Container("mine:1", "sha256:1", None, 8080, ContainerSpec())


def server(**keys: object) -> ServerSpec:
    return ServerSpec(**{"protocol": "raw", **keys})


def found(spec: ServerSpec, command=None, image=None, engine: EngineFacts = NEAR) -> Container:
    return container_of(spec, command, image, RACK, engine)


def refused(call, *args: object) -> str:
    with pytest.raises(NotRunnable) as caught:
        call(*args)
    return str(caught.value)


def local(cpus: int) -> InstanceType:
    return InstanceType(f"local.{cpus}cpu", cpus, 2.0)


# -- image, command and port -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "own", "command", "port"),
    [
        # an image that says where it listens needs nothing more
        ({"image": "mine:1"}, {}, None, 9000),
        ({"image": "mine:1", "port": 7000}, {}, None, 7000),
        # a command with an image is the container's, and told its port
        ({"image": "mine:1", "command": ("{python}", "{port}")}, {}, ("python3", "8080"), 8080),
        (
            {"image": "mine:1", "command": ("--model={model_dir}",), "port": 7000},
            {},
            ("--model=/opt/ml/model",),
            7000,
        ),
        # the protocols with a port and a word of their own
        ({"image": "mine:1", "protocol": "sagemaker"}, {}, ("serve",), 8080),
        ({"image": "mine:1", "protocol": "tfs-rest"}, {}, None, 8501),
        ({"image": "mine:1", "protocol": "tfs-grpc", "request": {"input": "x"}}, {}, None, 8500),
        # there a command is for process hosts, unless the candidate brings it
        (
            {"image": "mine:1", "protocol": "sagemaker", "command": ("x", "{port}")},
            {},
            ("serve",),
            8080,
        ),
        (
            {"image": "mine:1", "protocol": "sagemaker"},
            {"command": ("mine", "{port}")},
            ("mine", "8080"),
            8080,
        ),
        # a candidate's own image does not take the server's command
        ({"command": ("x", "{port}")}, {"image": "mine:1"}, None, 9000),
    ],
)
def test_command_and_port_follow_from_job_candidate_image_and_protocol(spec, own, command, port):
    container = found(server(**spec), **own)
    assert (container.image_id, container.command, container.port) == ("sha256:1", command, port)


def test_an_image_that_is_not_there_is_told_with_the_commands_that_bring_it():
    said = refused(found, server(image="no:1"))
    assert said == (
        "image no:1 is not on host rack; `docker pull no:1` gets it, "
        "`docker build -t no:1 FOLDER` makes it"
    )
    assert "`docker -H tcp://10.0.0.5:2376 pull no:1`" in refused(
        found, server(image="no:1"), None, None, FAR
    )


def test_an_image_for_other_processors_is_told_with_both():
    said = refused(found, server(image="other:1"))
    assert "image other:1 is for arm64 and host rack is amd64" in said


def test_without_an_image_or_one_port_there_is_no_container():
    assert "give an image" in refused(found, server(command=("x", "{port}")))
    several = {"mine:1": ImageFacts("sha256:1", "amd64", (8500, 8501))}
    engine = EngineFacts("unix:///d.sock", 2, 1, "x86_64", several)
    said = refused(found, server(image="mine:1"), None, None, engine)
    assert said == "image mine:1 exposes 8500, 8501; say with server.port which one to use"


def test_an_image_that_does_not_say_what_to_run_needs_a_command():
    silent = {"mine:1": ImageFacts("sha256:1", "amd64", (80,), has_command=False)}
    engine = EngineFacts("unix:///d.sock", 2, 1, "x86_64", silent)
    said = refused(found, server(image="mine:1"), None, None, engine)
    assert said == "image mine:1 does not say what to run; give server.command"
    spec = server(image="mine:1", command=("x", "{port}"))
    assert found(spec, engine=engine).command == ("x", "8080")


def test_an_engine_that_did_not_answer_is_the_reason():
    down = EngineFacts("unix:///d.sock", fault="host rack: no Docker engine answers")
    assert refused(found, server(image="mine:1"), None, None, down) == down.fault


def test_every_image_of_a_job_is_looked_up_once():
    spec = server(image="a")
    assert images_of(spec, [None, "b", "a", "b"]) == ("a", "b")
    assert images_of(server(command=("{port}",)), [None]) == ()


# -- CPUs and memory ---------------------------------------------------------------------------


def test_near_a_container_keeps_off_the_generators_core():
    placed = place_container(local(1), RACK, TWO, NEAR, LEAST)
    assert (placed.server_cpus, placed.generator_cpus, placed.far) == ((1,), (0,), False)
    assert placed.cpus == {0, 1}
    said = refused(place_container, local(2), RACK, TWO, NEAR, LEAST)
    assert "leaves the generator no physical core of its own" in said


def test_a_container_larger_than_its_engines_memory_is_refused():
    large = InstanceType("local.1cpu", 1, 16.0)
    said = refused(place_container, large, RACK, TWO, NEAR, LEAST)
    assert said == "local.1cpu needs 16 GiB and host rack has 8"


def test_far_cpus_are_the_engines_and_only_the_generators_are_leased_here():
    host = HostSpec(name="rack", kind="docker", publish=True)
    placed = place_container(local(4), host, TWO, FAR, LEAST)
    assert (placed.server_cpus, placed.generator_cpus) == ((0, 1, 2, 3), (0,))
    assert placed.far
    assert placed.cpus == {0}
    host = HostSpec(name="rack", kind="docker", publish=True, server_cpus="8-9")
    assert place_container(local(2), host, TWO, FAR, LEAST).server_cpus == (8, 9)
    said = refused(place_container, local(4), host, TWO, FAR, LEAST)
    assert said == "local.4cpu needs 4 CPUs and 2 may be used there"


def test_far_cpus_that_the_engine_has_not_are_nobodys():
    host = HostSpec(name="rack", kind="docker", publish=True, server_cpus="8-99")
    placed = place_container(local(2), host, TWO, FAR, LEAST)
    assert placed.server_cpus == (8, 9)
    beyond = host.model_copy(update={"server_cpus": "98-99"})
    said = refused(place_container, local(1), beyond, TWO, FAR, LEAST)
    assert said == "local.1cpu needs 1 CPUs and 0 may be used there"


def test_a_far_host_must_publish_its_ports():
    said = refused(place_container, local(1), RACK, TWO, FAR, LEAST)
    assert said == "host rack is far and its networks are not ours; publish: true"


def test_a_cloud_type_on_a_far_host_is_only_what_it_is_declared_to_be():
    kind = InstanceType("ml.c5a.xlarge", 4, 8.0, physical_cores=2, processor="AMD EPYC 7R32")
    host = HostSpec(name="rack", kind="docker", publish=True)
    said = refused(place_container, kind, host, TWO, FAR, LEAST)
    assert "is another machine than this one (x86_64 at 10.0.0.5)" in said
    provided = Provided(instance_type=kind.name, **{"as": "native"})
    host = host.model_copy(update={"provides": (provided,)})
    assert place_container(kind, host, TWO, FAR, LEAST).provenance == "native"


# -- relaxations -------------------------------------------------------------------------------


def test_the_least_is_no_relaxation_and_every_other_is_named_by_its_key():
    assert relaxations(ContainerSpec(), RACK) == ()
    all_of_them = ContainerSpec(
        network="bridge", writable_root=True, capabilities=("SYS_NICE",), new_privileges=True
    )
    host = HostSpec(name="rack", kind="docker", publish=True)
    keys = [told.partition(":")[0] for told in relaxations(all_of_them, host)]
    assert keys == [
        "server.container.network",
        "publish",
        "server.container.writable_root",
        "server.container.capabilities",
        "server.container.new_privileges",
    ]


# -- accelerators ------------------------------------------------------------------------------

GPU = InstanceType("local.gpu", 1, 2.0, accelerator="NVIDIA GPU", accelerator_count=1)
WITH_GPU = replace(TWO, accelerators=(Accelerator("nvidia", "GPU-1", "Tesla T4"),))


def test_an_engine_without_the_toolkit_gives_no_gpu_and_the_reason_says_what_to_install():
    said = refused(place_container, GPU, RACK, WITH_GPU, NEAR, LEAST)
    assert "the engine of host rack can give it none: it has no runtime `nvidia`" in said
    assert "nvidia-ctk runtime configure" in said
    engine = replace(NEAR, gives_gpus=True)
    placed = place_container(GPU, RACK, WITH_GPU, engine, LEAST)
    assert [found.id for found in placed.accelerators] == ["GPU-1"]


def test_the_accelerators_of_a_far_host_are_those_of_the_hosts_file():
    far = HostSpec(name="rack", kind="docker", publish=True)
    said = refused(place_container, GPU, far, WITH_GPU, FAR, LEAST)
    assert "the hosts file can list its `accelerators`" in said
    far = far.model_copy(update={"accelerators": ("/dev/neuron0", "GPU-7", "GPU-8")})
    placed = place_container(GPU, far, TWO, replace(FAR, gives_gpus=True), LEAST)
    assert [found.id for found in placed.accelerators] == ["GPU-7"]
    assert placed.own_accelerators == frozenset()
