"""95% intervals: small exact cases, when there is none, and how often they hold on queues."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from queues import Random, closed_loop, open_queue, sojourns, true_percentile_ms
from rightsizer.analysis.intervals import (
    correlation_time,
    design_effect,
    percentile_interval,
    t_quantile,
    throughput_interval,
)

Found = tuple[float, float] | None


# -- Student's t -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dof", "value"),
    [
        (1, 12.706),
        (4, 2.776),
        (9, 2.262),
        (19, 2.093),
        (30, 2.042),
        # past the table, by the expansion
        (31, 2.0395),
        (40, 2.021),
        (60, 2.000),
        (100, 1.984),
        (120, 1.980),
        (200, 1.972),
        (10**6, 1.960),
    ],
)
def test_t_is_that_of_the_printed_tables(dof, value):
    assert t_quantile(dof) == pytest.approx(value, abs=0.00051)


@pytest.mark.parametrize(
    ("dof", "confidence", "value"),
    # Hald, Statistical Tables and Formulas: t of 99 %, 99.9 % and 90 %.
    [(1, 0.99, 63.657), (2, 0.99, 9.925), (3, 0.99, 5.841), (5, 0.99, 4.032), (5, 0.90, 2.015),
     (5, 0.999, 6.869), (10, 0.999, 4.587), (30, 0.99, 2.750), (1000, 0.95, 1.962)],
)  # fmt: skip
def test_t_quantiles_of_other_confidences_are_those_of_the_tables(dof, confidence, value):
    assert t_quantile(dof, confidence) == pytest.approx(value, rel=0.001)


def test_t_falls_all_the_way_also_where_the_table_ends():
    values = [t_quantile(dof) for dof in range(1, 250)]
    assert values == sorted(values, reverse=True)


def test_t_without_a_degree_of_freedom_is_refused():
    with pytest.raises(ValueError, match="degree of freedom"):
        t_quantile(0)


# -- correlation -------------------------------------------------------------------------------


def test_independent_values_do_not_know_of_each_other():
    assert correlation_time(np.random.default_rng(1).normal(size=50_000)) == pytest.approx(1, 0.1)


def test_the_correlation_time_of_an_autoregressive_series_is_the_known_one():
    noise = np.random.default_rng(2).normal(size=100_000).tolist()
    series = [0.0]
    for step in noise:
        series.append(0.8 * series[-1] + step)
    # (1 + 0.8) / (1 - 0.8)
    assert correlation_time(np.array(series)) == pytest.approx(9, rel=0.1)


@pytest.mark.parametrize("series", [[4.0], [4.0] * 100])
def test_what_never_changes_has_no_correlation(series):
    assert correlation_time(np.array(series)) == 1.0


def test_a_level_shift_is_one_long_correlation():
    assert 100 < correlation_time(np.repeat([0.0, 1.0], 500)) <= 200


def test_the_design_effect_is_1_where_requests_are_independent_and_16_in_a_busy_queue():
    rng = np.random.default_rng(3)
    assert design_effect(rng.exponential(size=40_000)) == pytest.approx(1, abs=0.2)
    _, latency = open_queue(rng, "exponential", 0.62, 0.005, 300)
    assert 13 < design_effect(latency) < 20


# -- the latency percentile --------------------------------------------------------------------


def independent(n: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(10, 20, n)


@pytest.mark.parametrize(("p", "fewest"), [(0.5, 50), (0.9, 250), (0.95, 500), (0.99, 2500)])
def test_twenty_five_samples_beyond_the_percentile_are_the_fewest(p, fewest):
    latency = independent(fewest)
    low, high = percentile_interval(np.arange(fewest), latency, p)
    assert low < 10 + 10 * p < high
    assert percentile_interval(np.arange(fewest - 1), latency[:-1], p) is None


def test_independent_latencies_get_about_the_interval_of_independent_samples():
    n = 20_000
    low, high = percentile_interval(np.arange(n), independent(n), 0.95)
    # 10 ms of range times sqrt(0.95 * 0.05 / 20000), 4 to 6 of those in all
    sd = 10 * math.sqrt(0.95 * 0.05 / n)
    assert 4 * sd < high - low < 6 * sd


def test_the_interval_is_by_order_of_start_not_of_arrival():
    starts, latency = open_queue(np.random.default_rng(6), "exponential", 0.62, 0.005, 60)
    expected = percentile_interval(starts, latency, 0.95)
    shuffled = np.random.default_rng(7).permutation(len(starts))
    assert percentile_interval(starts[shuffled], latency[shuffled], 0.95) == expected
    # taken in another order the requests look independent, and the interval is far too narrow
    low, high = percentile_interval(starts, latency[shuffled], 0.95)
    assert high - low < 0.5 * (expected[1] - expected[0])


def test_a_constant_latency_is_its_own_interval():
    assert percentile_interval(np.arange(600), np.full(600, 12.5), 0.95) == (12.5, 12.5)


def test_its_ends_are_latencies_that_occurred_and_the_percentile_is_between():
    starts, latency = open_queue(np.random.default_rng(8), "lognormal", 0.62, 0.005, 100)
    low, high = percentile_interval(starts, latency, 0.95)
    assert {low, high} <= set(latency.tolist())
    assert low < np.quantile(latency, 0.95) < high


@pytest.mark.parametrize(
    "latency",
    [
        # a queue that only grows, a throttled second half, one pause of varied and of equal length
        np.linspace(10, 500, 2000),
        np.repeat([10.0, 30.0], 1000) + independent(2000) / 100,
        np.where(abs(np.arange(2000) - 600) < 60, 50 * independent(2000), independent(2000)),
        np.where(abs(np.arange(2000) - 600) < 60, 900.0, independent(2000)),
    ],
    ids=["grows", "throttled", "pause", "timeouts"],
)
def test_a_window_without_a_steady_state_has_no_interval(latency):
    assert percentile_interval(np.arange(2000), latency, 0.95) is None


def test_timeouts_spread_all_over_the_window_are_the_percentile():
    latency = np.where(np.random.default_rng(9).random(4000) < 0.10, 900.0, independent(4000))
    assert percentile_interval(np.arange(4000), latency, 0.95) == (900.0, 900.0)


def test_a_latency_that_is_not_a_number_or_has_no_start_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        percentile_interval(np.arange(600), np.full(600, math.nan), 0.95)
    with pytest.raises(ValueError, match="start"):
        percentile_interval(np.arange(600), np.ones(601), 0.95)


# -- closed throughput -------------------------------------------------------------------------


def test_a_perfectly_even_loop_has_its_exact_rate():
    low, high = throughput_interval(np.arange(101) * 70_000_000, users=1)
    assert (low, high) == pytest.approx((1 / 0.07, 1 / 0.07), rel=1e-12)


def test_users_in_step_are_counted_in_whole_rounds():
    # three answers at once, every 210 ms
    ends = np.repeat(np.arange(60), 3) * 210_000_000
    low, high = throughput_interval(ends, users=3)
    assert (low, high) == pytest.approx((3 / 0.21, 3 / 0.21), rel=1e-12)


def test_completions_may_come_in_any_order_and_late_on_the_clock():
    ends = closed_loop(np.random.default_rng(1), "payloads", 1, 0.07, 12)
    expected = throughput_interval(ends, 1)
    # a machine that has been up for two years; doubles no longer hold its nanoseconds
    late = np.random.default_rng(2).permutation(ends) + 2 * 365 * 86_400 * 10**9
    assert throughput_interval(late, 1) == expected


@pytest.mark.parametrize(("users", "fewest"), [(None, 51), (1, 51), (2, 51), (3, 76), (8, 201)])
def test_five_batches_of_five_rounds_are_the_fewest(users, fewest):
    ends = np.cumsum(np.random.default_rng(3).integers(60, 80, fewest)) * 10**6
    assert throughput_interval(ends, users) is not None
    assert throughput_interval(ends[:-1], users) is None


def test_a_rate_that_might_be_0_has_no_interval():
    ends = np.cumsum([1] * 50 + [10**6])
    assert throughput_interval(ends, 1) is None


@pytest.mark.parametrize("ends", [[], [5]])
def test_one_completion_makes_no_rate(ends):
    assert throughput_interval(ends, 1) is None


# -- how often they hold -----------------------------------------------------------------------
# At length, and for more laws: benchmarks/interval_coverage.py.


def held(seeds: int, truth: float, once: Callable[[Random], Found]) -> tuple[float, float]:
    """The share of windows with an interval, and the share of those that hold the truth."""
    given = [found for seed in range(seeds) if (found := once(np.random.default_rng(seed)))]
    inside = sum(low <= truth <= high for low, high in given)
    return len(given) / seeds, inside / max(1, len(given))


def test_the_simulated_queue_is_the_one_of_the_textbooks():
    # departures by hand: 3, 5, 9, 12
    arrivals, service = np.array([0.0, 1.0, 8.0, 8.5]), np.array([3.0, 2.0, 1.0, 3.0])
    assert sojourns(arrivals, service).tolist() == [3.0, 4.0, 1.0, 3.5]
    # P95 of M/M/1: 5 ms / 0.38 * ln 20
    assert true_percentile_ms("exponential", 0.62, 0.005, 0.95, 0) == pytest.approx(39.42, abs=0.01)
    starts, latency = open_queue(np.random.default_rng(1), "exponential", 0.62, 0.005, 5000)
    assert np.quantile(latency, 0.95) == pytest.approx(39.42, rel=0.02)
    assert len(starts) / 5000 == pytest.approx(124, rel=0.01)


def latency(law: str, busy: float, service_s: float, window_s: float, rng: Random) -> Found:
    return percentile_interval(*open_queue(rng, law, busy, service_s, window_s), 0.95)


@pytest.mark.parametrize(
    ("service_s", "window_s", "seeds", "least", "most"),
    [
        (0.005, 10, 600, 0.1, 0.5),
        (0.005, 20, 300, 0.8, 0.99),
        (0.005, 50, 300, 0.99, 1),
        (0.005, 300, 100, 1, 1),
        # fourteen times slower is as good as a fourteenth of the time
        (0.070, 20, 50, 0, 0),
        (0.070, 60, 200, 0, 0.02),
        (0.070, 300, 300, 0.8, 1),
        (0.070, 900, 200, 0.99, 1),
    ],
)
def test_latency_intervals_of_an_exponential_server_hold_or_are_not_given(
    service_s, window_s, seeds, least, most
):
    truth = true_percentile_ms("exponential", 0.62, service_s, 0.95, 0)
    once = partial(latency, "exponential", 0.62, service_s, window_s)
    given, holds = held(seeds, truth, once)
    assert least <= given <= most
    assert holds >= 0.9 or given <= 0.02


@pytest.mark.parametrize("law", ["fixed", "payloads", "lognormal"])
@pytest.mark.parametrize(("busy", "window_s"), [(0.62, 20), (0.62, 50), (0.8, 50)])
def test_latency_intervals_of_other_servers_hold(law, busy, window_s):
    truth = true_percentile_ms(law, busy, 0.005, 0.95, 1_000_000)
    given, holds = held(150, truth, partial(latency, law, busy, 0.005, window_s))
    assert given > 0.2
    assert holds >= 0.9


def test_hardly_a_window_has_a_wrong_interval_where_few_have_one():
    for law, busy, window_s in [("exponential", 0.8, 20), ("lognormal", 0.62, 10)]:
        truth = true_percentile_ms(law, busy, 0.005, 0.95, 1_000_000)
        given, holds = held(300, truth, partial(latency, law, busy, 0.005, window_s))
        assert 0 < given < 0.3
        assert given * (1 - holds) < 0.05


@pytest.mark.parametrize("law", ["exponential", "payloads", "fixed"])
@pytest.mark.parametrize(
    ("users", "shared", "window_s"),
    [(1, False, 12), (3, False, 12), (3, True, 12), (8, True, 60)],
)
def test_throughput_intervals_hold(law, users, shared, window_s):
    def once(rng: Random) -> Found:
        return throughput_interval(
            closed_loop(rng, law, users, 0.07, window_s, shared=shared), users
        )

    given, holds = held(400, 1 / 0.07, once)
    assert given == 1
    assert 0.9 <= holds <= 0.99


def test_a_short_loop_of_four_payloads_knows_its_rate_to_a_few_percent():
    ends = closed_loop(np.random.default_rng(4), "payloads", 2, 0.071, 12)
    low, high = throughput_interval(ends, 2)
    assert low < 1 / 0.071 < high
    assert (high - low) * 0.071 < 0.15
