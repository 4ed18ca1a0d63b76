"""A driven step over its time: throughput and latency in slices of it, for the eye. Pure.

A slice holds few requests, so its figures are no results: those are of whole windows (`steps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rightsizer.analysis.percentiles import nearest_rank
from rightsizer.analysis.windows import Window, by_step, stretch_of, window_of
from rightsizer.samples import Outcome, Samples
from rightsizer.traffic.records import StepRecord
from rightsizer.units import NS_PER_S

SHORTEST_S = 0.5
"""A slice is no shorter, unless the step is."""


@dataclass(frozen=True)
class Moment:
    """A slice of a step."""

    at_s: float
    """Its middle, from the begin of the trial's first step."""
    per_s: float
    """Invocations completed in it, over its length."""
    latency_ms: float | None
    """Of what started in it and did not fail; None where nothing did."""
    wrong: int
    """Attempts that started in it and failed, timed out, were dropped or did not end."""


@dataclass(frozen=True)
class StepHistory:
    """A step slice by slice. Times in s from the begin of the trial's first step."""

    label: str
    begin_s: float
    measured_s: float
    """Where the warm-up that was planned ends."""
    end_s: float
    moments: tuple[Moment, ...]


def histories(
    samples: Samples, records: Sequence[StepRecord], p: float, timeout_s: float, slices: int
) -> tuple[StepHistory, ...]:
    """Each step's history in at most so many slices, latency at the percentile `p` (0..1)."""
    if not records:
        return ()
    own = by_step(samples, [record.step.index for record in records])
    first_ns = records[0].begin_ns
    return tuple(
        _history(part, record, first_ns, p, timeout_s, slices)
        for part, record in zip(own, records, strict=True)
    )


def _history(
    samples: Samples, record: StepRecord, first_ns: int, p: float, timeout_s: float, slices: int
) -> StepHistory:
    whole = Window(record.begin_ns, record.end_ns)

    def since_s(at_ns: float) -> float:
        return (at_ns - first_ns) / NS_PER_S

    return StepHistory(
        label=record.step.label,
        begin_s=since_s(whole.begin_ns),
        measured_s=since_s(window_of(record).begin_ns),
        end_s=since_s(whole.end_ns),
        moments=_moments(samples, record, whole, since_s(whole.begin_ns), p, timeout_s, slices),
    )


def _moments(
    samples: Samples,
    record: StepRecord,
    whole: Window,
    begin_s: float,
    p: float,
    timeout_s: float,
    slices: int,
) -> tuple[Moment, ...]:
    if whole.length_s <= 0:
        return ()
    slices = max(1, min(slices, int(whole.length_s / SHORTEST_S)))
    edges = np.linspace(whole.begin_ns, whole.end_ns, slices + 1)
    each_s = whole.length_s / slices
    completed = samples["end_ns"][samples["outcome"] == Outcome.SUCCEEDED]
    per_slice = np.histogram(completed, edges)[0]
    stretch = stretch_of(samples, whole, record.step.mode, timeout_s)
    wrong = np.histogram(stretch.starts_ns[stretch.outcomes != Outcome.SUCCEEDED], edges)[0]
    timed = stretch.timed
    at = np.searchsorted(timed.starts_ns, edges)
    return tuple(
        Moment(
            at_s=begin_s + (number + 0.5) * each_s,
            per_s=float(per_slice[number]) / each_s,
            latency_ms=nearest_rank(timed.latency_ms[low:high], p) if high > low else None,
            wrong=int(wrong[number]),
        )
        for number, (low, high) in enumerate(pairwise(at))
    )
