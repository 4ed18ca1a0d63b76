"""Better, worse, same or not known: what the logs of costs say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rightsizer.comparing import Side, apart, inconclusive, is_regression, paired


def test_a_clear_rise_in_cost_is_worse_by_its_mean():
    found = paired([math.log(1.10) + e for e in (-0.004, 0.002, 0.003, -0.001, 0.0, 0.0)])
    assert found.verdict == "worse"
    assert found.ratio == pytest.approx(1.10, rel=0.001)
    assert found.ratio_ci[0] < 1.10 < found.ratio_ci[1]
    assert found.starts == 6


def test_a_fall_in_cost_is_better():
    assert paired([math.log(0.9)] * 3 + [math.log(0.91)] * 3).verdict == "better"


def test_an_interval_within_two_percent_is_the_same_even_beside_one():
    assert paired([0.010, 0.011, 0.012, 0.010, 0.011, 0.012]).verdict == "same"


def test_noise_is_inconclusive_and_says_what_could_have_been_seen():
    logs = [0.2, -0.15, 0.1, -0.2, 0.05, 0.02]
    found = paired(logs)
    assert found.verdict == "inconclusive"
    error = np.std(logs, ddof=1) / math.sqrt(6)
    assert found.detectable_ratio == pytest.approx(math.exp((2.571 + 0.8416) * error), rel=1e-3)


def test_two_starts_are_too_few():
    found = paired([0.1, 0.1])
    assert (found.verdict, found.ratio, found.ratio_ci) == ("inconclusive", None, None)
    assert "2 paired starts are too few" in found.why


def test_comparisons_read_together_have_wider_intervals():
    logs = [0.03, 0.05, 0.04, 0.02, 0.06, 0.05]
    (low, high), (wide_low, wide_high) = paired(logs).ratio_ci, paired(logs, 10).ratio_ci
    assert wide_low < low < high < wide_high


def test_equal_sides_are_called_different_in_one_of_twenty_at_most():
    random = np.random.default_rng(2)
    seen = [paired(random.normal(0, 0.03, 6).tolist()).verdict for _ in range(8000)]
    assert sum(verdict in ("better", "worse") for verdict in seen) / len(seen) <= 0.055


@pytest.mark.parametrize(
    ("difference", "moved", "verdict"),
    [
        (0.10, 0.06, "worse"),
        (0.10, 0.20, "inconclusive"),
        (0.10, 0.095, "inconclusive"),
        (-0.10, 0.20, "inconclusive"),
        (0.0, 0.004, "same"),
        (0.0, 0.06, "inconclusive"),
        (0.10, None, "worse"),
    ],
)
def test_a_host_that_moved_more_than_the_difference_decides_nothing(difference, moved, verdict):
    found = apart(Side(0.0, 0.004**2, 4), Side(difference, 0.004**2, 4), moved)
    assert found.verdict == verdict
    if verdict == "inconclusive":
        assert found.why == f"host moved {moved:.0%}"
        assert found.ratio_ci[1] > math.exp(difference) * (1 + moved)


def test_a_regression_is_one_only_beyond_what_is_allowed_with_confidence():
    worse = paired([0.10, 0.101, 0.102, 0.10, 0.101, 0.102])
    assert is_regression(worse, 0.05)
    assert is_regression(paired([0.014, 0.0141, 0.0142, 0.0139, 0.014, 0.014]), 0.01)
    assert not is_regression(worse, 0.15)
    assert not is_regression(paired([0.3, -0.1, 0.2, 0.0, 0.3, 0.1]), 0.0)
    assert not is_regression(inconclusive("nothing"), 0.0)
