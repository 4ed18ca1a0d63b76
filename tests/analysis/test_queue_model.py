"""The queue made of unloaded latencies: against what queueing theory knows exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rightsizer.analysis.queue_model import Work, plain_prediction, predict, run_effect

EXPONENTIAL_MS = tuple((-5.0 * np.log(1 - (np.arange(400) + 0.5) / 400)).tolist())


def test_one_exponential_server_is_predicted_as_theory_has_it():
    # M/M/1: P95 = ln 20 / (mu - lambda); 50 ms at mu = 200/s is met at 140/s.
    limit_ms = 1e3 * math.log(20) / 60
    found = predict(EXPONENTIAL_MS, 200.0, limit_ms, 0.95)
    assert found.servers == 1
    assert found.rate_per_s == pytest.approx(140, rel=0.05)


def test_the_capacity_says_how_many_are_served_at_once():
    assert predict(EXPONENTIAL_MS, 800.0, 30.0, 0.95).servers == 4


def test_a_queue_that_is_over_the_limit_at_once_predicts_nothing():
    assert predict((50.0,), 20.0, 40.0, 0.95) is None


def test_a_limit_that_is_hardly_ever_reached_is_met_at_the_capacity():
    assert predict((1.0,), 1000.0, 1e6, 0.95).rate_per_s == pytest.approx(1000.0, rel=0.02)


def test_it_is_as_steep_as_theory_has_it():
    # M/M/1: the share over L is exp(-(mu - lambda) L); its log odds rise by lambda L / P95.
    limit_ms = 1e3 * math.log(20) / 60
    found = predict(EXPONENTIAL_MS, 200.0, limit_ms, 0.95)
    assert found.steepness == pytest.approx(140 * limit_ms / 1e3 / 0.95, rel=0.2)


def test_the_plain_guess_is_where_it_says_and_as_steep_as_one_exponential_server():
    limit_ms = 1e3 * math.log(20) / 60
    found = predict(EXPONENTIAL_MS, 200.0, limit_ms, 0.95)
    guess = plain_prediction(200.0, found.rate_per_s / 200.0, 0.95)
    assert guess.rate_per_s == found.rate_per_s
    assert guess.steepness == pytest.approx(found.steepness, rel=0.2)


def test_one_server_serves_one_after_the_other():
    arrivals, service = np.array([0.0, 1.0, 10.0]), np.array([3.0, 3.0, 3.0])
    assert Work(service, 1).sojourns_s(arrivals).tolist() == [3.0, 5.0, 3.0]


def test_two_servers_take_the_next_that_is_free():
    arrivals, service = np.array([0.0, 1.0, 1.5]), np.array([3.0, 3.0, 1.0])
    assert Work(service, 2).sojourns_s(arrivals).tolist() == [3.0, 3.0, 2.5]


def test_requests_of_a_short_run_are_alike_as_long_as_the_queue_remembers():
    # M/M/1 at 62 %: some 16 requests weigh as one in the long run (design effect of its P95).
    limit_ms = 1e3 * math.log(20) / 76
    few, more = (run_effect(EXPONENTIAL_MS, 200.0, limit_ms, 124.0, n) for n in (50, 600))
    assert 6 < few < more < 25


def test_requests_that_do_not_queue_weigh_as_they_are():
    alone, queueing = (run_effect(EXPONENTIAL_MS, 200.0, 12.0, rate, 100) for rate in (2.0, 124.0))
    assert alone == pytest.approx(1.0, abs=0.25)
    assert queueing > 3


def test_the_longer_a_run_the_more_it_shows_by_itself_how_alike_its_requests_are():
    limit_ms = 1e3 * math.log(20) / 76
    lengths = (600, 640, 900, 1200, 1300, 5000)
    floors = [run_effect(EXPONENTIAL_MS, 200.0, limit_ms, 124.0, n) for n in lengths]
    assert floors[1] == pytest.approx(floors[0], rel=0.1)
    assert floors[1] > floors[2] > floors[3] > floors[4] == floors[5] == 1.0


def test_where_nothing_is_over_the_limit_there_is_nothing_to_weigh():
    assert run_effect(EXPONENTIAL_MS, 200.0, 1e6, 124.0, 50) == 1.0
