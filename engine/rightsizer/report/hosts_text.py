"""What `rightsizer hosts` prints: a section a host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rightsizer.accelerators import UNTRIED, described
from rightsizer.addresses import is_far
from rightsizer.machines import format_cpus
from rightsizer.offers import Fit, HostOffer
from rightsizer.report.document import plain
from rightsizer.report.entries import Entry, Section, section_text
from rightsizer.report.layout import one_line
from rightsizer.units import BYTES_PER_GIB, counted, milliseconds, significant

HOSTS_SCHEMA = "rightsizer/hosts/1"
NAMED = 3
"""Instance types that are named of those with one reason; JSON has them all."""
PAIRS = 8


def hosts_document(offers: Sequence[HostOffer]) -> dict[str, Any]:
    """What `hosts --json` writes."""
    return {"schema": HOSTS_SCHEMA, "hosts": [plain(offer) for offer in offers]}


def hosts_text(offers: Sequence[HostOffer], width: int | None) -> str:
    """Every host. `width` is the terminal's, None where there is none."""
    return "\n\n".join(section_text(_section(offer), width) for offer in offers)


def _section(offer: HostOffer) -> Section:
    where = f" at {offer.address}" if offer.address else ", this machine"
    entries = [Entry("problem", one_line(problem)) for problem in offer.problems]
    if offer.cpu_count is not None:
        entries += [*_machine(offer), *_reach(offer), *_images(offer), *_types(offer)]
    return Section(f"{offer.name}: {offer.kind}{where}", tuple(entries))


def _machine(offer: HostOffer) -> list[Entry]:
    engine = f"Docker {offer.engine_version} on {offer.system}, {offer.architecture}"
    memory = f"{significant((offer.memory_bytes or 0) / BYTES_PER_GIB)} GiB"
    accelerators = "none found"
    if offer.accelerators:
        ids = ", ".join(found.id for found in offer.accelerators)
        accelerators = f"{described(offer.accelerators)}: {ids}"
    elif offer.address is not None and is_far(offer.address):
        accelerators = "not known: its tools cannot be asked from here; list them in the hosts file"
    missing = "".join(f"; {one_line(why)}" for why in offer.accelerators_missing)
    held = [f"{what} by {owner}" for what, owner in offer.leased.items()]
    return [
        *([Entry("engine", engine)] if offer.engine_version else []),
        *([Entry("processor", offer.processor)] if offer.processor else []),
        Entry("CPUs", _cpus(offer)),
        Entry("for servers", f"CPUs {format_cpus(offer.server_cpus) or 'none'}"),
        Entry("for the generator", f"CPUs {format_cpus(offer.generator_cpus) or 'none'}, here"),
        *([Entry("leased now", "; ".join(held))] if held else []),
        Entry("memory", memory),
        Entry("accelerators", accelerators + missing),
        *([Entry("untried", UNTRIED)] if offer.accelerators else []),
    ]


def _cpus(offer: HostOffer) -> str:
    if offer.cores is None:
        return f"{offer.cpu_count}; which are hyperthreads of one core is not known from here"
    usable = sum(map(len, offer.cores))
    found = f"{usable} of {offer.cpu_count} may be used, in {counted(len(offer.cores), 'core')}"
    pairs = ["+".join(map(str, core)) for core in offer.cores if len(core) > 1]
    if not pairs:
        return f"{found}, no hyperthreads"
    more = f" and {len(pairs) - PAIRS} more" if len(pairs) > PAIRS else ""
    return f"{found}; siblings {', '.join(pairs[:PAIRS])}{more}"


def _reach(offer: HostOffer) -> list[Entry]:
    if offer.round_trip_s is None:
        return []
    trip = milliseconds(1000 * offer.round_trip_s)
    if offer.clock_offset_s is None or offer.clock_error_s is None:
        return [Entry("round trip", trip)]
    offset, error = (
        milliseconds(1000 * seconds) for seconds in (abs(offer.clock_offset_s), offer.clock_error_s)
    )
    if abs(offer.clock_offset_s) <= offer.clock_error_s:
        clock = f"clocks agree within {error}"
    else:
        ahead = "ahead" if offer.clock_offset_s > 0 else "behind"
        clock = f"its clock is {offset} {ahead}, give or take {error}"
    return [Entry("round trip", f"{trip}; {clock}")]


def _images(offer: HostOffer) -> list[Entry]:
    return [
        Entry(head, "here" if wrong is None else one_line(wrong.removeprefix(f"{head} ")))
        for head, wrong in ((f"image {name}", wrong) for name, wrong in offer.images.items())
    ]


def _types(offer: HostOffer) -> list[Entry]:
    fits = [fit for fit in offer.types if fit.provenance is not None]
    groups: dict[str, list[Fit]] = {}
    for fit in offer.types:
        if fit.provenance is None:
            groups.setdefault(fit.cause, []).append(fit)
    shown = ", ".join(map(_fitting, fits))
    return [
        Entry("fit", shown or "no instance type"),
        *(Entry("do not fit", one_line(_refused(cause, of))) for cause, of in groups.items()),
    ]


def _fitting(fit: Fit) -> str:
    beside = ", on the generator's core too" if fit.co_located else ""
    return f"{fit.instance_type} ({fit.provenance}{beside})"


def _refused(cause: str, types: Sequence[Fit]) -> str:
    names = [fit.instance_type for fit in types]
    if len(names) == 1:
        return types[0].why_not
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}: {cause}"
