"""Levels that change, trends and warm-ups planted in queues, and queues that only look so."""

from __future__ import annotations

import numpy as np
import pytest
from rightsizer.analysis.steadiness import drift_doubts, level_shift, wander_doubts, warm_up
from truth_servers import SERVERS

SERVICE_S = 0.005


def drift(latency):
    return drift_doubts(latency, level_shift(latency))


def wander(latency):
    return wander_doubts(len(latency), level_shift(latency))


def cut_of(latency):
    return warm_up(latency, level_shift(latency))


def queue(busy: float, seed: int, length_s: float = 20.0, speed=None) -> np.ndarray:
    """Latencies in ms, by start, of a queue whose speed may change in the course of the window.

    `speed` gives the server's speed at shares 0..1 of the window.
    """
    rng = np.random.default_rng(seed)
    starts = 100 + np.sort(rng.random(rng.poisson(busy / SERVICE_S * length_s))) * length_s
    clock = np.linspace(99, 100 + 3 * length_s, 30001)
    share = np.clip((clock - 100) / length_s, 0, 1)
    rates = np.ones_like(share) if speed is None else speed(share)
    work = 99 + np.concatenate([[0], np.cumsum((rates[1:] + rates[:-1]) / 2 * np.diff(clock))])
    server = SERVERS["exponential"]
    ends = server.departures(np.interp(starts, clock, work), SERVICE_S, rng)
    return (np.interp(ends, work, clock) - starts) * 1e3


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_a_steady_queue_however_busy_keeps_its_level(busy):
    found = sum(bool(drift(queue(busy, seed))) for seed in range(100))
    assert found <= 1


def test_a_steady_queue_is_not_cut():
    assert sum(cut_of(queue(0.7, seed)) > 0 for seed in range(100)) <= 1


@pytest.mark.parametrize(
    ("speed", "said"),
    [
        (lambda share: np.where(share > 0.5, 0.6, 1.0), "rose"),
        (lambda share: np.where(share > 0.5, 1.0, 0.6), "fell"),
        (lambda share: 1 - 0.9 * share, "rose"),
    ],
)
def test_a_server_that_becomes_slower_or_faster_has_no_steady_state(speed, said):
    for seed in range(10):
        [doubt] = drift(queue(0.5, seed, speed=speed))
        assert (doubt.code, doubt.severity) == ("no-steady-state", "weakens")
        assert said in doubt.message
        assert doubt.figures["value"] > doubt.figures["allowed"]


def test_a_total_change_of_level_does_not_hide_itself():
    rng = np.random.default_rng(1)
    latency = np.concatenate([rng.exponential(1.0, 1500), 100 + rng.exponential(1.0, 1500)])
    [doubt] = drift(latency)
    assert doubt.figures["at_ratio"] == pytest.approx(0.5, abs=0.01)


def test_a_slow_head_is_cut_and_what_is_left_is_steady():
    for seed in range(10):
        latency = queue(0.6, seed, speed=lambda share: np.where(share < 0.15, 0.4, 1.0))
        cut = cut_of(latency)
        assert 0.12 < cut / len(latency) < 0.45
        assert drift(latency[cut:]) == []


def test_a_change_in_the_second_half_is_not_cut_but_told():
    latency = queue(0.6, 3, speed=lambda share: np.where(share > 0.7, 0.4, 1.0))
    assert cut_of(latency) == 0
    assert drift(latency)


def test_a_closed_users_cold_start_is_cut():
    rng = np.random.default_rng(2)
    latency = rng.lognormal(0.0, 0.1, 500)
    latency[:60] *= 3
    assert cut_of(latency) == pytest.approx(60, abs=10)


def test_a_pause_of_the_server_soon_after_the_begin_is_not_cut_of():
    def paused(share):
        return np.where((share > 0.04) & (share < 0.08), 1e-6, 1.0)

    assert [cut_of(queue(0.7, seed, speed=paused)) for seed in range(20)] == [0] * 20


def test_a_window_of_one_long_excursion_has_no_level_to_be_told():
    def drowned(share):
        return np.where((share > 0.1) & (share < 0.5), 0.3, 1.0)

    for seed in range(5):
        latency = queue(0.6, seed, length_s=60.0, speed=drowned)
        [doubt] = drift(latency) or wander(latency)
        assert (doubt.code, doubt.severity) == ("no-steady-state", "weakens")


@pytest.mark.parametrize("busy", [0.6, 0.8])
def test_excursions_of_a_busy_queue_are_many_in_a_minute(busy):
    assert sum(bool(wander(queue(busy, seed, 60.0))) for seed in range(50)) == 0


def test_levels_wholly_apart_have_figures_that_a_document_can_hold():
    [doubt] = drift(np.repeat([1.0, 9.0], 500))
    assert np.isfinite(doubt.figures["value"])


@pytest.mark.parametrize("latency", [[], [1.0], [5.0] * 400])
def test_windows_that_hold_nothing_to_compare_keep_their_level(latency):
    assert not level_shift(np.array(latency)).is_real


def test_neighbours_alike_are_not_taken_for_a_drift():
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        steps = rng.normal(size=3000)
        series = np.zeros(3000)
        for i in range(1, 3000):
            series[i] = 0.97 * series[i - 1] + steps[i]
        found += bool(drift(series))
    assert found <= 2
