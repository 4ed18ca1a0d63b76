"""The short calibration of a host before a server is there."""

from __future__ import annotations

import os

from rightsizer.hosts.yardstick import calibrate, length_s


def test_both_speeds_of_a_cpu_are_told():
    found = calibrate(sorted(os.sched_getaffinity(0))[:1], 0.2)
    assert found is not None
    assert found.hashed_bytes_per_s > 1e6
    assert found.copied_bytes_per_s > 1e6
    assert found.duration_s == 0.2


def test_a_cpu_that_is_not_there_tells_nothing():
    assert calibrate([4095], 0.2) is None


def test_it_is_five_seconds_and_of_a_short_try_a_twelfth_of_the_traffic():
    # scouts and finals of the default budget, of few candidates and of many
    assert length_s(60.0) == length_s(20.0) == length_s(15.0) == 5.0
    assert length_s(600.0) == 5.0
    assert length_s(12.0) == 1.0
