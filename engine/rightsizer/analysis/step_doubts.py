"""All doubts that a step's own facts raise: the machine's, the instrument's, the server's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rightsizer.analysis.delivery import (
    count_doubts,
    drop_doubts,
    lag_doubts,
    little_doubts,
    slip_doubts,
)
from rightsizer.analysis.figures import Doubt
from rightsizer.analysis.percentiles import nearest_rank
from rightsizer.analysis.server_facts import (
    away_doubts,
    backlog_doubts,
    starved_doubts,
    throttled_doubts,
)
from rightsizer.analysis.steadiness import (
    Shift,
    drift_doubts,
    level_shift,
    wander_doubts,
    warm_up,
    warm_up_doubt,
)
from rightsizer.analysis.validity import health_doubts
from rightsizer.analysis.windows import Floats, Stretch, Window, started_in, stretch_of
from rightsizer.hosts.records import Usage
from rightsizer.samples import Outcome, Samples
from rightsizer.traffic.records import StepRecord
from rightsizer.units import NS_PER_MS


@dataclass(frozen=True, eq=False)
class Settled:
    """A step's window without warm-up, and what lies in it."""

    window: Window
    stretch: Stretch
    shift: Shift | None
    """Of its level; None: the load is not meant to be the same throughout."""
    notes: Sequence[Doubt] = ()


def settled(samples: Samples, record: StepRecord, window: Window, timeout_s: float) -> Settled:
    """The window without what its latencies show to be warm-up still, and the note that says so."""
    mode = record.step.mode
    stretch = stretch_of(samples, window, mode, timeout_s)
    if not _has_one_load(record):
        return Settled(window, stretch, None)
    timed = stretch.timed
    shift = level_shift(timed.latency_ms)
    cut = warm_up(timed.latency_ms, shift)
    if not cut:
        return Settled(window, stretch, shift)
    shorter = Window(int(timed.starts_ns[cut]), window.end_ns)
    stretch = stretch_of(samples, shorter, mode, timeout_s)
    note = warm_up_doubt(window.length_s - shorter.length_s, window.length_s)
    return Settled(shorter, stretch, level_shift(stretch.timed.latency_ms), (note,))


def validity_doubts(
    own: Sequence[Samples],
    records: Sequence[StepRecord],
    parts: Sequence[Settled],
    usage: Sequence[Usage],
) -> list[Doubt]:
    """Whether it was the server that was measured, and one server. One entry each a merged step."""
    found = [doubt for record in records for doubt in health_doubts(record.health)]
    found += throttled_doubts(usage, [part.window for part in parts])
    for samples, record, part in zip(own, records, parts, strict=True):
        found += _of_part(samples, record, part, alone=len(records) == 1)
        found += part.notes
    return found


def _of_part(samples: Samples, record: StepRecord, part: Settled, *, alone: bool) -> list[Doubt]:
    """Of the samples of one record."""
    step, health = record.step, record.health
    window, arrivals = part.window, len(part.stretch)
    latency = part.stretch.timed.latency_ms
    median_ms = nearest_rank(latency, 0.5) if len(latency) else None
    found = lag_doubts(health.loop_lag_p99_ms, median_ms)
    if step.mode == "open":
        found += slip_doubts(_slips_ms(samples, window), median_ms)
        if step.rate_per_s is not None and step.arrivals in ("poisson", "constant"):
            found += count_doubts(arrivals, step.rate_per_s, window.length_s)
        dropped_ns = part.stretch.starts_ns[part.stretch.outcomes == Outcome.DROPPED]
        found += drop_doubts(samples, dropped_ns, arrivals)
        found += backlog_doubts(samples, window)
    elif alone and part.shift is not None and len(latency) == arrivals:
        found += little_doubts(latency, step.users or 1, window.length_s)
    found += away_doubts(samples, step.mode, health)
    found += starved_doubts(samples)
    if alone and part.shift is not None:
        # A loop of many users is slow to vary by itself.
        unsteady = drift_doubts(latency, part.shift)
        wander = wander_doubts(len(latency), part.shift) if step.mode == "open" else []
        found += unsteady or wander
    return found


def _slips_ms(samples: Samples, window: Window) -> Floats:
    """How late the window's requests went out."""
    sent = started_in(samples, window, "open") & (samples["outcome"] != Outcome.DROPPED)
    late: Floats = (samples["start_ns"][sent] - samples["intended_ns"][sent]) / NS_PER_MS
    return late


def _has_one_load(record: StepRecord) -> bool:
    """Whether the load is meant to be the same throughout: neither a trace nor levels."""
    step = record.step
    return step.arrivals != "trace" if step.mode == "open" else len(step.levels) == 1
