"""What a host offers: its parts, which instance types fit on it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rightsizer.accelerators import Accelerator
from rightsizer.addresses import is_far
from rightsizer.catalog import Catalog, InstanceType
from rightsizer.containers import (
    Container,
    EngineFacts,
    image_problem,
    place_container,
)
from rightsizer.inventory import HostSpec
from rightsizer.machines import Machine, Placement, Provenance, format_cpus, parse_cpus
from rightsizer.placing import NotRunnable, offered_accelerators, place, place_generator
from rightsizer.spec import ContainerSpec

FAR_CLOCK_S = 60.0
"""Further apart, the clocks no longer agree on what of a dead engine is old enough to sweep."""
ANY_CONTAINER = Container("", "", None, 0, ContainerSpec())


@dataclass(frozen=True)
class Fit:
    """Whether an instance type fits on a host."""

    instance_type: str
    provenance: Provenance | None
    """None: it does not fit."""
    co_located: bool = False
    """It shares a physical core with the generator."""
    why_not: str = ""
    cause: str = ""
    """What the reason has in common with that of other types."""
    placement: Placement | None = None
    """What it would get; None: it does not fit."""


@dataclass(frozen=True)
class HostOffer:
    """One host as `rightsizer hosts` shows it. What cannot be known from here is None."""

    name: str
    kind: str
    address: str | None
    problems: tuple[str, ...] = ()
    """What is wrong with it; one line each: what, why, what to do."""
    engine_version: str | None = None
    system: str | None = None
    processor: str | None = None
    architecture: str | None = None
    cpu_count: int | None = None
    cores: tuple[tuple[int, ...], ...] | None = None
    """The logical CPUs of each physical core, as far as they may be used."""
    memory_bytes: int | None = None
    server_cpus: tuple[int, ...] = ()
    generator_cpus: tuple[int, ...] = ()
    """This machine's, wherever the servers are."""
    accelerators: tuple[Accelerator, ...] = ()
    """Those that servers may have; of a far host, as the hosts file lists them."""
    accelerators_missing: tuple[str, ...] = ()
    """Why there are not more; one line each."""
    leased: Mapping[str, str] = field(default_factory=dict)
    """`CPU 1`, or an accelerator's id, to the job that holds it now."""
    images: Mapping[str, str | None] = field(default_factory=dict)
    """Of a job: why each cannot run here, None if it can."""
    round_trip_s: float | None = None
    clock_offset_s: float | None = None
    """How far its clock is ahead of ours, give or take `clock_error_s`."""
    clock_error_s: float | None = None
    types: tuple[Fit, ...] = ()


def offer_of(
    host: HostSpec,
    machine: Machine,
    engine: EngineFacts | None,
    catalog: Catalog,
    images: Sequence[str] = (),
    leased: Mapping[str, str] | None = None,
) -> HostOffer:
    """A host's offer.

    Args:
        host: of a hosts file; a Docker host with its address.
        machine: the one that the generator runs on, and near servers too.
        engine: what a Docker host's engine answered.
        catalog: the instance types.
        images: those to look for.
        leased: what other jobs hold of the machine.
    """
    if engine is not None and engine.fault:
        return HostOffer(host.name, host.kind, host.address, (engine.fault,))
    far = engine is not None and is_far(engine.address)
    kinds = _kinds(host, machine, engine, catalog)
    types = tuple(_fit(kind, host, machine, engine) for kind in kinds)
    try:
        generator, faults = place_generator(host, machine).generator_cpus, []
    except NotRunnable as error:
        generator, faults = (), [f"host {host.name}: {error}; mend generator_cpus"]
    return HostOffer(
        name=host.name,
        kind=host.kind,
        address=host.address,
        problems=(*faults, *_problems(host, machine, engine, types)),
        engine_version=engine.version if engine else None,
        system=engine.system if engine else None,
        processor=None if far else machine.processor,
        architecture=engine.architecture if engine else machine.architecture,
        cpu_count=engine.cpu_count if engine else machine.cpu_count,
        cores=None if far else machine.cores,
        memory_bytes=engine.memory_bytes if engine else machine.memory_bytes,
        server_cpus=_server_cpus(host, machine, engine, generator),
        generator_cpus=generator,
        accelerators=offered_accelerators(host, machine, far),
        accelerators_missing=() if far else machine.accelerators_missing,
        leased=dict(leased or {}),
        images={name: image_problem(name, host, engine) for name in images} if engine else {},
        round_trip_s=engine.round_trip_s if engine else None,
        clock_offset_s=engine.clock_offset_s if engine else None,
        clock_error_s=engine.clock_error_s if engine else None,
        types=types,
    )


