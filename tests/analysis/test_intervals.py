"""Intervals that hold on queues, checked on queues whose truth is known; or none at all."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from rightsizer.analysis.intervals import (
    correlation_time,
    percentile_interval,
    t_quantile,
    throughput_interval,
)
from rightsizer.analysis.percentiles import nearest_rank

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from queues import closed_loop, exponential, four_classes, lognormal, open_queue


@pytest.mark.parametrize(
    ("dof", "t"), [(1, 12.706), (9, 2.262), (30, 2.042), (60, 2.000), (120, 1.980), (1000, 1.962)]
)
def test_students_t_is_that_of_the_tables(dof, t):
    assert t_quantile(dof) == pytest.approx(t, abs=0.001)


def test_the_correlation_time_of_independent_values_is_one_and_of_a_chain_known():
    random = np.random.default_rng(1)
    assert correlation_time(random.normal(size=20_000)) == pytest.approx(1.0, abs=0.2)
    noise, chain = random.normal(size=50_000), np.zeros(50_000)
    for i in range(1, len(chain)):
        chain[i] = 0.9 * chain[i - 1] + noise[i]
    # (1 + a) / (1 - a) of an autoregression of a = 0.9
    assert correlation_time(chain) == pytest.approx(19.0, rel=0.25)
    assert correlation_time(np.full(100, 3.0)) == 1.0


@pytest.mark.parametrize("law", [four_classes(70.0), exponential(70.0), lognormal(70.0)])
@pytest.mark.parametrize(("users", "length_s"), [(1, 13.5), (3, 30.0)])
def test_the_closed_throughput_interval_covers_the_truth(law, users, length_s):
    hits = 0
    for seed in range(400):
        ends = closed_loop(np.random.default_rng([3, seed]), law, 70.0, users, length_s)
        low, high = throughput_interval(ends, users)
        hits += low <= 1000 / 70 <= high
    # 95 %, less the skew of the heavy laws in so short a window
    assert 0.90 <= hits / 400 <= 0.985


def test_too_few_completions_have_no_throughput_interval():
    ends = np.arange(60) * 1e8
    assert throughput_interval(ends[:50], 1) is None
    assert throughput_interval(ends[:51], 1) == (10.0, 10.0)
    assert throughput_interval(ends, 3) is None
    assert throughput_interval([], 1) is None


def test_a_long_open_window_has_an_interval_that_covers():
    law = exponential(5.0)
    truth = nearest_rank(open_queue(np.random.default_rng(9), law, 5.0, 0.62, 10_000)[1], 0.95)
    found = [
        percentile_interval(*open_queue(np.random.default_rng(s), law, 5.0, 0.62, 300), 0.95)
        for s in range(200)
    ]
    assert None not in found
    assert 0.90 <= sum(low <= truth <= high for low, high in found) / 200 <= 0.99


@pytest.mark.parametrize(
    ("mean_ms", "busy", "length_s"),
    [(5.0, 0.62, 10), (5.0, 0.62, 20), (5.0, 0.8, 50), (70.0, 0.62, 300), (70.0, 0.8, 300)],
)
def test_where_an_interval_would_lie_there_is_none(mean_ms, busy, length_s):
    law = exponential(mean_ms)
    truth = nearest_rank(
        open_queue(np.random.default_rng(9), law, mean_ms, busy, 2000 * mean_ms)[1], 0.95
    )
    lies = 0
    for seed in range(200):
        found = percentile_interval(
            *open_queue(np.random.default_rng([5, seed]), law, mean_ms, busy, length_s), 0.95
        )
        lies += found is not None and not found[0] <= truth <= found[1]
    assert lies / 200 <= 0.05


def test_the_interval_does_not_depend_on_the_order_of_the_samples():
    starts, latency = open_queue(np.random.default_rng(1), exponential(5.0), 5.0, 0.5, 100)
    shuffled = np.random.default_rng(2).permutation(len(starts))
    assert percentile_interval(starts, latency, 0.95) == percentile_interval(
        starts[shuffled], latency[shuffled], 0.95
    )
