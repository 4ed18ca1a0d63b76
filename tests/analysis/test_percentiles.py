"""Nearest-rank percentiles, exactly."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from rightsizer.analysis.percentiles import nearest_rank, percentiles, rank


@pytest.mark.parametrize(
    ("n", "p", "at"),
    [
        # the 19th of 20, not the largest
        (20, 0.95, 19),
        (21, 0.95, 20),
        (100, 0.99, 99),
        # 0.07 * 100 is 7.000000000000001
        (100, 0.07, 7),
        (10, 0.5, 5),
        (11, 0.5, 6),
        # a percentile near an end is the end
        (3, 0.95, 3),
        (5, 0.0, 1),
        (5, 1.0, 5),
        (1, 0.01, 1),
    ],
)
def test_the_rank_is_the_smallest_with_that_share_at_or_below(n, p, at):
    assert rank(n, p) == at


@pytest.mark.parametrize("percent", [7, 50, 90, 95, 99])
def test_no_rank_is_off_by_a_rounding_error(percent):
    numbers = [*range(1, 20_001), 10**6, 10**8, 10**9]
    wrong = [n for n in numbers if rank(n, percent / 100) != -(-percent * n // 100)]
    assert not wrong


@pytest.mark.parametrize("p", [-0.01, 1.01, 95, math.nan])
def test_a_percentile_outside_0_to_1_is_refused(p):
    with pytest.raises(ValueError, match=r"0\.\.1"):
        rank(10, p)


def test_p95_of_20_values_is_the_19th_in_whatever_order_they_come():
    values = list(range(1, 21))
    random.Random(1).shuffle(values)
    assert nearest_rank(values, 0.95) == 19


def test_one_value_is_every_percentile():
    assert percentiles([7.5], [0.0, 0.5, 0.95, 1.0]) == [7.5] * 4


def test_ties_are_counted_each():
    assert percentiles([5, 1, 5, 5, 9], [0.2, 0.21, 0.8, 0.81]) == [1, 5, 5, 9]
    # three of four timed out
    assert nearest_rank([1.0, 10_000.0, 10_000.0, 10_000.0], 0.5) == 10_000.0


def test_several_percentiles_come_in_the_order_asked():
    assert percentiles(range(1, 101), [0.99, 0.5, 0.95, 0.5]) == [99, 50, 95, 50]


def test_a_percentile_is_always_a_value_that_occurred():
    values = np.random.default_rng(3).lognormal(size=997)
    found = percentiles(values, [0.5, 0.9, 0.95, 0.99])
    assert set(found) <= set(values.tolist())
    assert found == [sorted(values.tolist())[rank(997, p) - 1] for p in (0.5, 0.9, 0.95, 0.99)]


def test_the_values_are_left_as_they_were():
    values = np.array([3.0, 1.0, 2.0])
    nearest_rank(values, 0.5)
    assert values.tolist() == [3.0, 1.0, 2.0]


def test_no_values_have_no_percentile():
    with pytest.raises(ValueError, match="no values"):
        nearest_rank([], 0.5)


def test_what_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        nearest_rank([1.0, math.nan, 2.0], 0.5)
