"""How a default job came by its candidates, in words."""

from __future__ import annotations

from rightsizer.defaults import Choice, ChosenKnob, ChosenType
from rightsizer.fitting import MOST_CANDIDATES
from rightsizer.needs import raised
from rightsizer.report.entries import Entry, Section
from rightsizer.units import counted, given


def choice_sections(choice: Choice) -> list[Section]:
    """Instance types, knobs, and what of all combinations is measured."""
    types = [Entry(kind.instance_type, _type(kind)) for kind in choice.types]
    passed = [
        Entry("not " + ", ".join(over.instance_types), over.why) for over in choice.passed_over
    ]
    if not choice.knobs_from:
        none = Entry(
            "none",
            "no knobs.yaml beside the server, none in its image: instance types alone are "
            "compared; server.knobs names one",
        )
        return [
            Section("Instance types, chosen from what the hosts offer", (*types, *passed)),
            Section("Knobs", (none,)),
        ]
    return [
        Section("Instance types, chosen from what the hosts offer", (*types, *passed)),
        Section(f"Knobs, from {choice.knobs_from}", tuple(map(_knob, choice.knobs))),
        Section("Combinations", tuple(_combinations(choice))),
    ]


def _type(kind: ChosenType) -> str:
    size = kind.size
    parts = [counted(size.cpus, "vCPU"), f"on {counted(size.cores, 'physical core')}"]
    memory = f"{given(round(size.memory_gib, 1))} GiB"
    if size.accelerators:
        memory += f", {counted(size.accelerators, 'accelerator')}"
    return (
        f"{' '.join(parts)}, {memory}; {kind.provenance}; {counted(kind.candidates, 'candidate')}"
    )


def _knob(knob: ChosenKnob) -> Entry:
    if knob.why_fixed:
        return Entry(knob.name, f"{knob.meaning}; not swept: {knob.why_fixed}")
    values = ", ".join(knob.values)
    written = ", ".join(knob.written)
    if len(knob.values) == 1:
        values += " on every type here, not swept"
    if written != ", ".join(knob.values):
        values += f" (from {written})"
    own = "" if knob.default is None else f"; left alone it is {knob.default}"
    return Entry(knob.name, f"{knob.meaning}: {values}{own}")


def _combinations(choice: Choice) -> list[Entry]:
    whole = choice.candidates + choice.left_out
    how = {
        "grid": "every combination",
        "screening": "knobs that interact in every combination, each such group in turn while all "
        "others stay at their first value",
        "part": "the first of each instance type in turn, one group of interacting knobs varied "
        "at a time",
    }[choice.kind]
    found = [Entry("measured", f"{choice.candidates} of {whole}: {how}")]
    crossed = [group for group in choice.groups if len(group) > 1]
    if choice.left_out:
        found += [Entry("together", ", ".join(group)) for group in crossed]
        cut = f"; not every value is measured of {', '.join(choice.cut)}" if choice.cut else ""
        todo = f"{raised(choice.needs)}, or " if choice.needs else ""
        found.append(
            Entry(
                "left out",
                f"{choice.left_out}: {_why_left_out(choice)}{cut}; {todo}sweep what matters in a "
                "job of type advanced",
            )
        )
    return found


def _why_left_out(choice: Choice) -> str:
    if not choice.needs:
        return f"{MOST_CANDIDATES} candidates are the most that a job has room for"
    limits = " and ".join(one.limit for one in choice.needs)
    verb = "has" if len(choice.needs) == 1 else "have"
    return f"{limits} {verb} room for {counted(choice.room, 'candidate')} with finals"
