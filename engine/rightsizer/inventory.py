"""Hosts as values: what a hosts file declares, what a machine has, and who gets which CPUs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError

from rightsizer.catalog import InstanceType
from rightsizer.documents import Problem, Strict, problems_of, read_document
from rightsizer.errors import ProblemsError
from rightsizer.units import BYTES_PER_GIB

MAX_CPU = 8191
"""The highest CPU number Linux is built for."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

Provenance = Literal["native", "emulated", "stand-in", "projected"]


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

    @property
    def cpus(self) -> tuple[int, ...]:
        """The logical CPUs that may be used."""
        return tuple(sorted(cpu for core in self.cores for cpu in core))


class Provided(Strict):
    """An instance type that a host is, or stands in for."""

    instance_type: str = Field(min_length=1)
    stands: Literal["native", "stand-in"] = Field(alias="as")
    cpus: int | None = Field(default=None, ge=1)
    memory_gib: float | None = Field(default=None, gt=0)


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


class HostSpec(Strict):
    """One host of a hosts file. CPU lists read like `0-1,4`."""

    name: str = Field(min_length=1)
    kind: Literal["process", "docker"] = "process"
    address: str | None = Field(default=None, pattern=r"^(unix|ssh|tcp)://.+")
    tls: TlsFiles | None = None
    server_cpus: CpuList | None = None
    generator_cpus: CpuList | None = None
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
    far: bool = False
    """The server's CPUs are another machine's."""
    relaxed: tuple[str, ...] = ()
    """What a container may do beyond the least, by the keys that allow it."""

    @property
    def cpus(self) -> frozenset[int]:
        """All CPUs of this machine to lease."""
        own = () if self.far else self.server_cpus
        return frozenset(own) | frozenset(self.generator_cpus)


class NotRunnable(Exception):
    """Why a host cannot run an instance type; one line."""


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
        problems += [Problem((*at, key), message) for key, message in address_problems(host)]
        if host.server_cpus and host.generator_cpus:
            both = set(parse_cpus(host.server_cpus)) & set(parse_cpus(host.generator_cpus))
            if both:
                message = f"CPUs {format_cpus(sorted(both))} are also the server's; keep them apart"
                problems.append(Problem((*at, "generator_cpus"), message))
    return problems


def address_problems(host: HostSpec) -> list[tuple[str, str]]:
    """Keys of a Docker host whose address is no engine's, or anybody's to command."""
    address = host.address or ""
    if host.tls and not address.startswith("tcp:"):
        return [("tls", "tls belongs to a tcp:// address; remove it")]
    if not address.startswith(("tcp:", "ssh:")):
        return []
    try:
        parts = urlsplit(address)
        name, port = parts.hostname or "", parts.port
    except ValueError as error:
        return [("address", f"no address: {error}; write SCHEME://HOST:PORT")]
    if not name or parts.path not in ("", "/") or (parts.scheme == "tcp" and port is None):
        return [("address", f"{address!r} names no engine; write tcp://HOST:PORT or ssh://HOST")]
    if parts.scheme == "tcp" and host.tls is None and name not in LOOPBACK_NAMES:
        message = "whoever reaches it over plain tcp owns that machine; give tls, or use ssh://"
        return [("address", message)]
    return []


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


def place(
    kind: InstanceType, host: HostSpec, machine: Machine, taken: frozenset[int] = frozenset()
) -> Placement:
    """The CPUs of a trial of `kind` on this machine, apart from those `taken` by other jobs.

    The generator gets the lowest free physical core, the server others, whole cores apart where
    the machine has them; where it has not, they share and the placement says so.

    Raises:
        NotRunnable: the host cannot provide the type.
    """
    provenance, vcpus, memory_gib = size_on(kind, host, machine)
    # A core that another job has a thread of comes after those that are wholly free.
    whole_first = sorted(machine.cores, key=lambda core: not taken.isdisjoint(core))
    cores = [tuple(cpu for cpu in core if cpu not in taken) for core in whole_first]
    cores = [core for core in cores if core]
    generator = _generator_cpus(host, cores)
    allowed = set(parse_cpus(host.server_cpus)) if host.server_cpus else None
    pool = _one_thread_first(cores, generator, allowed)
    if vcpus > len(pool):
        usable = len(pool)
        busy = f", {len(taken)} of them leased to other jobs" if taken else ""
        raise NotRunnable(f"{kind.name} needs {vcpus} CPUs and {usable} may be used here{busy}")
    server = tuple(sorted(pool[:vcpus]))
    return Placement(
        server_cpus=server,
        generator_cpus=generator,
        provenance=provenance,
        memory_bytes=int(memory_gib * BYTES_PER_GIB),
        co_located=_share_a_core(server, generator, machine) or not machine.can_pin,
        shared_core=_siblings_busy(server, {*generator, *taken}, machine),
    )


