"""Traffic arithmetic, pure: what load a traffic means at every moment. No clock, no Locust."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.random import default_rng  # numpy loads it late: not within a step

from rightsizer.errors import InputError
from rightsizer.spec import (
    PhaseSpec,
    PhasesTraffic,
    RateTraffic,
    StairsTraffic,
    Traffic,
    UsersTraffic,
)

MIN_STEP_S = 10.0
"""Neighbouring stretches of constant users planned shorter than this are merged."""

ARRIVALS_STREAM = 1
BLOCK = 1024
"""Gaps drawn at once."""

CAP_IN_FLIGHT = 1000
"""Open traffic: an arrival that finds this many requests in flight is dropped, and counted."""


@dataclass(frozen=True)
class Level:
    """`users` from `at_s` seconds into the step on."""

    at_s: float
    users: int


@dataclass(frozen=True)
class Step:
    """A stretch of traffic driven and judged as one. Closed steps have levels, open ones a rate."""

    index: int
    mode: Literal["closed", "open"]
    duration_s: float
    levels: tuple[Level, ...] = ()
    rate_per_s: float | None = None
    """Of a trace: on average."""
    arrivals: Literal["poisson", "constant", "gamma", "trace"] = "poisson"
    cut_s: float | None = None
    """Its warm-up, where whoever asked for the step knows better than the rule."""
    cv: float | None = None
    """Coefficient of variation of the gaps of gamma arrivals."""
    instants_s: tuple[float, ...] = ()
    """A trace's arrivals, from the step's start."""
    counts_per_min: tuple[int, ...] = ()
    """A trace's requests minute by minute."""

    @property
    def users(self) -> int | None:
        """The highest number of users; None for an open step."""
        return max((level.users for level in self.levels), default=None)

    @property
    def label(self) -> str:
        """`3 users`, `1-4 users` of a merged step, `40/s`."""
        if self.mode == "open":
            return f"{self.rate_per_s:g}/s"
        low, high = min(x.users for x in self.levels), max(x.users for x in self.levels)
        count = f"{low}" if low == high else f"{low}-{high}"
        return f"{count} user{'s' if high != 1 else ''}"

    @property
    def warmup_s(self) -> float:
        """What is cut from the step's start: a tenth of it, from 1 to 10 s, at most half."""
        if self.cut_s is not None:
            return self.cut_s
        return min(self.duration_s / 2, max(1.0, min(10.0, self.duration_s / 10)))


def users_at(phase: PhaseSpec, elapsed_s: float) -> int:
    """Users `elapsed_s` into a phase: initial + floor(spawn_rate_per_min * t / 60)."""
    # The nudge keeps 60/7 s at 7 a minute from falling one short by rounding.
    spawned = math.floor(phase.spawn_rate_per_min * elapsed_s / 60.0 + 1e-9)
    return phase.initial_users + spawned


def stretches(phase: PhaseSpec) -> list[tuple[float, int]]:
    """(length in s, users) of each stretch of constant users of a phase, in order."""
    every_s = 60.0 / phase.spawn_rate_per_min if phase.spawn_rate_per_min > 0 else math.inf
    found: list[tuple[float, int]] = []
    start_s = 0.0
    while start_s < phase.duration_s - 1e-9:
        end_s = min(phase.duration_s, every_s * (len(found) + 1))
        found.append((end_s - start_s, phase.initial_users + len(found)))
        start_s = end_s
    return found


def steps_of(traffic: Traffic) -> tuple[Step, ...]:
    """The steps of planned traffic; empty for traffic that is decided as it goes."""
    match traffic:
        case PhasesTraffic():
            return _closed([s for phase in traffic.phases for s in stretches(phase)])
        case StairsTraffic():
            each_s = traffic.duration_s / traffic.steps
            counts = range(1, traffic.steps + 1)
            return _closed([(each_s, traffic.users_per_step * k) for k in counts])
        case UsersTraffic():
            return _closed([(traffic.duration_s, traffic.users)])
        case RateTraffic():
            return (_open(traffic),)
    return ()


