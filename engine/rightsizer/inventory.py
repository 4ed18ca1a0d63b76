"""Hosts as values: what a hosts file declares and what a machine has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from rightsizer.accelerators import ID, Accelerator
from rightsizer.addresses import address_problem
from rightsizer.catalog import MachineSize
from rightsizer.documents import Problem, Strict, problems_of, read_document
from rightsizer.errors import ProblemsError

MAX_CPU = 8191
"""The highest CPU number Linux is built for."""

Provenance = Literal["native", "emulated", "stand-in", "projected"]


@dataclass(frozen=True)
class MemoryNode:
    """A part of a machine whose CPUs reach its memory faster than the rest (NUMA)."""

    number: int
    cpus: frozenset[int]
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    """What this machine has, of the CPUs that this process may use."""

    cores: tuple[tuple[int, ...], ...]
    """Physical cores, lowest first; each the logical CPUs of it that may be used."""
    cpu_count: int
    """Logical CPUs of the whole machine."""
    memory_bytes: int
    processor: str
    architecture: str
    threads_per_core: int = 1
    can_pin: bool = True
    """Whether processes can be held to CPU sets (not on macOS)."""
    nodes: tuple[MemoryNode, ...] = ()
    """None where they are not known."""
    accelerators: tuple[Accelerator, ...] = ()
    """Those that no other job has."""
    accelerators_missing: tuple[str, ...] = ()
    """Why there are not more; one line each."""

    @property
    def cpus(self) -> tuple[int, ...]:
        """The logical CPUs that may be used."""
        return tuple(sorted(cpu for core in self.cores for cpu in core))

    @property
    def size(self) -> MachineSize:
        """What `local.*` types and shares of its cost are made of."""
        makers = [found.maker for found in self.accelerators]
        return MachineSize(
            cpus=self.cpu_count,
            memory_bytes=self.memory_bytes,
            server_cpus=len(self.cpus) - len(self.cores[0]),
            gpus=makers.count("nvidia"),
            neuron_devices=makers.count("neuron"),
        )


class Provided(Strict):
    """An instance type that a host is, or stands in for."""

    instance_type: str = Field(min_length=1)
    stands: Literal["native", "stand-in"] = Field(alias="as")
    cpus: int | None = Field(default=None, ge=1)
    memory_gib: float | None = Field(default=None, gt=0)
    accelerators: int | None = Field(default=None, ge=0)
    """How many stand for the type's; 0 for a stand-in without any."""


class TlsFiles(Strict):
    """Files for a tcp:// address."""

    ca: str
    cert: str
    key: str


def _cpu_list(text: str) -> str:
    for part in text.split(","):
        low, _, high = part.partition("-")
        if int(low) > int(high or low) or int(high or low) > MAX_CPU:
            raise ValueError(f"{part!r} names no CPUs; write lowest-highest, such as 0-3")
    return text


CpuList = Annotated[
    str, Field(pattern=r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"), AfterValidator(_cpu_list)
]


def _address(text: str) -> str:
    if not re.match(r"(unix|ssh|tcp)://.", text):
        raise ValueError(
            f"{text!r} is no address; write unix://PATH, ssh://HOST or tcp://HOST:PORT"
        )
    return text


Address = Annotated[str, AfterValidator(_address)]
AcceleratorId = Annotated[str, Field(pattern=f"^({ID})$")]


class HostSpec(Strict):
    """One host of a hosts file. CPU lists read like `0-1,4`."""

    name: str = Field(min_length=1)
    kind: Literal["process", "docker"] = "process"
    address: Address | None = None
    tls: TlsFiles | None = None
    server_cpus: CpuList | None = None
    generator_cpus: CpuList | None = None
    accelerators: tuple[AcceleratorId, ...] | None = Field(default=None, strict=False)
    """Those that servers may have; of a far host, whose tools cannot be asked, all it has."""
    publish: bool = False
    provides: tuple[Provided, ...] = Field(default=(), strict=False)


class _HostsFile(Strict):
    hosts: tuple[HostSpec, ...] = Field(strict=False, min_length=1)


THIS_MACHINE = HostSpec(name="local")


@dataclass(frozen=True)
class Placement:
    """Where one trial's server and generator run."""

    server_cpus: tuple[int, ...]
    generator_cpus: tuple[int, ...]
    provenance: Provenance
    memory_bytes: int
    co_located: bool = False
    """The server shares a physical core with the generator."""
    shared_core: bool = False
    """A hyperthread sibling of one of the server's CPUs could not be kept idle."""
    memory_node: int | None = None
    """The only node whose memory a container uses, where all its CPUs are of one of several."""
    far: bool = False
    """The server's CPUs are another machine's."""
    relaxed: tuple[str, ...] = ()
    """What a container may do beyond the least, by the keys that allow it."""
    accelerators: tuple[Accelerator, ...] = ()

    @property
    def cpus(self) -> frozenset[int]:
        """All CPUs of this machine to lease."""
        own = () if self.far else self.server_cpus
        return frozenset(own) | frozenset(self.generator_cpus)

    @property
    def own_accelerators(self) -> frozenset[str]:
        """Ids of all accelerators of this machine to lease."""
        return frozenset() if self.far else frozenset(a.id for a in self.accelerators)


def load_hosts(path: Path) -> tuple[HostSpec, ...]:
    """Read a hosts file; raises ProblemsError with everything wrong in it."""
    document = read_document(path)
    problems = list(document.problems)
    hosts: tuple[HostSpec, ...] = ()
    try:
        hosts = _HostsFile.model_validate(document.data).hosts
    except ValidationError as error:
        problems += problems_of(error, document.data)
    problems += _host_contradictions(hosts)
    if problems:
        raise ProblemsError(document.render(problems))
    return hosts


def _host_contradictions(hosts: Sequence[HostSpec]) -> list[Problem]:
    problems = []
    names = [host.name for host in hosts]
    for i, host in enumerate(hosts):
        at = ("hosts", i)
        if names.index(host.name) != i:
            problems.append(Problem((*at, "name"), f"{host.name!r} is taken; rename one"))
        if host.kind == "process" and (host.address or host.tls or host.publish):
            message = "a process host is this machine; remove address, tls and publish"
            problems.append(Problem(at, message))
        wrong = address_problem(host.address or "", host.tls is not None)
        if wrong is not None:
            problems.append(Problem((*at, wrong[0]), wrong[1]))
        if host.server_cpus and host.generator_cpus:
            both = set(parse_cpus(host.server_cpus)) & set(parse_cpus(host.generator_cpus))
            if both:
                message = f"CPUs {format_cpus(sorted(both))} are also the server's; keep them apart"
                problems.append(Problem((*at, "generator_cpus"), message))
    return problems


def parse_cpus(text: str) -> tuple[int, ...]:
    """`0-2,5` to (0, 1, 2, 5)."""
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return tuple(sorted(found))


def format_cpus(cpus: Sequence[int]) -> str:
    """(0, 1, 2, 5) to `0-2,5`."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and parts[-1][-1] == cpu - 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts)