def _kinds(
    host: HostSpec, machine: Machine, engine: EngineFacts | None, catalog: Catalog
) -> list[InstanceType]:
    """Local types by size, what the host provides, then the table."""
    cpus = engine.cpu_count if engine and is_far(engine.address) else len(machine.cpus)
    names = [f"local.{count}cpu" for count in range(1, cpus + 1)]
    names += ["local.gpu", "local.neuron"]
    names += [provided.instance_type for provided in host.provides]
    names += [row.name for row in catalog.rows()]
    found = (catalog.find(name) for name in dict.fromkeys(names))
    return [kind for kind in found if kind is not None]


def _fit(kind: InstanceType, host: HostSpec, machine: Machine, engine: EngineFacts | None) -> Fit:
    try:
        placed = _placed(kind, host, machine, engine)
    except NotRunnable as error:
        return Fit(kind.name, None, why_not=str(error), cause=error.cause)
    return Fit(kind.name, placed.provenance, placed.co_located, placement=placed)


def _placed(
    kind: InstanceType, host: HostSpec, machine: Machine, engine: EngineFacts | None
) -> Placement:
    if engine is None:
        return place(kind, host, machine)
    return place_container(kind, host, machine, engine, ANY_CONTAINER)


def _server_cpus(
    host: HostSpec,
    machine: Machine,
    engine: EngineFacts | None,
    generator: Sequence[int],
) -> tuple[int, ...]:
    """The CPUs that servers may have; the generator's too where there are no others."""
    allowed = _wanted_cpus(host, machine, engine)
    if engine is not None and is_far(engine.address):
        return tuple(cpu for cpu in allowed if cpu < engine.cpu_count)
    here = [cpu for cpu in allowed if cpu in machine.cpus]
    beside = {cpu for core in machine.cores if set(core) & set(generator) for cpu in core}
    return tuple(cpu for cpu in here if cpu not in beside) or tuple(here)


def _wanted_cpus(host: HostSpec, machine: Machine, engine: EngineFacts | None) -> tuple[int, ...]:
    if host.server_cpus:
        return parse_cpus(host.server_cpus)
    if engine is not None and is_far(engine.address):
        return tuple(range(engine.cpu_count))
    return machine.cpus


def _problems(
    host: HostSpec, machine: Machine, engine: EngineFacts | None, types: Sequence[Fit]
) -> list[str]:
    """What of the hosts file is not so, and clocks that disagree."""
    far = engine is not None and is_far(engine.address)
    there = range(engine.cpu_count) if engine is not None and far else machine.cpus
    found = []
    if absent := [cpu for cpu in _wanted_cpus(host, machine, engine) if cpu not in there]:
        found.append(
            f"host {host.name}: server_cpus {format_cpus(absent)} may not be used there, of its "
            f"CPUs {format_cpus(there)}; mend server_cpus"
        )
    here = {accelerator.id for accelerator in machine.accelerators}
    if gone := [id for id in host.accelerators or () if not far and id not in here]:
        found.append(
            f"host {host.name}: accelerators {', '.join(gone)} are not there; mend accelerators, "
            "or see `nvidia-smi -L` and `neuron-ls`"
        )
    if far and not host.publish:
        found.append(f"host {host.name} is far and its networks are not ours; give publish: true")
    declared = {provided.instance_type for provided in host.provides}
    found += [
        f"host {host.name} does not provide what its file says: {fit.why_not}"
        for fit in types
        if fit.instance_type in declared and fit.provenance is None and not gone and not absent
    ]
    offset_s = 0.0 if engine is None else engine.clock_offset_s or 0.0
    if abs(offset_s) > FAR_CLOCK_S:
        ahead = "ahead of" if offset_s > 0 else "behind"
        found.append(
            f"host {host.name}: its clock is {abs(offset_s):.0f} s {ahead} this machine's, by "
            "which leftovers are swept; set both by NTP"
        )
    return found
