"""Pass, weak or fail, and a sentence, for each check's figures. Noise alone never fails a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rightsizer.analysis.validity import health_doubts
from rightsizer.calibration.figures import (
    Caching,
    Ceiling,
    Figures,
    Floor,
    Noise,
    Repeat,
    Stall,
    Truth,
)
from rightsizer.traffic.records import Health
from rightsizer.units import (
    counted,
    fine_percent,
    given,
    interval,
    milliseconds,
    percent,
    signed_percent,
    significant,
    size,
)

Judgement = Literal["pass", "weak", "fail"]

STARVED_RATIO = 0.05
"""A generator that waits for a CPU longer than this has a higher ceiling than was seen."""
BUSY_RATIO = 0.9
"""A generator less busy than this was not what limited the rate."""
SLIP_WEAK_MS, SLIP_FAIL_MS = 2.0, 50.0
"""At the latter not even latencies of a second can be told to 5%."""
TRUTH_WEAK_RATIO, TRUTH_FAIL_RATIO = 0.15, 0.25
STALL_WEAK_RATIO, STALL_FAIL_RATIO = 0.03, 0.10
CACHED_LEAST_RATIO = 2.0
PLAIN_WEAK_RATIO, PLAIN_FAIL_RATIO = 0.10, 0.25
REPEAT_FAIL_RATIO = 0.5


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    """ceiling | floor | truth | stall | caching | repeat | noise"""
    of: str
    """What sets it apart from others of its name, such as the size of the bodies."""
    judgement: Judgement
    says: str
    figures: Figures | None
    """None: it could not be run."""


def not_run(name: str, of: str, why: str) -> Check:
    """A check that gave no figures."""
    return Check(name, of, "fail", f"it could not be run: {why}", None)


def judged(figures: Figures) -> Check:
    """The check with its judgement."""
    name, of, judge = _JUDGES[type(figures)]
    failed = getattr(figures, "failed", 0)
    if failed:
        why = f"{counted(failed, 'request')} failed on a server that answers every one"
        return Check(name, of(figures), "fail", why, figures)
    judgement, says = judge(figures)
    return Check(name, of(figures), judgement, says, figures)


def _ceiling(found: Ceiling) -> tuple[Judgement, str]:
    rate = f"{significant(found.per_s)}/s on {found.connections} connections"
    cost = f"{milliseconds(found.cpu_ms_per_request)} of CPU a request"
    if (found.run_delay_ratio or 0.0) > STARVED_RATIO:
        waited = f"the generator waited for a CPU {percent(found.run_delay_ratio)} of the time"
        return "weak", f"at least {rate}, {cost}: {waited}"
    if found.generator_cpu_ratio < BUSY_RATIO:
        busy = f"the generator used {percent(found.generator_cpu_ratio)} of its core"
        return "pass", f"at least {rate}, {cost}: {busy}, the server was the limit"
    return "pass", f"{rate}, {cost}"


def _floor(found: Floor) -> tuple[Judgement, str]:
    says = (
        f"adds P50 {milliseconds(found.p50_ms)}, P99 {milliseconds(found.p99_ms)}; "
        f"slip P99 {milliseconds(found.slip_p99_ms)}; "
        f"generator {percent(found.generator_cpu_ratio)} busy"
    )
    starved = (found.run_delay_ratio or 0.0) > STARVED_RATIO
    if starved:
        says += f", and waiting for a CPU {percent(found.run_delay_ratio)} of the time"
    if found.dropped:
        says += f"; {counted(found.dropped, 'arrival')} too late to be sent"
    if found.slip_p99_ms > SLIP_FAIL_MS:
        return "fail", says
    return (
        "weak" if starved or found.dropped or found.slip_p99_ms > SLIP_WEAK_MS else "pass"
    ), says


def _truth(found: Truth) -> tuple[Judgement, str]:
    true = f"truth {significant(found.true_per_s)}/s"
    if found.found_per_s is None or found.error_ratio is None:
        says = f"no maximum ({found.verdict}), {true}: {found.why_not}"
        return ("fail" if found.verdict == "limit-unmet" else "weak"), says
    if found.max_kind == "at_least" and found.error_ratio <= TRUTH_WEAK_RATIO:
        return "weak", f"only a lower bound, {significant(found.found_per_s)}/s, {true}"
    error = abs(found.error_ratio)
    known = interval(found.found_per_s_ci)
    says = (
        f"found {significant(found.found_per_s)}/s ({known}), {true}: off by "
        f"{signed_percent(found.error_ratio)}, "
        f"{'inside' if found.covered else 'outside'} the interval"
    )
    if error > TRUTH_FAIL_RATIO and not found.covered:
        return "fail", says
    return ("pass" if error <= TRUTH_WEAK_RATIO and found.covered else "weak"), says


def _stall(found: Stall) -> tuple[Judgement, str]:
    says = (
        f"P95 {milliseconds(found.p95_ms)} (server's record {milliseconds(found.true_p95_ms)}), "
        f"P99 {milliseconds(found.p99_ms)} ({milliseconds(found.true_p99_ms)}): "
        f"off by {signed_percent(found.off_ratio)}"
    )
    return _graded(abs(found.off_ratio), STALL_WEAK_RATIO, STALL_FAIL_RATIO), says


def _caching(found: Caching) -> tuple[Judgement, str]:
    says = (
        f"one body {milliseconds(found.cached_one_p50_ms)}, {found.bodies} bodies "
        f"{milliseconds(found.cached_many_p50_ms)} where answers are kept; "
        f"{milliseconds(found.plain_one_p50_ms)} and {milliseconds(found.plain_many_p50_ms)} "
        "where they are not"
    )
    if found.cached_ratio < CACHED_LEAST_RATIO:
        return "fail", f"the cache was not seen: {says}"
    return _graded(abs(found.plain_ratio - 1), PLAIN_WEAK_RATIO, PLAIN_FAIL_RATIO), says


def _repeat(found: Repeat) -> tuple[Judgement, str]:
    first, second = (
        f"{milliseconds(latency)}" + ("" if ci is None else f" ({interval(ci)})")
        for latency, ci in zip(found.latency_ms, found.latency_ms_ci, strict=True)
    )
    says = f"{found.percentile} {first} and {second}: {percent(found.apart_ratio)} apart"
    if found.overlap:
        return "pass", says
    if found.overlap is None:
        return "weak", f"{says}, too few requests for intervals"
    grade: Judgement = "fail" if found.apart_ratio > REPEAT_FAIL_RATIO else "weak"
    return grade, f"{says}, outside each other's interval"


def _noise(found: Noise) -> tuple[Judgement, str]:
    figures = (
        ("stolen by the hypervisor", found.steal_ratio),
        ("some process waiting for a CPU", found.pressure_ratio),
        ("the generator waiting, worst step", found.run_delay_ratio),
    )
    told = [f"{name} {fine_percent(value)}" for name, value in figures if value is not None]
    says = ", ".join(told) or "this platform does not tell"
    health = Health(
        run_delay_ratio=found.run_delay_ratio,
        host_steal_ratio=found.steal_ratio,
        clock_gap_s=found.suspended_s,
    )
    return ("weak" if health_doubts(health) else "pass"), says


def _graded(off: float, weak: float, fail: float) -> Judgement:
    return "fail" if off > fail else "weak" if off > weak else "pass"


_JUDGES: dict[type, tuple[str, Callable[[Any], str], Callable[[Any], tuple[Judgement, str]]]] = {
    Ceiling: ("ceiling", lambda x: size(x.body_bytes), _ceiling),
    Floor: ("floor", lambda x: f"{given(x.rate_per_s)}/s of {size(x.body_bytes)}", _floor),
    Truth: ("truth", lambda x: f"{x.law}, {given(x.service_ms)} ms", _truth),
    Stall: ("stall", lambda x: f"{given(x.pause_ms)} ms in {given(x.every_s)} s", _stall),
    Caching: ("caching", lambda x: f"1 body, {x.bodies} bodies", _caching),
    Repeat: ("repeat", lambda x: f"{given(x.rate_per_s)}/s, two seeds", _repeat),
    Noise: ("noise", lambda x: "all the time", _noise),
}
