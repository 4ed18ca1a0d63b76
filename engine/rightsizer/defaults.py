"""What a job of type `default` compares: instance types that hosts offer, settings of a knobs file.

Pure: from offers, prices and knobs to a spec that has its candidates, and a record of the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rightsizer.catalog import LOCAL, Catalog
from rightsizer.combinations import values_on
from rightsizer.contradictions import DEFAULT_TYPE_JOB_S
from rightsizer.errors import EnvironmentFault, ProblemsError
from rightsizer.fitting import (
    MOST_CANDIDATES,
    has_time,
    most,
    needs_of,
    room_of,
    too_many,
    with_trials,
)
from rightsizer.knobs import Knob, Knobs, Size
from rightsizer.machines import Machine, Placement
from rightsizer.needs import Need
from rightsizer.offers import Fit, HostOffer
from rightsizer.spec import CandidateSpec, JobSpec, SaturateTraffic, SecretRef
from rightsizer.sweeping import Design, Kind, design
from rightsizer.units import BYTES_PER_GIB

APART = 1.5
"""A `local.*` type has at least so many times the CPUs of the next smaller one."""


@dataclass(frozen=True)
class ChosenType:
    """An instance type that is measured."""

    instance_type: str
    size: Size
    provenance: str
    candidates: int


@dataclass(frozen=True)
class PassedOver:
    """Instance types that fit and are not measured."""

    instance_types: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class ChosenKnob:
    """A variable of the knobs file."""

    name: str
    meaning: str
    values: tuple[str, ...]
    """As they are measured, of all types; none where it is not swept."""
    written: tuple[str, ...]
    """As the file has them."""
    default: str | None
    why_fixed: str = ""
    """Why it is not swept."""


@dataclass(frozen=True)
class Choice:
    """How a default job came by its candidates."""

    types: tuple[ChosenType, ...]
    passed_over: tuple[PassedOver, ...]
    knobs_from: str
    """The knobs file or label; empty: none was found."""
    knobs: tuple[ChosenKnob, ...]
    kind: Kind
    groups: tuple[tuple[str, ...], ...]
    """Knobs that are crossed with each other."""
    candidates: int
    left_out: int
    """Combinations of the whole grid that are not measured."""
    cut: tuple[str, ...]
    """Knobs of which some value is measured nowhere."""
    room: int
    """Candidates that time and trials have room for, with finals."""
    needs: tuple[Need, ...]
    """Limits that kept combinations out, and what it would take to measure them."""
    allowed_s: float
    """limits.duration_s."""


def chosen(
    spec: JobSpec,
    offers: Sequence[HostOffer],
    catalog: Catalog,
    machine: Machine,
    knobs: Knobs | None,
) -> tuple[JobSpec, Choice]:
    """The spec with its candidates and limits, and how they were chosen.

    Args:
        offers: of the hosts that can run the job's server, in the order of the hosts file.

    Raises:
        EnvironmentFault: no host offers an instance type.
        ProblemsError: the knobs cannot be met, or compare a secret.
    """
    spec = _with_limits(spec)
    fits, passed_over = _types(offers, catalog, spec.instance_types)
    groups = _groups(fits, offers)
    if over := groups[most(spec) :]:
        names = tuple(fit.instance_type for group in over for fit in group)
        passed_over = (*passed_over, PassedOver(names, too_many(spec, len(groups))))
        groups = groups[: most(spec)]
    sizes = {g[0].instance_type: _size(g[0].placement, machine) for g in groups if g[0].placement}
    fixed = _fixed(spec, knobs)
    made, room = _that_fits(spec, len(offers), lambda room: design(knobs, sizes, fixed, room))
    candidates = tuple(
        CandidateSpec(
            instance_type=fit.instance_type, environment={k: (v,) for k, v in setting.items()}
        )
        for group in groups
        for setting in made.settings.get(group[0].instance_type, ())
        for fit in group
    )
    if made.impossible:
        why = "no combination of the knobs meets what is required there"
        passed_over = (*passed_over, PassedOver(made.impossible, why))
    choice = Choice(
        types=tuple(
            ChosenType(
                fit.instance_type,
                sizes[group[0].instance_type],
                str(fit.provenance),
                len(made.settings[group[0].instance_type]),
            )
            for group in groups
            if group[0].instance_type in made.settings
            for fit in group
        ),
        passed_over=passed_over,
        knobs_from=knobs.source if knobs else "",
        knobs=_chosen_knobs(knobs, made, sizes, fixed),
        kind=made.kind,
        groups=made.groups,
        candidates=len(candidates),
        left_out=made.left_out,
        cut=made.cut,
        room=room,
        needs=needs_of(spec, len(offers), _wanted(made)),
        allowed_s=spec.limits.duration_s,
    )
    spec = spec.model_copy(update={"candidates": candidates})
    return with_trials(spec, made.measured), choice


def _that_fits(spec: JobSpec, hosts: int, of: Callable[[int], Design]) -> tuple[Design, int]:
    """The largest design that there is time for, and the room that it was given."""
    room = room_of(spec, hosts)
    made = of(room)
    # Fewer may take longer: eight are scouted with the whole budget each, nine with half of it.
    while made.measured > len(made.settings) and not has_time(spec, hosts, made.measured):
        room = room_of(spec, hosts, made.measured - 1)
        made = of(room)
    return made, room


def _wanted(made: Design) -> int:
    """Candidates that more room would measure."""
    whole = made.measured + made.left_out
    # All that a screening has are measured, and no job has room for the grid.
    return made.measured if made.kind == "screening" and whole > MOST_CANDIDATES else whole


# -- instance types ----------------------------------------------------------------------------


def _types(
    offers: Sequence[HostOffer], catalog: Catalog, wanted: Sequence[str]
) -> tuple[list[Fit], tuple[PassedOver, ...]]:
    """Those worth measuring, each as the first host that has it offers it."""
    fits: dict[str, Fit] = {}
    for offer in offers:
        for fit in offer.types:
            if fit.provenance is not None and (not wanted or fit.instance_type in wanted):
                fits.setdefault(fit.instance_type, fit)
    absent = tuple(name for name in wanted if name not in fits)
    apart = {name: fit for name, fit in fits.items() if not fit.co_located}
    kept = apart or dict(list(fits.items())[:1])
    left = [PassedOver(absent, "no host offers them")]
    left.append(_passed(fits, kept, "a core would be shared with the generator"))
    priced = {name: fit for name, fit in kept.items() if _is_priced(name, catalog)}
    if priced:
        left.append(_passed(kept, priced, "no price; a row of the price file gives one"))
        kept = priced
    spread = kept if wanted else _apart_in_size(kept)
    left.append(_passed(kept, spread, "close in size to others"))
    if not spread:
        faults = "; ".join(problem for offer in offers for problem in offer.problems)
        raise EnvironmentFault(
            "type default found no instance type to measure",
            (f"no host offers {', '.join(absent)}" if absent else faults)
            or "no host can run this server: a command needs a process host, an image "
            "a docker host",
            "declare a stand-in for one with `provides` in the hosts file; `rightsizer hosts` "
            "shows what is there",
        )
    # In order of size, so that no host's order matters.
    ordered = sorted(spread.values(), key=_cpus)
    return ordered, tuple(one for one in left if one.instance_types)


def _groups(fits: Sequence[Fit], offers: Sequence[HostOffer]) -> list[tuple[Fit, ...]]:
    """The types, those together that get the same of the same host: they are measured once."""
    found: dict[object, tuple[Fit, ...]] = {}
    for fit in fits:
        host = next(offer.name for offer in offers if fit in offer.types)
        key = (host, fit.placement)
        found[key] = (*found.get(key, ()), fit)
    return list(found.values())


def _is_priced(name: str, catalog: Catalog) -> bool:
    kind = catalog.find(name)
    return kind is not None and catalog.price(kind) is not None


def _passed(before: Mapping[str, Fit], after: Mapping[str, Fit], why: str) -> PassedOver:
    return PassedOver(tuple(name for name in before if name not in after), why)


def _apart_in_size(fits: Mapping[str, Fit]) -> dict[str, Fit]:
    """All but `local.<n>cpu` types that are neither a power of two nor much more than the last."""
    counts = sorted(int(m[1]) for name in fits if (m := LOCAL.fullmatch(name)) and m[1])
    keep = [count for count in counts if count & (count - 1) == 0]
    if counts and (not keep or counts[-1] >= APART * keep[-1]):
        keep.append(counts[-1])
    wanted = {f"local.{count}cpu" for count in keep}
    return {
        name: fit
        for name, fit in fits.items()
        if name in wanted or not ((m := LOCAL.fullmatch(name)) and m[1])
    }


def _cpus(fit: Fit) -> int:
    return len(fit.placement.server_cpus) if fit.placement else 0


def _size(placement: Placement, machine: Machine) -> Size:
    """A far machine's CPUs count as cores: nothing here tells which of them are threads."""
    cores = [core for core in machine.cores if not placement.far]
    shared = sum(1 for core in cores if set(core) & set(placement.server_cpus))
    cpus = len(placement.server_cpus)
    return Size(
        cores=shared or cpus,
        cpus=cpus,
        memory_gib=placement.memory_bytes / BYTES_PER_GIB,
        accelerators=len(placement.accelerators),
    )


