"""What stands below the table in every form: effects, rejected candidates, doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from rightsizer.analysis.figures import Doubt
from rightsizer.candidates import differing
from rightsizer.effects import Effect
from rightsizer.interactions import Interaction
from rightsizer.recommendation import Recommendation, Rejection
from rightsizer.report.layout import drawn, label, one_line, paragraph
from rightsizer.report.shared import shared_in
from rightsizer.results import Job
from rightsizer.units import factor, factors

DOUBTS_A_ROW = 2
_SEVERITIES = ("blocks", "weakens", "note")

LOG_LINES = 3
"""Of a rejected candidate's server, shown with the reason; the file holds them all."""


@dataclass(frozen=True)
class Entry:
    """A line with a head that stands out."""

    head: str
    text: str

    @property
    def line(self) -> str:
        """`head: text`."""
        return f"{self.head}: {self.text}"


@dataclass(frozen=True)
class Section:
    """Entries under a title."""

    title: str
    entries: tuple[Entry, ...]


def sections(job: Job, doubts_a_row: int | None = DOUBTS_A_ROW) -> list[Section]:
    """The sections that have something to say, in their order.

    An answer of `what-if` explains all its doubts: no other command shows it.
    """
    if job.asked is not None:
        doubts_a_row = None
    effects = (*effect_entries(job), *unknown_entries(job))
    found = (
        Section("Effect of each variable on the maximum, all else equal", effects),
        _dependent(job),
        _runs_out(job),
        Section("Not recommended", rejected_entries(job)),
        Section("Doubts", doubt_entries(job, doubts_a_row)),
    )
    return [section for section in found if section.entries]


def taught(job: Job) -> list[Section]:
    """What the sweep taught beside the effects that a page draws."""
    found = (Section("Not known", unknown_entries(job)), _dependent(job), _runs_out(job))
    return [section for section in found if section.entries]


def _dependent(job: Job) -> Section:
    return Section("Effects that depend on another variable", interaction_entries(job))


def _runs_out(job: Job) -> Section:
    return Section("What runs out first", bottleneck_entries(job))


def section_text(section: Section, width: int | None) -> str:
    """A section as text: one line an entry without a width, else filled to it."""
    lines = [f"{section.title}:", *(paragraph(e.line, width) for e in section.entries)]
    if width is None:
        return "\n".join(lines)
    text = Text("\n".join(lines))
    text.stylize("bold", 0, len(lines[0]))
    at = len(lines[0]) + 1
    for entry, line in zip(section.entries, lines[1:], strict=True):
        # A head folded over two lines is longer by the second one's indent: it stays plain.
        if line[2:].startswith(entry.head):
            text.stylize("cyan", at + 2, at + 2 + len(entry.head))
        at += len(line) + 1
    return drawn(text, width)


def effect_entries(job: Job) -> tuple[Entry, ...]:
    """Which variable matters, by how much, how sure; where unclear, how to know."""
    return tuple(
        Entry(one_line(f"{e.variable} {e.baseline} -> {e.value}"), _effect_text(e))
        for e in job.effects
    )


def _effect_text(effect: Effect) -> str:
    over = ", ".join(effect.averaged_over)
    mean = f", averaged over the measured settings of {one_line(over)}" if over else ""
    if effect.ratio_ci is None:
        how = "measuring longer, and a level over the limit, give the maxima intervals"
        return f"{factor(effect.ratio)} (no interval){mean}: unclear; {how}"
    measured = f"{factor(effect.ratio)} ({factors(effect.ratio_ci)}){mean}"
    if effect.verdict == "unclear":
        return f"{measured}: unclear; measuring longer narrows the interval"
    return f"{measured}: {'matters' if effect.verdict == 'matters' else 'no effect seen'}"


def unknown_entries(job: Job) -> tuple[Entry, ...]:
    """Which variable was varied without anything being known of its effect, and why."""
    return tuple(
        Entry(one_line(f"{x.variable} {' -> '.join(x.values)}"), one_line(f"not known: {x.why}"))
        for x in job.unknown_effects
    )


