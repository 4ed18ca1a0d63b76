"""Fleets and money: how many instances carry a target, and what they cost. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rightsizer.analysis import doubts
from rightsizer.analysis.figures import Doubt, Interval
from rightsizer.spec import TargetSpec
from rightsizer.units import HOURS_PER_MONTH, MINUTES_PER_HOUR

HEADROOM_RATIO = 0.7
"""The utilisation of the second instance count that every fleet shows."""


@dataclass(frozen=True)
class Price:
    """USD an hour of one instance (None: not known) and how far it can be trusted."""

    per_hour_usd: float | None
    basis: str
    date: str = ""
    """ISO 8601; empty where it is not known."""
    idle_and_loaded_usd: Sequence[float] | None = None
    """Of a cost model: an hour at no and at full utilisation; in between it is linear."""

    def at(self, utilisation_ratio: float) -> Price:
        """The same where so much of the instance is used; only a cost model's differs."""
        if self.idle_and_loaded_usd is None:
            return self
        idle, loaded = self.idle_and_loaded_usd
        return replace(self, per_hour_usd=idle + utilisation_ratio * (loaded - idle))


@dataclass(frozen=True)
class Fleet:
    """The instances that carry the target (one, without a target)."""

    instance_count: int
    instance_count_at_70_percent: int | None
    max_invocations_per_min: float
    max_invocations_per_min_ci: Interval | None
    cost_per_hour_usd: float | None
    cost_per_month_usd: float | None
    cost_per_inference_at_target_usd: float | None
    utilisation_at_target_ratio: float | None


def cost_per_inference_usd(per_hour_usd: float, max_per_min: float) -> float:
    """Price per hour / (60 x maximum), at full load; for a fleet, both of the fleet."""
    return per_hour_usd / (MINUTES_PER_HOUR * max_per_min)


def instance_count(max_per_min: float, target: TargetSpec | None) -> int:
    """max(min_instances, ceil(target / (max x max_utilisation_ratio))) + spare_instances."""
    if target is None:
        return 1
    usable = max_per_min * target.max_utilisation_ratio
    # The nudge keeps 300 / 100 at 3 where the division says 3.0000000000000004.
    needed = math.ceil(target.invocations_per_min / usable - 1e-9)
    return max(target.min_instances, needed) + target.spare_instances


def fleet_of(
    max_per_min: float, ci: Interval | None, price: Price, target: TargetSpec | None
) -> Fleet:
    """The fleet arithmetic of one candidate's maximum and price."""
    count = instance_count(max_per_min, target)
    fleet_max = count * max_per_min
    per_hour = None if price.per_hour_usd is None else count * price.per_hour_usd
    at_target = at_70 = utilisation = None
    if target is not None:
        relaxed = target.model_copy(update={"max_utilisation_ratio": HEADROOM_RATIO})
        at_70 = instance_count(max_per_min, relaxed)
        utilisation = target.invocations_per_min / fleet_max
        if per_hour is not None:
            at_target = cost_per_inference_usd(per_hour, target.invocations_per_min)
    return Fleet(
        instance_count=count,
        instance_count_at_70_percent=at_70,
        max_invocations_per_min=fleet_max,
        max_invocations_per_min_ci=_times(ci, count),
        cost_per_hour_usd=per_hour,
        cost_per_month_usd=None if per_hour is None else per_hour * HOURS_PER_MONTH,
        cost_per_inference_at_target_usd=at_target,
        utilisation_at_target_ratio=utilisation,
    )


def _times(ci: Interval | None, count: int) -> Interval | None:
    if ci is None:
        return None
    low, high = ci
    return (None if low is None else low * count, None if high is None else high * count)


def cost_interval_usd(per_hour_usd: float | None, ci: Interval | None) -> Interval | None:
    """Of the cost per inference: it falls as the maximum rises, and the ends change places."""
    if per_hour_usd is None or ci is None:
        return None
    low, high = ci
    return (
        None if high is None else cost_per_inference_usd(per_hour_usd, high),
        None if low is None or low <= 0 else cost_per_inference_usd(per_hour_usd, low),
    )


def count_doubts(
    maximum: float,
    ci: Interval | None,
    target: TargetSpec | None,
    likely: tuple[int, float] | None = None,
) -> tuple[Doubt, ...]:
    """At most one doubt: the maximum's interval, or what is `likely`, holds another count."""
    if target is None or ci is None or ci[0] is None:
        return ()
    most = instance_count(ci[0], target) if ci[0] > 0 else None
    least = instance_count(ci[1] if ci[1] is not None else maximum, target)
    if likely is not None:
        least, most = min(least, likely[0]), None if most is None else max(most, likely[0])
    return () if least == most else (doubts.count_uncertain(least, most, likely),)
