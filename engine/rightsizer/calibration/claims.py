"""What this machine's numbers can be trusted for, said from the checks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from rightsizer.analysis.doubts import GENERATOR_BUSY_RATIO
from rightsizer.calibration.figures import Floor, Repeat, Truth
from rightsizer.calibration.judging import STARVED_RATIO, Check
from rightsizer.units import duration, given, milliseconds, percent, size

OWN_SHARE_RATIO = 0.05
"""Of a latency: more than this from the instrument itself is too much."""

LEAST_ERROR_RATIO = 0.01
"""Known maxima are known to about this."""

F = TypeVar("F")


@dataclass(frozen=True)
class Claim:
    """What can be trusted, or cannot."""

    about: str
    """rates | latencies | maxima | differences | pauses | payloads | placement"""
    holds: bool
    text: str


def claims(checks: Sequence[Check], *, co_located: bool) -> tuple[Claim, ...]:
    """One claim for each thing that was looked at; what was not is not claimed."""
    found = [
        _rates(checks),
        _latencies(checks),
        _maxima(checks),
        _differences(checks),
        _seen(
            checks,
            "stall",
            "pauses",
            "what callers wait while a server pauses is in the percentiles",
            "percentiles of a server that pauses: they differ from its own record",
        ),
        _seen(
            checks,
            "caching",
            "payloads",
            "one request body compared with many: a server's cache shows, and only a cache",
            "one request body compared with many: a difference may be the instrument's",
        ),
        _placement(co_located),
    ]
    return tuple(claim for claim in found if claim is not None)


def _rates(checks: Sequence[Check]) -> Claim | None:
    named = _named(checks, "floor")
    if not named:
        return None
    found = _figures(named, Floor)
    if not found:
        return Claim("rates", False, "no rate: a server that does nothing could not be driven")
    fastest = {
        floor.body_bytes: f"{given(floor.rate_per_s)}/s of {size(floor.body_bytes)}"
        for floor in sorted(found, key=lambda floor: floor.rate_per_s)
        if _unhurried(floor)
    }
    if not fastest:
        return Claim("rates", False, "no rate: the generator had no CPU to itself")
    text = (
        f"open traffic up to {' and '.join(fastest.values())} from one generator process, which is "
        f"then {percent(GENERATOR_BUSY_RATIO)} busy or less; --workers adds processes"
    )
    return Claim("rates", True, text)


def _latencies(checks: Sequence[Check]) -> Claim | None:
    named = _named(checks, "floor")
    if not named:
        return None
    found = sorted(_figures(named, Floor), key=lambda floor: floor.rate_per_s)
    if not found:
        return Claim("latencies", False, "no latency: requests leave too late, or fail")
    smallest = min(floor.body_bytes for floor in found)
    found = [floor for floor in found if floor.body_bytes == smallest]
    # Where the generator never had its time, the latencies of the time that it had.
    found = list(filter(_unhurried, found)) or found
    said = [
        f"at {given(floor.rate_per_s)}/s medians above "
        f"{milliseconds(floor.p50_ms / OWN_SHARE_RATIO)} and P99s above "
        f"{milliseconds(floor.p99_ms / OWN_SHARE_RATIO)}"
        for floor in dict.fromkeys((found[0], found[-1]))
    ]
    own = f"below, more than {percent(OWN_SHARE_RATIO)} is the instrument's own"
    return Claim("latencies", True, f"{', '.join(said)}; {own}")


def _unhurried(floor: Floor) -> bool:
    """Whether the generator had a CPU to itself, and time left on it."""
    waited_ratio = floor.run_delay_ratio or 0.0
    return floor.generator_cpu_ratio <= GENERATOR_BUSY_RATIO and waited_ratio <= STARVED_RATIO


def _maxima(checks: Sequence[Check]) -> Claim | None:
    named = _named(checks, "truth")
    if not named:
        return None
    if any(check.judgement == "fail" for check in named):
        return Claim("maxima", False, "no maximum: one that is known was missed")
    found = [f for f in _figures(named, Truth) if f.max_kind != "at_least"]
    errors = [abs(truth.error_ratio) for truth in found if truth.error_ratio is not None]
    if not errors:
        return Claim("maxima", False, "no maximum: none was found here in so short a time")
    sure = [x.uncertainty_ratio for x in found if x.uncertainty_ratio is not None]
    about = percent(max([*errors, *sure]))
    text = (
        f"within about {about} after {duration(found[0].budget_s)} of traffic, closer after more: "
        f"known ones were missed by {percent(max(LEAST_ERROR_RATIO, *errors))} at most"
    )
    missed = sum(not truth.covered for truth in found if truth.error_ratio is not None)
    if missed:
        text += f", {missed} of {len(errors)} by more than their interval allows"
    return Claim("maxima", True, text)


def _differences(checks: Sequence[Check]) -> Claim | None:
    named = _named(checks, "repeat")
    if not named:
        return None
    found = _figures(named, Repeat)
    if not found:
        return Claim("differences", False, "no difference between two measurements")
    apart = percent(max(repeat.apart_ratio for repeat in found))
    text = f"two short runs of one load lay {apart} apart in {found[0].percentile}: "
    return Claim("differences", True, f"{text}take no such difference for an effect")


def _seen(checks: Sequence[Check], name: str, about: str, good: str, bad: str) -> Claim | None:
    named = _named(checks, name)
    if not named:
        return None
    holds = all(check.judgement != "fail" for check in named)
    return Claim(about, holds, good if holds else bad)


def _placement(co_located: bool) -> Claim | None:
    if not co_located:
        return None
    text = "how fast a server is: here it and the generator are co-located on one physical core"
    return Claim("placement", False, text)


def _named(checks: Sequence[Check], name: str) -> list[Check]:
    return [check for check in checks if check.name == name]


def _figures(checks: Sequence[Check], kind: type[F]) -> list[F]:
    """The figures of those that did not fail."""
    sound = [check.figures for check in checks if check.judgement != "fail"]
    return [figures for figures in sound if isinstance(figures, kind)]
