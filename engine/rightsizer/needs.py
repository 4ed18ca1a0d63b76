"""Limits of a job that are too small for what is usual, and what it would take. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Limit = Literal["limits.max_trials", "limits.duration_s"]


@dataclass(frozen=True)
class Need:
    """A limit that would have to be larger."""

    limit: Limit
    wanted: int
    """Trials, or seconds."""


def need(limit: Limit, given: float, wanted: float) -> tuple[Need, ...]:
    """What a limit lacks; nothing where it is large enough."""
    return (Need(limit, math.ceil(wanted)),) if given < wanted else ()


def raised(needs: Sequence[Need]) -> str:
    """What to do: `raise limits.max_trials to 15 and limits.duration_s to 850`; or empty."""
    told = " and ".join(f"{one.limit} to {one.wanted}" for one in needs)
    return f"raise {told}" if told else ""
