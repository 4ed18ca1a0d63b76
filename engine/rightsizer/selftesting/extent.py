"""How much the self-test does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """How much is done: lengths of steps, s, and the laws whose maximum is looked for."""

    ceiling_s: float
    floor_s: float
    laws: tuple[str, ...]
    truth_s: float
    stall_s: float
    caching_s: float
    repeat_s: float | None
    """None: nothing is repeated."""


FULL = Extent(
    ceiling_s=2.5,
    floor_s=3.0,
    laws=("exponential", "fixed"),
    truth_s=18.0,
    stall_s=10.0,
    caching_s=2.0,
    repeat_s=8.0,
)
QUICK = Extent(
    ceiling_s=1.0,
    floor_s=1.0,
    laws=("exponential",),
    truth_s=8.0,
    stall_s=4.0,
    caching_s=1.0,
    repeat_s=None,
)
