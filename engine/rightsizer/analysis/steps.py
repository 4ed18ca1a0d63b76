"""Samples of a step to its figures, by the definitions of the README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rightsizer.analysis.doubts import (
    generator_doubts,
    sample_doubts,
    step_cut_short,
)
from rightsizer.analysis.excess import Excess, excess_of
from rightsizer.analysis.figures import (
    Basis,
    Interval,
    PayloadFigures,
    Requests,
    StepFigures,
    Verdict,
)
from rightsizer.analysis.intervals import percentile_interval, throughput_interval
from rightsizer.analysis.percentiles import PERCENTILES, percentiles
from rightsizer.analysis.step_doubts import Settled, settled, validity_doubts
from rightsizer.analysis.utilisation import (
    accelerator_percent,
    cpu_percent,
    memory_percent,
    runnable_threads,
)
from rightsizer.analysis.windows import Floats, Stretch, Window, by_step, joined, window_of
from rightsizer.hosts.records import Usage
from rightsizer.samples import FAILURES, Outcome, Samples
from rightsizer.schedule import group_short
from rightsizer.spec import LimitSpec
from rightsizer.traffic.records import StepRecord

UNLOADED_VALUES = 400
MIN_STEP_SAMPLES = 100
"""Neighbouring closed steps with fewer samples in their windows are merged."""


@dataclass(frozen=True)
class Conditions:
    """What the samples are judged by."""

    limit: LimitSpec
    request_timeout_s: float
    payload_names: Sequence[str]
    vcpus: int
    memory_bytes: int
    merges_short: bool = True
    """Whether neighbouring closed steps of few samples are merged: those of phases and stairs."""


def count(outcomes: npt.NDArray[np.uint8]) -> Requests:
    """Attempts by outcome, shape (n,)."""
    by = np.bincount(outcomes, minlength=len(Outcome))
    succeeded = int(by[Outcome.SUCCEEDED])
    failed = int(sum(by[kind] for kind in FAILURES))
    timed_out, unfinished = int(by[Outcome.TIMED_OUT]), int(by[Outcome.UNFINISHED])
    attempted = succeeded + failed + timed_out + unfinished
    return Requests(
        attempted, succeeded, failed, timed_out, unfinished, dropped=int(by[Outcome.DROPPED])
    )


def error_ratio(requests: Requests) -> float:
    """(failed + timed out + dropped) / (attempted + dropped); 0 where nothing was attempted."""
    total = requests.attempted + requests.dropped
    wrong = requests.failed + requests.timed_out + requests.dropped
    return wrong / total if total else 0.0


def judge_steps(
    samples: Samples,
    records: Sequence[StepRecord],
    usage: Sequence[Usage],
    conditions: Conditions,
) -> list[StepFigures]:
    """The figures of every step, short closed neighbours merged."""
    own = by_step(samples, [record.step.index for record in records])
    parts = [
        settled(samples, record, window_of(record), conditions.request_timeout_s)
        for samples, record in zip(own, records, strict=True)
    ]
    counts = [float(len(part.stretch)) for part in parts]
    short = [
        conditions.merges_short and record.step.mode == "closed" and n < MIN_STEP_SAMPLES
        for record, n in zip(records, counts, strict=True)
    ]
    return [
        _judge(
            [own[i] for i in group],
            [records[i] for i in group],
            [parts[i] for i in group],
            usage,
            conditions,
        )
        for group in group_short(counts, short, MIN_STEP_SAMPLES)
    ]


def _judge(
    own: Sequence[Samples],
    records: Sequence[StepRecord],
    parts: Sequence[Settled],
    usage: Sequence[Usage],
    conditions: Conditions,
) -> StepFigures:
    mode = records[0].step.mode
    windows = [part.window for part in parts]
    measured = joined([part.stretch for part in parts])
    requests, timed = count(measured.outcomes), measured.timed
    latency = timed.latency_ms
    at = PERCENTILES[conditions.limit.percentile]
    p50, p90, p95, p99, at_limit = (
        percentiles(latency, [0.5, 0.9, 0.95, 0.99, at]) if len(latency) else [None] * 5
    )
    achieved, achieved_ci = _throughput(own, records, windows)
    excess = _excess(latency, mode, conditions.limit)
    generator = max(record.generator_cpu_ratio for record in records)
    errors = error_ratio(requests)
    cut_short = _cut_short(records, windows)
    doubts = (
        *generator_doubts(generator),
        *validity_doubts(own, records, parts, usage),
        *sample_doubts(len(measured), at),
        *([step_cut_short()] if cut_short else []),
    )
    verdict = _verdict(errors, at_limit, len(measured), conditions.limit)
    if any(doubt.severity == "blocks" for doubt in doubts):
        verdict = "invalid"
    return StepFigures(
        mode=mode,
        label=_label(records),
        users=max((r.step.users or 0 for r in records), default=0) or None,
        rate_per_s=records[0].step.rate_per_s,
        window_s=sum(window.length_s for window in windows),
        warm_up_cut_s=_cut_s(records, windows),
        n=len(measured),
        achieved_per_s=achieved,
        achieved_per_s_ci=achieved_ci,
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        latency_ms=at_limit,
        latency_ms_ci=_latency_interval(timed, at, windows),
        error_ratio=errors,
        requests=requests,
        over_limit_ratio=None if excess is None else excess.ratio,
        design_effect=None if excess is None else excess.design_effect,
        unloaded_ms=_unloaded(latency) if _is_unloaded(records) else (),
        by_payload=_by_payload(timed, at_limit, conditions.payload_names),
        cpu_utilization_percent=cpu_percent(usage, windows, conditions.vcpus),
        memory_utilization_percent=memory_percent(usage, windows, conditions.memory_bytes),
        accelerator_utilization_percent=accelerator_percent(usage, windows),
        runnable_threads=runnable_threads(usage, windows),
        generator_cpu_ratio=generator,
        verdict=verdict,
        doubts=doubts,
    )


def _excess(latency: Floats, mode: Basis, limit: LimitSpec) -> Excess | None:
    if mode != "open" or limit.latency_ms is None:
        return None
    return excess_of(latency, limit.latency_ms)


def _is_unloaded(records: Sequence[StepRecord]) -> bool:
    levels = [level.users for record in records for level in record.step.levels]
    return bool(levels) and max(levels) == 1


def _unloaded(latency: Floats) -> tuple[float, ...]:
    """The distribution in so many values, each standing for as many requests."""
    if len(latency) <= UNLOADED_VALUES:
        return tuple(np.sort(latency).tolist())
    middles = (np.arange(UNLOADED_VALUES) + 0.5) / UNLOADED_VALUES
    return tuple(percentiles(latency, middles.tolist()))


def _cut_short(records: Sequence[StepRecord], windows: Sequence[Window]) -> bool:
    """Whether less than half of what was planned to be measured was: a glimpse, not a window."""
    planned_s = sum(record.step.duration_s - record.step.warmup_s for record in records)
    whole = all(record.complete for record in records)
    return not whole and sum(window.length_s for window in windows) < planned_s / 2


def _cut_s(records: Sequence[StepRecord], windows: Sequence[Window]) -> float:
    """What was cut off beyond the planned warm-up."""
    meant = sum(window_of(record).length_s for record in records)
    return meant - sum(window.length_s for window in windows)


def _label(records: Sequence[StepRecord]) -> str:
    if records[0].step.mode == "open":
        return records[0].step.label
    users = [level.users for record in records for level in record.step.levels]
    low, high = min(users), max(users)
    return f"{low}-{high} users" if low != high else records[0].step.label


def _verdict(errors: float, latency: float | None, n: int, limit: LimitSpec) -> Verdict:
    if n == 0:
        return "invalid"
    if errors > limit.max_error_ratio:
        return "over-errors"
    if limit.latency_ms is not None and (latency is None or latency > limit.latency_ms):
        return "over-latency"
    return "within-limits"


def _throughput(
    own: Sequence[Samples], records: Sequence[StepRecord], windows: Sequence[Window]
) -> tuple[float, Interval | None]:
    """Invocations completed in the windows over their length, per second."""
    ends = []
    for part, window in zip(own, windows, strict=True):
        end_ns = part["end_ns"]
        inside = (end_ns >= window.begin_ns) & (end_ns < window.end_ns)
        ends.append(np.sort(end_ns[inside & (part["outcome"] == Outcome.SUCCEEDED)]))
    length_s = sum(window.length_s for window in windows)
    rate = sum(len(part) for part in ends) / length_s if length_s > 0 else 0.0
    if len(windows) != 1 or records[0].step.mode == "open" or len(records[0].step.levels) != 1:
        return rate, None
    found = throughput_interval(ends[0], records[0].step.users or 1)
    if found is None or rate == 0:
        return rate, None
    # Centred on the reported rate: the window's edges cost a fraction of one completion.
    return rate, (min(found[0], rate), max(found[1], rate))


def _latency_interval(timed: Stretch, at: float, windows: Sequence[Window]) -> Interval | None:
    if len(windows) != 1 or not len(timed):
        return None
    return percentile_interval(timed.starts_ns, timed.latency_ms, at)


def _by_payload(
    timed: Stretch, at_limit: float | None, names: Sequence[str]
) -> dict[str, PayloadFigures]:
    if at_limit is None:
        return {}
    above = timed.latency_ms >= at_limit
    total_above = max(1, int(np.count_nonzero(above)))
    figures: dict[str, PayloadFigures] = {}
    for index in np.unique(timed.payloads).tolist():
        own = timed.payloads == index
        p50, p95 = percentiles(timed.latency_ms[own], [0.5, 0.95])
        share = int(np.count_nonzero(above & own)) / total_above
        name = names[index] if index < len(names) else str(index)
        figures[name] = PayloadFigures(int(np.count_nonzero(own)), p50, p95, share)
    return figures
