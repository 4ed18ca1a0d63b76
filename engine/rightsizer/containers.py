"""Candidates as containers: what a Docker engine has, as values, and which container fits there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rightsizer.addresses import DEFAULT_ADDRESS, host_name, is_far
from rightsizer.catalog import InstanceType
from rightsizer.inventory import HostSpec
from rightsizer.machines import Machine, Placement, parse_cpus
from rightsizer.placeholders import fill
from rightsizer.placing import MORE_CPUS, NotRunnable, part_of, place, place_generator
from rightsizer.spec import ContainerSpec, ServerSpec
from rightsizer.units import BYTES_PER_GIB

MODEL_DIR = "/opt/ml/model"
"""Where the model lies in a container, read-only."""
PYTHON = "python3"
"""What `{python}` is in a container's command."""
SAGEMAKER_COMMAND, SAGEMAKER_PORT = ("serve",), 8080
TFS_REST_PORT, TFS_GRPC_PORT = 8501, 8500
DEFAULT_PORT = 8080
"""Where a command that takes `{port}` is told to listen: a container has all ports to itself."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
"""How engines spell what images call otherwise."""

KNOBS_LABEL = "rightsizer.knobs"
UNSEEN = "as far as can be seen from here: the hosts file can list its `accelerators`"


@dataclass(frozen=True)
class ImageFacts:
    """An image that an engine has."""

    id: str
    architecture: str
    ports: tuple[int, ...] = ()
    """Those it says it listens on."""
    has_command: bool = True
    """Whether it says what to run."""
    content: str = ""
    """A digest of its files and of what it runs; engines may give the same image other ids."""
    knobs: str = ""
    """The text of its label `rightsizer.knobs`: a knobs file."""


@dataclass(frozen=True)
class EngineFacts:
    """What a Docker engine answered when a plan was made."""

    address: str
    cpu_count: int = 0
    memory_bytes: int = 0
    architecture: str = ""
    images: Mapping[str, ImageFacts] = field(default_factory=dict)
    """By the name asked for; one that is missing there is missing here."""
    fault: str = ""
    """Why it could not be asked; one line."""
    version: str = ""
    system: str = ""
    """The operating system, and the version of control groups."""
    gives_gpus: bool = False
    """Whether NVIDIA's container toolkit is registered."""
    round_trip_s: float | None = None
    """The shortest of several."""
    clock_offset_s: float | None = None
    """How far its clock is ahead of ours."""
    clock_error_s: float | None = None
    """How far off that may be."""


@dataclass(frozen=True)
class Container:
    """The container of one candidate."""

    image: str
    """As the job file names it; `image_id` is what it meant when the plan was made."""
    image_id: str
    command: tuple[str, ...] | None
    """None: the image's own."""
    port: int
    settings: ContainerSpec
    content: str = ""
    """See `ImageFacts`."""


def images_of(server: ServerSpec, brought: Sequence[str | None]) -> tuple[str, ...]:
    """Every image of a job, once; `brought` are the candidates' own."""
    return tuple(dict.fromkeys(i for i in (server.image, *brought) if i))


def container_of(
    server: ServerSpec,
    own_command: Sequence[str] | None,
    own_image: str | None,
    host: HostSpec,
    engine: EngineFacts,
) -> Container:
    """What a candidate's server is on a Docker host.

    Raises:
        NotRunnable: no image, or one that is not there or is for other processors; no port.
    """
    image = own_image or server.image
    if image is None:
        raise NotRunnable("a command needs a process host; give an image")
    if engine.fault:
        raise NotRunnable(engine.fault)
    facts = engine.images.get(image)
    wrong = image_problem(image, host, engine)
    if facts is None or wrong is not None:
        raise NotRunnable(wrong or "")
    command = own_command or (None if own_image else server.command)
    if server.protocol == "sagemaker" and not own_command:
        command = SAGEMAKER_COMMAND
    if command is None and not facts.has_command:
        raise NotRunnable(f"image {image} does not say what to run; give server.command")
    port = _port(server, command, image, facts)
    values = {"python": PYTHON, "port": str(port), "model_dir": MODEL_DIR}
    words = None if command is None else tuple(fill(word, values) for word in command)
    return Container(image, facts.id, words, port, server.container, facts.content)


def image_problem(image: str, host: HostSpec, engine: EngineFacts) -> str | None:
    """Why an image cannot run on a host, and the command that mends it; None if it can."""
    facts = engine.images.get(image)
    if facts is None:
        docker = "docker" if engine.address == DEFAULT_ADDRESS else f"docker -H {engine.address}"
        return (
            f"image {image} is not on host {host.name}; `{docker} pull {image}` gets it, "
            f"`{docker} build -t {image} FOLDER` makes it"
        )
    if facts.architecture != (has := ARCHITECTURES.get(engine.architecture, engine.architecture)):
        return (
            f"image {image} is for {facts.architecture} and host {host.name} is {has}; "
            f"build it with --platform linux/{has}"
        )
    return None


