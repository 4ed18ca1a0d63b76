"""Which CPUs and accelerators of a machine a trial's server gets, and which CPUs its generator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NoReturn

from rightsizer.accelerators import Accelerator, described, is_of_model, maker_of, named
from rightsizer.catalog import InstanceType
from rightsizer.inventory import HostSpec
from rightsizer.machines import Machine, Placement, Provenance, format_cpus, parse_cpus
from rightsizer.units import BYTES_PER_GIB

MORE_CPUS = "more CPUs than servers may use here"


class NotRunnable(Exception):
    """Why a host cannot run an instance type; one line."""

    def __init__(self, why: str, cause: str = "") -> None:
        """`cause` is what it has in common with the refusals of other types."""
        super().__init__(why)
        self.cause = cause or why


@dataclass(frozen=True)
class Part:
    """What of a host an instance type is."""

    provenance: Provenance
    vcpus: int
    memory_gib: float
    accelerators: tuple[Accelerator, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """Whole bytes of it."""
        return int(self.memory_gib * BYTES_PER_GIB)


def place(
    kind: InstanceType, host: HostSpec, machine: Machine, taken: frozenset[int] = frozenset()
) -> Placement:
    """The CPUs of a trial of `kind` on this machine, apart from those `taken` by other jobs.

    The generator gets the lowest free physical core, the server others, whole cores apart where
    the machine has them; where it has not, they share and the placement says so.

    Raises:
        NotRunnable: the host cannot provide the type.
    """
    part = part_of(kind, host, machine)
    vcpus = part.vcpus
    # A core that another job has a thread of comes after those that are wholly free.
    whole_first = sorted(machine.cores, key=lambda core: not taken.isdisjoint(core))
    cores = [tuple(cpu for cpu in core if cpu not in taken) for core in whole_first]
    cores = [core for core in cores if core]
    generator = _generator_cpus(host, cores)
    allowed = set(parse_cpus(host.server_cpus)) if host.server_cpus else None
    # A cloud's vCPU is a hyperthread; of CPUs that are ours to name, an idle sibling is better.
    order = _in_order(cores, generator, allowed, whole=part.provenance == "emulated")
    pool, node = _of_one_node(order, generator, vcpus, part.memory_bytes, machine)
    if vcpus > len(pool):
        usable = len(pool)
        busy = f", {len(taken)} of them leased to other jobs" if taken else ""
        raise NotRunnable(
            f"{kind.name} needs {vcpus} CPUs and {usable} may be used here{busy}", MORE_CPUS
        )
    server = tuple(sorted(pool[:vcpus]))
    return Placement(
        server_cpus=server,
        generator_cpus=generator,
        provenance=part.provenance,
        memory_bytes=part.memory_bytes,
        memory_node=node,
        co_located=_share_a_core(server, generator, machine) or not machine.can_pin,
        shared_core=_siblings_busy(
            server, {*generator, *taken}, machine, own=part.provenance != "emulated"
        ),
        accelerators=part.accelerators,
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


def part_of(kind: InstanceType, host: HostSpec, machine: Machine, *, far: bool = False) -> Part:
    """What a host can call itself beside an instance type, and the type's share of it.

    Raises:
        NotRunnable: the host is another machine, or nobody knows the type's size.
    """
    part = _part(kind, host, machine, far)
    if part.vcpus < 1 or part.memory_gib <= 0:
        raise NotRunnable(
            f"the size of {kind.name} is not known; give vcpus and memory_gib in the price file, "
            "or cpus and memory_gib in the hosts file"
        )
    return part


def _part(kind: InstanceType, host: HostSpec, machine: Machine, far: bool) -> Part:
    wanted = (kind.accelerator_count or 1) if kind.accelerator else 0
    has = offered_accelerators(host, machine, far) if wanted else ()
    for provided in host.provides:
        if provided.instance_type == kind.name:
            count = wanted if provided.accelerators is None else provided.accelerators
            memory_gib = provided.memory_gib or kind.memory_gib
            given = _accelerators(kind, count, has, host, machine)
            return Part(provided.stands, provided.cpus or kind.vcpus, memory_gib, given)
    if kind.is_local:
        given = _accelerators(kind, wanted, has, host, machine)
        return Part("native", kind.vcpus, kind.memory_gib, given)
    alike = [a for a in has if is_of_model(a, kind.accelerator, kind.accelerator_memory_mib)]
    if wanted > len(alike):
        _refuse(kind, wanted, has, host, machine)
    if kind.memory_gib * BYTES_PER_GIB <= machine.memory_bytes and _same_processor(kind, machine):
        return Part("emulated", kind.vcpus, kind.memory_gib, tuple(alike[:wanted]))
    raise NotRunnable(
        f"{kind.name} is another machine than this one ({machine.processor}); "
        "use a local.* type, or declare a stand-in for it in the hosts file",
        "another machine; the hosts file can declare a stand-in",
    )


def offered_accelerators(host: HostSpec, machine: Machine, far: bool) -> tuple[Accelerator, ...]:
    """The accelerators that servers may have."""
    if far:
        return tuple(map(named, host.accelerators or ()))
    if host.accelerators is None:
        return machine.accelerators
    here = {found.id: found for found in machine.accelerators}
    return tuple(here[id] for id in host.accelerators if id in here)


def _accelerators(
    kind: InstanceType,
    count: int,
    has: Sequence[Accelerator],
    host: HostSpec,
    machine: Machine,
) -> tuple[Accelerator, ...]:
    """So many of the type's maker, whole ones before slices."""
    made = [found for found in has if found.maker == maker_of(kind.accelerator)]
    whole = [found for found in made if not found.is_slice]
    # A process sees one slice, however many it is given.
    usable = [*whole, *(found for found in made if found.is_slice)] if count == 1 else whole
    if count > len(usable):
        _refuse(kind, count, has, host, machine)
    return tuple(usable[:count])


