"""From shares over the limit to the rate where they meet what is allowed."""

from __future__ import annotations

import pytest
from rightsizer.analysis.boundary import Point, fit_boundary
from rightsizer.analysis.queue_model import plain_prediction, predict

PREDICTED = predict(tuple(0.05 * k for k in range(1, 200)), 200.0, 50.0, 0.95)


def fit(*points: tuple[float, int, float, float], predicted=PREDICTED):
    return fit_boundary([Point(*point) for point in points], 0.95, 200.0, predicted)


def test_a_step_at_the_allowed_share_is_the_boundary():
    found = fit((120.0, 10_000, 0.05, 10.0))
    assert found.rate_per_s == pytest.approx(120.0, rel=0.02)
    assert found.low_per_s < 120.0 < found.high_per_s


def test_the_boundary_lies_between_a_step_within_and_one_over():
    found = fit((110.0, 10_000, 0.02, 10.0), (130.0, 10_000, 0.12, 10.0))
    assert 110.0 < found.rate_per_s < 130.0


def test_more_requests_make_it_surer_and_likeness_makes_it_less_sure():
    few = fit((120.0, 1_000, 0.05, 10.0)).relative_sd
    many = fit((120.0, 10_000, 0.05, 10.0)).relative_sd
    alike = fit((120.0, 10_000, 0.05, 100.0)).relative_sd
    assert many < few
    assert many < alike


def test_steps_without_excess_push_the_boundary_above_them():
    assert fit((150.0, 5_000, 0.0, 5.0)).low_per_s > 145.0


def test_the_boundary_is_not_sought_far_beyond_the_capacity():
    assert fit((199.0, 50_000, 0.0, 1.0)).high_per_s <= 220.0 * 1.001


def test_without_a_queue_a_plain_guess_serves():
    guess = plain_prediction(200.0, 0.3, 0.95)
    found = fit((80.0, 5_000, 0.04, 5.0), (100.0, 5_000, 0.09, 5.0), predicted=guess)
    assert 80.0 < found.rate_per_s < 100.0


def test_scaling_all_rates_scales_the_answer():
    twice = predict(tuple(0.025 * k for k in range(1, 200)), 400.0, 25.0, 0.95)
    one = fit((120.0, 10_000, 0.04, 10.0)).rate_per_s
    two = fit_boundary([Point(240.0, 10_000, 0.04, 10.0)], 0.95, 400.0, twice).rate_per_s
    assert two == pytest.approx(2 * one, rel=1e-3)
