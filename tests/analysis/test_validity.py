"""What makes a step's numbers doubtful, or void: each fact planted, and a clean case beside it."""

from __future__ import annotations

import numpy as np
import pytest
from rightsizer.analysis.validity import (
    count_doubts,
    drift_doubts,
    health_doubts,
    little_doubts,
    slip_doubts,
)
from rightsizer.traffic.base import Health


def codes(doubts) -> list[tuple[str, str]]:
    return [(doubt.code, doubt.severity) for doubt in doubts]


def test_a_platform_that_tells_nothing_raises_nothing():
    assert health_doubts(Health()) == []


@pytest.mark.parametrize(
    ("health", "found"),
    [
        (Health(run_delay_ratio=0.04), []),
        (Health(run_delay_ratio=0.1), [("generator-starved", "weakens")]),
        (Health(run_delay_ratio=0.4), [("generator-starved", "blocks")]),
        (Health(gc_pause_ratio=0.05), [("generator-paused", "weakens")]),
        (Health(clock_gap_s=2.0), [("clock-gap", "blocks")]),
        (Health(host_steal_ratio=0.1), [("noisy-host", "weakens")]),
        (Health(host_steal_ratio=0.5), [("noisy-host", "blocks")]),
        (Health(lost_workers=1), [("worker-lost", "blocks")]),
    ],
)
def test_what_the_generator_and_its_machine_say_of_themselves(health, found):
    assert codes(health_doubts(health)) == found


@pytest.mark.parametrize(
    ("slip_ms", "latency_ms", "found"),
    [
        (0.5, 10.0, []),
        (3.0, 10.0, [("schedule-slip", "weakens")]),
        (3.0, 100.0, []),
        (30.0, 10.0, [("schedule-slip", "blocks")]),
        (30.0, 1000.0, []),
    ],
)
def test_a_slip_matters_beside_the_latency(slip_ms, latency_ms, found):
    slips = np.full(1000, slip_ms)
    assert codes(slip_doubts(slips, latency_ms)) == found


def test_one_late_request_in_a_thousand_is_no_slip():
    slips = np.zeros(1000)
    slips[0] = 500.0
    assert slip_doubts(slips, 10.0) == []


@pytest.mark.parametrize(("sent", "found"), [(1000, []), (1100, []), (700, ["off-schedule"])])
def test_arrivals_must_be_as_many_as_the_rate_means(sent, found):
    assert [doubt.code for doubt in count_doubts(sent, 100.0, 10.0)] == found


def test_users_in_a_loop_are_always_in_a_request():
    assert little_doubts(np.full(1000, 20.0), 2, 10.0) == []


def test_what_is_missing_from_the_users_time_is_the_generators():
    [doubt] = little_doubts(np.full(1000, 10.0), 2, 10.0)
    assert doubt.code == "generator-overhead"
    assert doubt.figures["in_requests_ratio"] == pytest.approx(0.5)


def test_few_long_requests_cut_by_the_windows_edges_are_no_overhead():
    assert little_doubts(np.full(8, 1000.0), 1, 9.5) == []


def test_a_steady_queue_does_not_drift():
    latency = np.random.default_rng(1).exponential(1.0, 3000)
    assert drift_doubts(latency) == []


@pytest.mark.parametrize(("slope", "said"), [(1.0, "rose"), (-1.0, "fell")])
def test_latency_that_rises_or_falls_is_no_steady_state(slope, said):
    latency = np.random.default_rng(1).exponential(1.0, 3000) + np.linspace(1, 1 + slope, 3000)
    [doubt] = drift_doubts(latency)
    assert doubt.code == "no-steady-state"
    assert said in doubt.message


def test_neighbours_alike_are_not_taken_for_a_drift():
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        steps = rng.normal(size=3000)
        series = np.zeros(3000)
        for i in range(1, 3000):
            series[i] = 0.97 * series[i - 1] + steps[i]
        found += bool(drift_doubts(series))
    assert found <= 4
