"""All doubts that a step's own facts raise: the machine's, the instrument's, the server's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
from rightsizer.analysis.steadiness import drift_doubts, wander_doubts, warm_up, warm_up_doubt
from rightsizer.analysis.validity import health_doubts
from rightsizer.analysis.windows import Floats, Window, latencies_ms, started_in, starts_ns
from rightsizer.hosts.base import Usage
from rightsizer.samples import FAILURES, Outcome, Samples
from rightsizer.traffic.base import StepRecord
from rightsizer.units import NS_PER_MS


def validity_doubts(
    own: Sequence[Samples],
    records: Sequence[StepRecord],
    windows: Sequence[Window],
    usage: Sequence[Usage],
    timeout_s: float,
) -> list[Doubt]:
    """Whether it was the server that was measured, and one server. One entry each a merged step."""
    found = [doubt for record in records for doubt in health_doubts(record.health)]
    found += throttled_doubts(usage, windows)
    for samples, record, window in zip(own, records, windows, strict=True):
        found += _of_stretch(samples, record, window, timeout_s, alone=len(records) == 1)
    return found


def settled_window(
    samples: Samples, record: StepRecord, window: Window, timeout_s: float
) -> tuple[Window, list[Doubt]]:
    """The window without what its latencies show to be warm-up still, and the note that says so."""
    if not _has_one_load(record):
        return window, []
    starts, latency = _in_order(samples, record, window, timeout_s)
    cut = warm_up(latency)
    if not cut:
        return window, []
    shorter = Window(int(starts[cut]), window.end_ns)
    return shorter, [warm_up_doubt(window.length_s - shorter.length_s, window.length_s)]


def _of_stretch(
    samples: Samples, record: StepRecord, window: Window, timeout_s: float, *, alone: bool
) -> list[Doubt]:
    """Of the samples of one record."""
    step, health = record.step, record.health
    measured = samples[started_in(samples, window, step.mode)]
    _, latency = _in_order(samples, record, window, timeout_s)
    median_ms = nearest_rank(latency, 0.5) if len(latency) else None
    found = lag_doubts(health.loop_lag_p99_ms, median_ms)
    if step.mode == "open":
        sent = measured[measured["outcome"] != Outcome.DROPPED]
        found += slip_doubts((sent["start_ns"] - sent["intended_ns"]) / NS_PER_MS, median_ms)
        if step.rate_per_s is not None and step.arrivals in ("poisson", "constant"):
            found += count_doubts(len(measured), step.rate_per_s, window.length_s)
        found += drop_doubts(samples, measured)
        found += backlog_doubts(samples, window)
    elif alone and _has_one_load(record) and len(latency) == len(measured):
        found += little_doubts(latency, step.users or 1, window.length_s)
    found += away_doubts(samples, step.mode, health)
    found += starved_doubts(samples)
    if alone and _has_one_load(record):
        # A loop of many users is slow to vary by itself.
        unsteady = drift_doubts(latency)
        found += unsteady or (wander_doubts(latency) if step.mode == "open" else [])
    return found


def _in_order(
    samples: Samples, record: StepRecord, window: Window, timeout_s: float
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Floats]:
    """(starts in ns, latencies in ms) of the window's requests that did not fail, by start."""
    mode = record.step.mode
    # Columns are picked, not whole samples: of a million those are 64 MB a copy.
    chosen = started_in(samples, window, mode) & ~np.isin(samples["outcome"], FAILURES)
    starts = starts_ns(samples, mode)[chosen]
    latency = latencies_ms(samples, mode, timeout_s)[chosen]
    order = np.argsort(starts, kind="stable")
    return starts[order], latency[order]


def _has_one_load(record: StepRecord) -> bool:
    """Whether the load is meant to be the same throughout: neither a trace nor levels."""
    step = record.step
    return step.arrivals != "trace" if step.mode == "open" else len(step.levels) == 1
