"""Another limit, read off steps made by hand: only latencies that were measured tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rightsizer.analysis.figures import StepFigures, TrialFigures
from rightsizer.projecting import NotCovered, at_limit
from rightsizer.spec import LimitSpec

from .report.jobs import measured, step

OWN = LimitSpec(latency_ms=250.0)
SEEN_MS = {8.0: 90.0, 9.0: 100.0, 10.0: 110.0}
"""By rate per second."""
PER_MIN = 660.0
"""Above all rates that were driven to their end."""


def opened(rate_per_s: float, latency_ms: float, **changes: Any) -> StepFigures:
    closed = step(1, rate_per_s, latency_ms)
    given = {"mode": "open", "users": None, "rate_per_s": rate_per_s, **changes}
    return replace(closed, **given)


STEPS = [opened(rate, latency) for rate, latency in SEEN_MS.items()]


def figures(**changes: Any) -> TrialFigures:
    found = measured(1, {}, PER_MIN, **changes).figures
    assert found is not None
    return found


def test_an_estimate_has_the_limits_latency_at_its_rate():
    found = at_limit(figures(basis="open"), STEPS, OWN, LimitSpec(latency_ms=200.0))
    assert isinstance(found, TrialFigures)
    assert 60 * 10.0 < found.max_invocations_per_min < PER_MIN


@pytest.mark.parametrize("kind", ["at_least", "bracket"])
def test_a_lower_bound_and_a_cliff_have_no_latency_that_nobody_measured(kind):
    known = figures(basis="open", max_kind=kind)
    found = at_limit(known, STEPS, OWN, LimitSpec(latency_ms=200.0))
    assert isinstance(found, NotCovered)
    assert found.seen_ms == pytest.approx((90.0, 110.0))
    measured_there = at_limit(known, STEPS, OWN, LimitSpec(latency_ms=100.0))
    assert isinstance(measured_there, TrialFigures)
    assert measured_there.max_invocations_per_min == pytest.approx(60 * 9.0)


def test_a_maximum_that_errors_set_has_no_latency_that_nobody_measured():
    failing = opened(10.5, 115.0, error_ratio=0.9 * OWN.max_error_ratio)
    found = at_limit(figures(basis="open"), [*STEPS, failing], OWN, LimitSpec(latency_ms=200.0))
    assert isinstance(found, NotCovered)


def test_closed_levels_that_all_hold_and_still_gain_do_not_tell_of_a_limit_above_them():
    levels = [step(1, 8.0, 90.0), step(2, 10.0, 110.0)]
    known = figures(basis="closed", max_kind="at_least")
    assert isinstance(at_limit(known, levels, OWN, LimitSpec(latency_ms=200.0)), NotCovered)
    assert isinstance(at_limit(known, levels, OWN, LimitSpec(latency_ms=100.0)), TrialFigures)
