"""The true maximum, by simulation, where a formula tells it too."""

from __future__ import annotations

import math

import pytest
from rightsizer.calibration.known_maximum import known_maximum_per_s
from rightsizer.instrument.laws import exponential, fixed


@pytest.mark.parametrize("limit_s", [0.03, 0.05, 0.1])
def test_exponential_service_is_as_the_formula_says(limit_s):
    # M/M/1: the latency is exponential of rate mu - lambda
    true_per_s = 1 / 0.005 - math.log(20) / limit_s
    found = known_maximum_per_s(exponential, 0.005, limit_s, 0.95)
    assert found == pytest.approx(true_per_s, rel=0.01)


def test_fixed_service_is_as_the_formula_says():
    # M/D/1 (Erlang, 1909): the share that waits less than one service time is (1 - rho) e^rho
    share = (1 - 0.6) * math.exp(0.6)
    found = known_maximum_per_s(fixed, 0.010, 0.020 - 1e-9, share)
    assert found == pytest.approx(60.0, rel=0.01)