def _refuse(
    kind: InstanceType,
    count: int,
    has: Sequence[Accelerator],
    host: HostSpec,
    machine: Machine,
) -> NoReturn:
    here = {found.id for found in (*machine.accelerators, *has)}
    absent = [
        f"{id} of the hosts file is not here" for id in host.accelerators or () if id not in here
    ]
    missing = "".join(f", {why}" for why in (*machine.accelerators_missing, *absent))
    raise NotRunnable(
        f"{kind.name} needs {count} x {kind.accelerator} and this host has "
        f"{described(has) or 'no accelerator'}{missing}; use a host that has them",
        "accelerators that are not here",
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


def _in_order(
    cores: Sequence[tuple[int, ...]],
    generator: Sequence[int],
    allowed: set[int] | None,
    *,
    whole: bool,
) -> list[int]:
    """CPUs for servers in the order they are given out.

    Other cores' first threads, then their siblings, or where a core is given out `whole` right
    after them; and last, where nothing else is left, the generator's own.
    """
    others = [core for core in cores if not set(core) & set(generator)]
    shared = [core for core in cores if set(core) & set(generator)]
    order: list[int] = []
    for group in (others, shared):
        threads = list(zip_longest(*group))
        order += [c for core in (group if whole else threads) for c in core if c is not None]
    return [cpu for cpu in order if allowed is None or cpu in allowed]


def _of_one_node(
    order: list[int],
    generator: Sequence[int],
    vcpus: int,
    memory_bytes: int,
    machine: Machine,
) -> tuple[list[int], int | None]:
    """The part of the CPUs that is of one memory node, and which; all where no node has enough.

    Of several, the node that has more cores for them.
    """
    apart = [core for core in machine.cores if not set(core) & set(generator)]
    found: tuple[int, list[int], int | None] = (0, order, None)
    for node in machine.nodes if len(machine.nodes) > 1 else ():
        near = [c for c in order if c in node.cpus and any(c in core for core in apart)]
        used = sum(not set(core).isdisjoint(near[:vcpus]) for core in apart)
        if len(near) >= vcpus and node.memory_bytes >= memory_bytes and used > found[0]:
            found = (used, near, node.number)
    return found[1:]


def _share_a_core(server: Sequence[int], generator: Sequence[int], machine: Machine) -> bool:
    return any(set(core) & set(server) and set(core) & set(generator) for core in machine.cores)


def _siblings_busy(server: Sequence[int], others: set[int], machine: Machine, *, own: bool) -> bool:
    """Whether one of the server's CPUs and another's, or two of its `own`, are one core."""
    return any(
        (own and len(set(core) & set(server)) > 1)
        or (set(core) & set(server) and set(core) & others)
        for core in machine.cores
        if len(core) > 1
    )
