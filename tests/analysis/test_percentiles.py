"""Nearest rank: exact, and always a value that occurred."""

from __future__ import annotations

import numpy as np
import pytest
from rightsizer.analysis.percentiles import nearest_rank, percentiles, rank


@pytest.mark.parametrize(
    ("n", "p", "k"),
    [
        (1, 0.95, 1),  # one sample is every percentile
        (20, 0.95, 19),  # 0.95 * 20 is 19 and a hair in floats; not rank 20
        (21, 0.95, 20),
        (100, 0.95, 95),
        (100, 0.99, 99),
        (101, 0.99, 100),
        (3, 0.5, 2),
        (4, 0.5, 2),
        (10, 1.0, 10),
    ],
)
def test_the_rank_is_the_smallest_that_covers_the_share(n, p, k):
    assert rank(n, p) == k
    assert nearest_rank(np.random.default_rng(n).permutation(n) + 1.0, p) == k


def test_several_percentiles_agree_with_one_at_a_time():
    values = np.random.default_rng(1).exponential(5.0, 1234)
    ps = [0.99, 0.5, 0.95, 0.9]
    assert percentiles(values, ps) == [nearest_rank(values, p) for p in ps]
    assert percentiles(values, [0.5]) == [float(np.sort(values)[616])]


def test_ties_and_timeouts_at_one_value_are_that_value():
    assert nearest_rank([1.0, 10_000.0, 10_000.0, 10_000.0], 0.5) == 10_000.0


def test_no_values_and_nan_are_refused():
    with pytest.raises(ValueError, match="no values"):
        nearest_rank([], 0.5)
    with pytest.raises(ValueError, match="not a number"):
        nearest_rank([1.0, float("nan")], 0.5)