def interaction_entries(job: Job) -> tuple[Entry, ...]:
    """Each interaction that matters, and in one line those that cannot be excluded."""
    found = [
        Entry(one_line(f"{x.variable} {x.baseline} -> {x.value}"), _interaction_text(x))
        for x in job.interactions
        if x.verdict == "matters"
    ]
    open_ones = [x for x in job.interactions if x.verdict == "unclear"]
    pairs = dict.fromkeys(f"{x.variable} and {x.other}" for x in open_ones)
    if pairs:
        text = "whether these depend on each other; measuring longer narrows the intervals"
        found.append(Entry(one_line(f"unclear for {', '.join(pairs)}"), text))
    return tuple(found)


def _interaction_text(x: Interaction) -> str:
    first, second = factor(x.ratio_at_baseline), factor(x.ratio_at_value)
    return one_line(
        f"{first} with {x.other}={x.other_baseline}, {second} with {x.other}={x.other_value}: "
        f"they differ by {factor(x.ratio)} ({factors(x.ratio_ci)}): matters"
    )


def bottleneck_entries(job: Job) -> tuple[Entry, ...]:
    """Each row whose bottleneck was seen, with the figures that show it."""
    return tuple(
        Entry(f"row {row.rank}", f"{row.bottleneck.code}: {one_line(row.bottleneck.evidence)}")
        for row in job.recommendations
        if row.bottleneck is not None
    )


def rejected_entries(job: Job) -> tuple[Entry, ...]:
    """Each candidate that is no recommendation, and why."""
    shared = shared_in(job)
    return tuple(
        Entry(
            label(row.instance_type, differing(row.environment, shared), row.command),
            one_line(f"{row.reason}: {row.detail}" if row.detail else row.reason)
            + _last_words(row),
        )
        for row in job.rejected
    )


def _last_words(row: Rejection) -> str:
    """The last lines of the server's log, where it left any."""
    lines = [one_line(line) for line in row.log_tail.splitlines() if line.strip()]
    return f"; its log ends: {' | '.join(lines[-LOG_LINES:])}" if lines else ""


def worst_first(doubts: Sequence[Doubt]) -> list[Doubt]:
    """Most severe first, each code once."""
    ranked = sorted(doubts, key=lambda doubt: _SEVERITIES.index(doubt.severity))
    return list({doubt.code: doubt for doubt in reversed(ranked)}.values())[::-1]


def doubt_entries(job: Job, doubts_a_row: int | None) -> tuple[Entry, ...]:
    """A legend of the doubts, most severe first, each once with the rows that it concerns.

    With `doubts_a_row`, only of those that a table of so many a row shows; the others by name.
    """
    shown = {d.code for row in job.recommendations for d in worst_first(row.doubts)[:doubts_a_row]}
    every = [doubt for row in job.recommendations for doubt in row.doubts]
    found = [Entry(f"{d.code} (the job)", _advice(d)) for d in worst_first(job.doubts)]
    found += [
        Entry(f"{d.code} ({_rows(job, d.code)})", _message(job, d))
        for d in worst_first(every)
        if d.code in shown
    ]
    rest = [d.code for d in worst_first(every) if d.code not in shown]
    if rest:
        command = f"rightsizer show {job.id} --format markdown"
        found.append(Entry("also noted", f"{', '.join(rest)}; explained by: {command}"))
    return tuple(found)


def _has(row: Recommendation, code: str) -> bool:
    return any(doubt.code == code for doubt in row.doubts)


def _rows(job: Job, code: str) -> str:
    ranks = [str(row.rank) for row in job.recommendations if _has(row, code)]
    if len(ranks) == 1:
        return f"row {ranks[0]}"
    if len(ranks) == len(job.recommendations):
        return "every row"
    return f"rows {', '.join(ranks)}"


def _message(job: Job, doubt: Doubt) -> str:
    """The first row's words; said to be its own where another row's differ in their figures."""
    own = [
        (row.rank, other)
        for row in job.recommendations
        for other in row.doubts
        if other.code == doubt.code
    ]
    rank, first = own[0]
    differs = len({other.message for _, other in own}) > 1
    return (f"row {rank}: " if differs else "") + _advice(first)


def _advice(doubt: Doubt) -> str:
    return one_line(f"{doubt.message}; {doubt.next_step}" if doubt.next_step else doubt.message)
