"""A self-test as people read it: its checks, and what this machine's numbers are good for."""

from __future__ import annotations

from rightsizer import events
from rightsizer.calibration.judging import Check
from rightsizer.machines import format_cpus
from rightsizer.report.cells import Columns, fold_one, table_text, width_of
from rightsizer.report.entries import Entry, Section, section_text
from rightsizer.report.layout import aligned, filled, one_line
from rightsizer.selftesting.outcome import SelfTest
from rightsizer.units import counted, duration

_STYLES = {"pass": "green", "weak": "yellow", "fail": "red"}
_HEADERS = ("Check", "Of", "Judgement", "Found")


def selftest_text(found: SelfTest, width: int | None) -> str:
    """Checks, claims and the closing sentence, without a newline at the end.

    `width` is the terminal's; None where there is no terminal: then a row is one line.
    """
    parts = [_machine(found)]
    if found.checks:
        parts.append(checks_table(found.checks, width))
    for title, holds in (("can be trusted for", True), ("cannot be trusted for", False)):
        entries = tuple(Entry(c.about, c.text) for c in found.claims if c.holds is holds)
        if entries:
            parts.append(section_text(Section(f"This machine's numbers {title}", entries), width))
    said = selftest_sentence(found)
    parts.append(said if width is None else filled(said, width))
    return "\n\n".join(parts)


def checks_table(checks: tuple[Check, ...], width: int | None) -> str:
    """One row a check, in the order they were run."""
    rows = [[check.name, check.of, check.judgement, one_line(check.says)] for check in checks]
    if width is None:
        return "\n".join(aligned(_HEADERS, rows))
    columns: Columns = [
        [[(header, "bold")], *([(row[i], "")] for row in rows)] for i, header in enumerate(_HEADERS)
    ]
    columns[2][1:] = [[(check.judgement, _STYLES[check.judgement])] for check in checks]
    if width_of(columns) > width:
        columns = fold_one(columns, len(columns) - 1, width)
    return table_text(columns, width)


def selftest_sentence(found: SelfTest) -> str:
    """How it ended, in one line."""
    counts = [
        f"{sum(check.judgement == judgement for check in found.checks)} {judgement}"
        for judgement in ("pass", "weak", "fail")
    ]
    ended = "Stopped" if found.stopped else "Done"
    said = f"{ended} after {duration(found.wall_s)}: {', '.join(counts)}."
    if found.judgement == "fail":
        said += " Rely on no number of this machine that a failed check is about."
    if any(check.name == "noise" and check.judgement == "weak" for check in found.checks):
        said += " Others were at work on this machine: repeat it when that is quiet."
    return said


def selftest_line(event: events.SelftestEvent) -> str:
    """An event as a line of progress."""
    match event:
        case events.SelftestStarted():
            groups = counted(event.groups, "group")
            return f"self-test: {groups} of checks, about {duration(event.expected_s)}"
        case events.ChecksStarted():
            about = duration(event.expected_s)
            return f"{event.number}/{event.of}  {event.title}, about {about}"
        case events.CheckEnded(check=check):
            # The table says the rest; what is not well should not have to wait for it.
            why = "" if check.judgement == "pass" else f": {one_line(check.says)}"
            return f"     {check.judgement}  {check.name}, {check.of}{why}"


def _machine(found: SelfTest) -> str:
    placement = found.placement
    where = (
        f"generator on CPU {format_cpus(placement.generator_cpus)}, "
        f"servers on CPU {format_cpus(placement.server_cpus)}"
    )
    together = ", co-located" if placement.co_located else ""
    return f"{found.processor}: {where}{together}"
