"""A measurement that the machine has spoilt is repeated, as the engine advises."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

ADVICE = "repeat it when the machine is quiet"
PAUSES_S = (0.0, 5.0, 15.0, 30.0)
"""Before each repetition: what takes a shared machine's CPUs goes on for a while."""


def until_quiet(measure: Callable[[], Result], is_spoilt: Callable[[Result], bool]) -> Result:
    """What `measure` gives, once the machine did not spoil it; the last one where it always did."""
    found = measure()
    for pause_s in PAUSES_S:
        if not is_spoilt(found):
            break
        time.sleep(pause_s)
        found = measure()
    return found
