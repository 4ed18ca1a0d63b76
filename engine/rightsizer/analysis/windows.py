"""The measured part of a step, and the samples in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rightsizer.analysis.figures import Basis
from rightsizer.samples import FAILURES, Outcome, Samples
from rightsizer.schedule import Step
from rightsizer.traffic.records import StepRecord
from rightsizer.units import NS_PER_MS, NS_PER_S

Floats = npt.NDArray[np.float64]
Instants = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

CUT_OFF = (Outcome.TIMED_OUT, Outcome.UNFINISHED, Outcome.DROPPED)
"""They count at the timeout."""
SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


@dataclass(frozen=True)
class Window:
    """The measured part of a step: [begin, end) in ns."""

    begin_ns: int
    end_ns: int

    @property
    def length_s(self) -> float:
        """Never negative."""
        return max(0, self.end_ns - self.begin_ns) / NS_PER_S


def window_of(record: StepRecord) -> Window:
    """The step without its warm-up; drain is beyond its end by construction."""
    warmup_ns = int(record.step.warmup_s * NS_PER_S)
    return Window(min(record.begin_ns + warmup_ns, record.end_ns), record.end_ns)


def by_step(samples: Samples, indices: Sequence[int]) -> list[Samples]:
    """The samples of each step; views where they lie together, as those of one generator do."""
    steps = np.ascontiguousarray(samples["step"])
    if bool(np.all(steps[:-1] <= steps[1:])):
        sides = [np.searchsorted(steps, index, side) for index in indices for side in SIDES]
        return [samples[a:b] for a, b in zip(sides[::2], sides[1::2], strict=True)]
    return [samples[steps == index] for index in indices]


def starts_ns(samples: Samples, mode: Basis) -> Instants:
    """When each attempt began: as intended (open), or as it was (closed)."""
    found: Instants = samples["intended_ns" if mode == "open" else "start_ns"]
    return found


def started_in(samples: Samples, window: Window, mode: Basis) -> Mask:
    """Attempts whose start lies in the window."""
    starts = starts_ns(samples, mode)
    found: Mask = (starts >= window.begin_ns) & (starts < window.end_ns)
    return found


@dataclass(frozen=True, eq=False)
class Stretch:
    """A window's attempts, in the order of their starts, shapes (n,).

    In columns: whole samples of ten million attempts are 640 MB a copy.
    """

    outcomes: npt.NDArray[np.uint8]
    payloads: npt.NDArray[np.uint16]
    starts_ns: Instants
    latency_ms: Floats

    def __len__(self) -> int:
        """Attempts."""
        return len(self.outcomes)

    @property
    def timed(self) -> Stretch:
        """Those that did not fail: a failure has no latency."""
        failed = np.isin(self.outcomes, FAILURES)
        return self._only(~failed) if failed.any() else self

    def _only(self, which: Mask) -> Stretch:
        return Stretch(
            self.outcomes[which],
            self.payloads[which],
            self.starts_ns[which],
            self.latency_ms[which],
        )


def stretch_of(samples: Samples, window: Window, mode: Basis, timeout_s: float) -> Stretch:
    """What started in the window, of a step's samples."""
    chosen = np.flatnonzero(started_in(samples, window, mode))
    starts = starts_ns(samples, mode)[chosen]
    order = np.argsort(starts, kind="stable")
    chosen, starts = chosen[order], starts[order]
    outcomes = samples["outcome"][chosen]
    latency = (samples["end_ns"][chosen] - starts) / NS_PER_MS
    latency[np.isin(outcomes, CUT_OFF)] = timeout_s * 1000.0
    return Stretch(outcomes, samples["payload"][chosen], starts, latency)


def joined(stretches: Sequence[Stretch]) -> Stretch:
    """One after the other."""
    if len(stretches) == 1:
        return stretches[0]
    return Stretch(
        np.concatenate([stretch.outcomes for stretch in stretches]),
        np.concatenate([stretch.payloads for stretch in stretches]),
        np.concatenate([stretch.starts_ns for stretch in stretches]),
        np.concatenate([stretch.latency_ms for stretch in stretches]),
    )


def latencies_so_far(samples: Samples, step: Step, limit_ms: float, timeout_s: float) -> Floats:
    """A running open step's latencies, ms, in the order of their starts, its warm-up cut off.

    Of what was answered so far, those that started two limits before the last answer: later ones
    may still be in flight, the slow ones first of all.
    """
    if not len(samples):
        return np.empty(0)
    starts = starts_ns(samples, step.mode)
    settling_ns = int(2 * limit_ms * NS_PER_MS)
    window = Window(
        int(starts.min()) + int(step.warmup_s * NS_PER_S),
        int(samples["end_ns"].max()) - settling_ns,
    )
    return stretch_of(samples, window, step.mode, timeout_s).timed.latency_ms