# -- the job's own -----------------------------------------------------------------------------


def _with_limits(spec: JobSpec) -> JobSpec:
    """A default job's own length and traffic, where the user gave none."""
    changed: dict[str, object] = {}
    if "duration_s" not in spec.limits.model_fields_set:
        changed["limits"] = spec.limits.model_copy(update={"duration_s": DEFAULT_TYPE_JOB_S})
    if "traffic" not in spec.model_fields_set and spec.limit.latency_ms is None:
        changed["traffic"] = SaturateTraffic(type="saturate")
    return spec.model_copy(update=changed)


def _fixed(spec: JobSpec, knobs: Knobs | None) -> dict[str, str]:
    """The job's own variables, secrets empty; raises ProblemsError where one would be compared."""
    found: dict[str, str] = {}
    compared = {name for test in (knobs.require if knobs else ()) for name in test.names}
    for name, value in spec.server.environment.items():
        found[name] = "" if isinstance(value, SecretRef) else value
        if knobs and isinstance(value, SecretRef) and name in compared:
            why = f"a secret cannot be compared, and {knobs.source} requires something of it"
            raise ProblemsError([f"server.environment.{name}: {why}; give its value plainly"])
    return found


# -- what is told ------------------------------------------------------------------------------


def _chosen_knobs(
    knobs: Knobs | None, made: Design, sizes: Mapping[str, Size], fixed: Mapping[str, str]
) -> tuple[ChosenKnob, ...]:
    found = []
    for knob in knobs.knobs if knobs else ():
        measured = {
            setting[knob.name]: None
            for settings in made.settings.values()
            for setting in settings
            if knob.name in setting
        }
        why = ""
        if knob.name in fixed:
            why = f"fixed by server.environment at {fixed[knob.name] or 'a secret'}"
        elif not measured:
            needed = ", ".join(f"{name}={value}" for name, value in knob.only_with.items())
            why = f"needs {needed}, which is not measured"
        listed = _listed(knobs, knob, made, sizes) if knobs and measured else ()
        values = tuple(value for value in listed if value in measured)
        found.append(ChosenKnob(knob.name, knob.meaning, values, knob.written, knob.default, why))
    return tuple(found)


def _listed(knobs: Knobs, knob: Knob, made: Design, sizes: Mapping[str, Size]) -> tuple[str, ...]:
    """Its values on the types that are measured, in the order of the file."""
    found = (
        value for name in made.settings for value in values_on(knob, sizes[name], knobs.source)
    )
    return tuple(dict.fromkeys(found))