def place_generator(
    host: HostSpec, machine: Machine, taken: frozenset[int] = frozenset()
) -> Placement:
    """The generator's CPUs alone: the server runs where the engine did not put it.

    Raises:
        NotRunnable: no CPU is free.
    """
    cores = [tuple(cpu for cpu in core if cpu not in taken) for core in machine.cores]
    generator = _generator_cpus(host, [core for core in cores if core])
    return Placement((), generator, "stand-in", 0)


def size_on(kind: InstanceType, host: HostSpec, machine: Machine) -> tuple[Provenance, int, float]:
    """What a host can call itself beside an instance type, and the type's CPUs and GiB there.

    Raises:
        NotRunnable: the host is another machine, or nobody knows the type's size.
    """
    provenance, vcpus, memory_gib = _provided(kind, host, machine)
    if vcpus < 1 or memory_gib <= 0:
        raise NotRunnable(
            f"the size of {kind.name} is not known; give vcpus and memory_gib in the price file, "
            "or cpus and memory_gib in the hosts file"
        )
    return provenance, vcpus, memory_gib


def _provided(
    kind: InstanceType, host: HostSpec, machine: Machine
) -> tuple[Provenance, int, float]:
    for provided in host.provides:
        if provided.instance_type == kind.name:
            memory_gib = provided.memory_gib or kind.memory_gib
            return provided.stands, provided.cpus or kind.vcpus, memory_gib
    if kind.accelerator:
        raise NotRunnable(f"{kind.name} needs {kind.accelerator}; no host here has it")
    if kind.is_local:
        return "native", kind.vcpus, kind.memory_gib
    if kind.memory_gib * BYTES_PER_GIB <= machine.memory_bytes and _same_processor(kind, machine):
        return "emulated", kind.vcpus, kind.memory_gib
    raise NotRunnable(
        f"{kind.name} is another machine than this one ({machine.processor}); "
        "use local.<n>cpu, or declare a stand-in for it in the hosts file"
    )


def _same_processor(kind: InstanceType, machine: Machine) -> bool:
    """Same model and hyperthread layout, by a model number such as 8259CL or EPYC 7R32."""
    models = re.findall(r"\b\d[0-9A-Z]{3,}[A-Z]*\b", kind.processor)
    same_layout = kind.physical_cores is not None and (
        kind.vcpus == kind.physical_cores * machine.threads_per_core
    )
    return same_layout and any(model in machine.processor for model in models)


def _generator_cpus(host: HostSpec, cores: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    if host.generator_cpus:
        wanted = parse_cpus(host.generator_cpus)
        free = {cpu for core in cores for cpu in core}
        missing = [cpu for cpu in wanted if cpu not in free]
        if missing:
            raise NotRunnable(f"generator_cpus {format_cpus(missing)} may not be used here")
        return wanted
    if not cores:
        raise NotRunnable("every CPU here is leased to other jobs; wait for one to end")
    reserved = set(parse_cpus(host.server_cpus)) if host.server_cpus else set()
    return next((core for core in cores if reserved.isdisjoint(core)), cores[0])


def _one_thread_first(
    cores: Sequence[tuple[int, ...]], generator: Sequence[int], allowed: set[int] | None
) -> list[int]:
    """CPUs for servers in the order they are given out: other cores' first threads, then their
    siblings, and last, where nothing else is left, the generator's own."""
    others = [core for core in cores if not set(core) & set(generator)]
    shared = [core for core in cores if set(core) & set(generator)]
    order: list[int] = []
    for group in (others, shared):
        for thread in range(max((len(core) for core in group), default=0)):
            order += [core[thread] for core in group if thread < len(core)]
    return [cpu for cpu in order if allowed is None or cpu in allowed]


def _share_a_core(server: Sequence[int], generator: Sequence[int], machine: Machine) -> bool:
    return any(set(core) & set(server) and set(core) & set(generator) for core in machine.cores)


def _siblings_busy(server: Sequence[int], others: set[int], machine: Machine) -> bool:
    """Whether two of the server's CPUs, or one and another's, are one physical core."""
    return any(
        len(set(core) & set(server)) > 1 or (set(core) & set(server) and set(core) & others)
        for core in machine.cores
        if len(core) > 1
    )
