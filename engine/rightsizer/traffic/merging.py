"""What several generator processes report, as if one had. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from rightsizer.schedule import Step
from rightsizer.traffic.records import Health, Progress, StepRecord

Report = dict[str, Any]
_ADDED = ("connections", "reopened", "lost_workers")


def merged_progress(reports: Sequence[Report], committed: int) -> Progress:
    """The latest progress of each process: counts and rates added, the slowest one's P95."""
    known = [report["p95_ms"] for report in reports if report["p95_ms"] is not None]
    return Progress(
        elapsed_s=max(report["elapsed_s"] for report in reports),
        users=sum(report["users"] for report in reports),
        attempted=sum(report["attempted"] for report in reports),
        succeeded=sum(report["succeeded"] for report in reports),
        errors=sum(report["errors"] for report in reports),
        per_s=sum(report["per_s"] for report in reports),
        p95_ms=max(known, default=None),
        committed=committed,
    )


def merged_record(step: Step, ends: Sequence[Report], committed: int, lost: int) -> StepRecord:
    """The step's end as each process still there reports it; `lost` are not there any more."""
    return StepRecord(
        step=step,
        begin_ns=min(end["begin_ns"] for end in ends),
        end_ns=max(end["end_ns"] for end in ends),
        drained_ns=max(end["drained_ns"] for end in ends),
        committed=committed,
        complete=not lost and all(end["complete"] for end in ends),
        journal=merged_journal([end["journal"] for end in ends]),
        # Of the busiest: each has one core at most, and one that is short of it is late.
        generator_cpu_ratio=max(end["generator_cpu_ratio"] for end in ends),
        content_checked=sum(end["content_checked"] for end in ends),
        content_refused=sum(end["content_refused"] for end in ends),
        health=merged_health([end["health"] for end in ends], lost),
    )


def merged_journal(journals: Iterable[Sequence[Sequence[int]]]) -> tuple[tuple[int, int], ...]:
    """(ns, users of all processes) at each change of any; equal instants become one."""
    changes = sorted(
        (at_ns, number, users)
        for number, journal in enumerate(journals)
        for at_ns, users in journal
    )
    now: dict[int, int] = {}
    merged: dict[int, int] = {}
    for at_ns, number, users in changes:
        now[number] = users
        merged[at_ns] = sum(now.values())
    return tuple(merged.items())


def merged_health(reports: Sequence[Report], lost: int) -> Health:
    """The worst of each figure, for one ailing process spoils the step; counts are added."""
    values: Report = {}
    for name in (field.name for field in fields(Health)):
        known = [report[name] for report in reports if report[name] is not None]
        values[name] = sum(known) if name in _ADDED else max(known, default=None)
    return Health(**{**values, "lost_workers": lost})