def _port(server: ServerSpec, command: Sequence[str] | None, image: str, facts: ImageFacts) -> int:
    if server.port is not None:
        return server.port
    if server.protocol == "sagemaker":
        return SAGEMAKER_PORT
    if command is not None:  # it takes {port}, or the job file was refused
        return DEFAULT_PORT
    if server.protocol == "tfs-rest":
        return TFS_REST_PORT
    if server.protocol == "tfs-grpc":
        return TFS_GRPC_PORT
    if len(facts.ports) == 1:
        return facts.ports[0]
    listed = ", ".join(map(str, facts.ports)) or "no port"
    raise NotRunnable(f"image {image} exposes {listed}; say with server.port which one to use")


def place_container(
    kind: InstanceType,
    host: HostSpec,
    machine: Machine,
    engine: EngineFacts,
    container: Container,
    taken: frozenset[int] = frozenset(),
) -> Placement:
    """The CPUs and memory of a container of `kind`, apart from the generator's.

    Raises:
        NotRunnable: the type does not fit, or only beside the generator.
    """
    if is_far(engine.address):
        placement = _place_far(kind, host, machine, engine, taken)
    else:
        placement = place(kind, host, machine, taken)
        if placement.co_located:
            raise NotRunnable(
                f"{kind.name} leaves the generator no physical core of its own among CPUs "
                f"{', '.join(map(str, machine.cpus))}; use a smaller type or another host",
                "they leave the generator no physical core of its own",
            )
    if placement.memory_bytes > engine.memory_bytes:
        wants, has = (b / BYTES_PER_GIB for b in (placement.memory_bytes, engine.memory_bytes))
        raise NotRunnable(
            f"{kind.name} needs {wants:,.4g} GiB and host {host.name} has {has:,.4g}",
            "more memory than is here",
        )
    if any(a.maker == "nvidia" for a in placement.accelerators) and not engine.gives_gpus:
        raise NotRunnable(
            f"{kind.name} needs a GPU and the engine of host {host.name} can give it none: it has "
            "no runtime `nvidia`; install the NVIDIA container toolkit there, then "
            "`nvidia-ctk runtime configure --runtime=docker` and restart Docker",
            "GPUs, and Docker has no runtime `nvidia`: install the NVIDIA container toolkit",
        )
    return replace(placement, relaxed=relaxations(container.settings, host))


def _place_far(
    kind: InstanceType,
    host: HostSpec,
    machine: Machine,
    engine: EngineFacts,
    taken: frozenset[int],
) -> Placement:
    if not host.publish:
        raise NotRunnable(f"host {host.name} is far and its networks are not ours; publish: true")
    wanted = parse_cpus(host.server_cpus) if host.server_cpus else range(engine.cpu_count)
    cpus = tuple(cpu for cpu in wanted if cpu < engine.cpu_count)
    there = Machine(
        cores=tuple((cpu,) for cpu in cpus),
        cpu_count=engine.cpu_count,
        memory_bytes=engine.memory_bytes,
        processor=f"{engine.architecture} at {host_name(engine.address)}",
        architecture=engine.architecture,
        accelerators_missing=() if host.accelerators else (UNSEEN,),
    )
    part = part_of(kind, host, there, far=True)
    if part.vcpus > len(cpus):
        raise NotRunnable(
            f"{kind.name} needs {part.vcpus} CPUs and {len(cpus)} may be used there", MORE_CPUS
        )
    return Placement(
        server_cpus=cpus[: part.vcpus],
        generator_cpus=place_generator(host, machine, taken).generator_cpus,
        provenance=part.provenance,
        memory_bytes=part.memory_bytes,
        far=True,
        accelerators=part.accelerators,
    )


def relaxations(settings: ContainerSpec, host: HostSpec) -> tuple[str, ...]:
    """What a container may do beyond the least, by the keys that allow it."""
    found = []
    if settings.network == "bridge":
        found.append("server.container.network: it can reach other machines")
    if host.publish:
        found.append("publish: others can reach its port, and it other machines")
    if settings.writable_root:
        found.append("server.container.writable_root: it can fill the host's disk")
    if settings.capabilities:
        found.append(f"server.container.capabilities: {', '.join(settings.capabilities)}")
    if settings.new_privileges:
        found.append("server.container.new_privileges: set-user-id programs work")
    return tuple(found)
