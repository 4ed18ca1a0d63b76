"""The share over the limit, its worth, and when a step has told enough."""

from __future__ import annotations

import numpy as np
import pytest
from rightsizer.analysis.excess import Excess, excess_of, settled


def test_the_share_counts_what_is_over_not_what_is_at_the_limit():
    found = excess_of(np.array([1.0, 2.0, 2.0, 3.0]), 2.0)
    assert (found.n, found.ratio) == (4, 0.25)


def test_nothing_measured_is_no_excess():
    assert excess_of(np.empty(0), 1.0) is None


def test_independent_latencies_weigh_as_many_as_they_are():
    latency = np.random.default_rng(1).exponential(1.0, 5000)
    assert excess_of(latency, 3.0).design_effect == pytest.approx(1.0, abs=0.8)


def test_neighbours_alike_weigh_less():
    latency = np.repeat(np.random.default_rng(1).exponential(1.0, 250), 20)
    assert 10 < excess_of(latency, 3.0).design_effect < 80


@pytest.mark.parametrize(
    ("excess", "verdict"),
    [
        (Excess(2000, 0.5, 10.0), "over"),
        (Excess(2000, 0.0, 5.0), "within"),
        (Excess(2000, 0.06, 10.0), None),
        (Excess(199, 1.0, 1.0), None),
        (Excess(2000, 0.0, 100.0), None),
    ],
)
def test_a_step_is_settled_only_when_far_from_the_allowed_share(excess, verdict):
    assert settled(excess, 0.95) == verdict