def _open(traffic: RateTraffic) -> Step:
    """The step of a rate, or of a trace whose numbers were read (`traces`)."""
    length_s = traffic.duration_s
    step = Step(0, "open", length_s, rate_per_s=traffic.per_s, arrivals=traffic.arrivals)
    if traffic.per_s is not None:
        return replace(step, cv=traffic.cv)
    assert not isinstance(traffic.times_s, str)
    assert not isinstance(traffic.per_min, str)
    step = replace(
        step,
        arrivals="trace",
        rate_per_s=1.0,
        instants_s=traffic.times_s or (),
        counts_per_min=traffic.per_min or (),
    )
    count = sum(1 for _ in arrivals(step, seed=0))
    if count == 0:
        what = f"the trace has no arrival within {length_s:g} s"
        raise InputError(what, "nothing would be measured", "raise traffic.duration_s")
    return replace(step, rate_per_s=count / length_s)


def closed_step(index: int, users: int, duration_s: float, cut_s: float | None = None) -> Step:
    """A step of constant users."""
    return Step(index, "closed", duration_s, levels=(Level(0.0, users),), cut_s=cut_s)


def group_short(lengths: Sequence[float], short: Sequence[bool], enough: float) -> list[range]:
    """Merge runs of `short` neighbours, left to right, into groups whose lengths reach `enough`.

    What is left at a run's end joins the run's last group. One that is not short stays alone, and
    so does a lone short one. Returns the index ranges of the groups, in order.
    """
    groups: list[range] = []
    for is_short, members in groupby(range(len(lengths)), key=lambda i: bool(short[i])):
        run = list(members)
        groups += _packed(run, lengths, enough) if is_short else [range(i, i + 1) for i in run]
    return groups


def _packed(run: Sequence[int], lengths: Sequence[float], enough: float) -> list[range]:
    packed: list[range] = []
    start, total = run[0], 0.0
    for i in run:
        total += lengths[i]
        if total >= enough:
            packed.append(range(start, i + 1))
            start, total = i + 1, 0.0
    if start <= run[-1]:
        first = packed.pop().start if packed else start
        packed.append(range(first, run[-1] + 1))
    return packed


def _closed(parts: Sequence[tuple[float, int]]) -> tuple[Step, ...]:
    lengths = [length for length, _ in parts]
    steps: list[Step] = []
    for group in group_short(lengths, [x < MIN_STEP_S for x in lengths], MIN_STEP_S - 1e-9):
        levels, at_s = [], 0.0
        for i in group:
            levels.append(Level(at_s, parts[i][1]))
            at_s += lengths[i]
        steps.append(Step(len(steps), "closed", at_s, levels=tuple(levels)))
    return tuple(steps)


def arrivals(step: Step, seed: int) -> Iterator[float]:
    """The open step's arrival instants, s from its start, ascending, all within its duration.

    Poisson gaps are independent exponentials of mean 1 / rate, gamma gaps are independent with the
    same mean and the given coefficient of variation; constant arrivals stand 1 / rate apart, the
    first half a gap in. A trace's instants are its own; its requests of a minute are spread over it
    by chance. The same (step, seed) gives the same instants.
    """
    assert step.rate_per_s is not None
    # Not the stream that payloads are drawn from: a long gap would choose the payload after it.
    random = default_rng([seed, step.index, ARRIVALS_STREAM])
    gap_s = 1.0 / step.rate_per_s
    if step.arrivals == "constant":
        count = math.ceil(step.duration_s * step.rate_per_s - 0.5)
        instants: Iterable[float] = ((i + 0.5) * gap_s for i in range(count))
    elif step.arrivals == "trace":
        instants = step.instants_s or _spread(step.counts_per_min, random)
    elif step.arrivals == "gamma":
        assert step.cv is not None
        shape, scale = 1.0 / step.cv**2, gap_s * step.cv**2
        instants = _renewals(lambda: random.gamma(shape, scale, BLOCK))
    else:
        instants = _renewals(lambda: random.exponential(gap_s, BLOCK))
    return takewhile(lambda at_s: at_s < step.duration_s, instants)


def _renewals(draw: Callable[[], npt.NDArray[np.float64]]) -> Iterator[float]:
    """Instants without end, their gaps drawn a block at a time."""
    now_s = 0.0
    while True:
        for gap_s in draw().tolist():
            now_s += gap_s
            yield now_s


def _spread(counts_per_min: Sequence[int], random: np.random.Generator) -> Iterator[float]:
    for minute, count in enumerate(counts_per_min):
        yield from (60.0 * (minute + np.sort(random.random(count)))).tolist()
