"""Whether the generator did what the step asked, each lapse planted, and a clean case beside it."""

from __future__ import annotations

import numpy as np
import pytest
from rightsizer.analysis.delivery import (
    count_doubts,
    drop_doubts,
    lag_doubts,
    little_doubts,
    slip_doubts,
)
from rightsizer.samples import DTYPE, Outcome

MS = 1_000_000


def codes(doubts) -> list[tuple[str, str]]:
    return [(doubt.code, doubt.severity) for doubt in doubts]


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


@pytest.mark.parametrize(
    ("lag_ms", "latency_ms", "found"),
    [
        (None, 10.0, []),
        (1.5, 10.0, []),
        (3.0, 10.0, [("event-loop-lag", "weakens")]),
        (4.0, 200.0, []),
        (40.0, 10.0, [("event-loop-lag", "blocks")]),
        (40.0, None, []),
    ],
)
def test_a_late_event_loop_matters_beside_the_latency(lag_ms, latency_ms, found):
    assert codes(lag_doubts(lag_ms, latency_ms)) == found


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


def arrivals(count: int, each_ms: float, dropped: slice) -> np.ndarray:
    """One request a ms, each in flight for so long; some were dropped."""
    samples = np.zeros(count, dtype=DTYPE)
    samples["intended_ns"] = samples["start_ns"] = np.arange(count) * MS
    samples["end_ns"] = samples["start_ns"] + int(each_ms * MS)
    samples["outcome"][dropped] = Outcome.DROPPED
    return samples


def drops(samples):
    dropped = samples["outcome"] == Outcome.DROPPED
    return drop_doubts(samples, samples["intended_ns"][dropped], len(samples))


def test_arrivals_dropped_with_the_cap_in_flight_are_the_servers_doing():
    samples = arrivals(4000, 1500.0, slice(2000, 2100))
    [doubt] = drops(samples)
    assert (doubt.code, doubt.severity) == ("server-overrun", "weakens")
    assert doubt.figures["in_flight"] > 1000


@pytest.mark.parametrize(("dropped", "severity"), [(10, "weakens"), (100, "blocks")])
def test_arrivals_dropped_with_few_in_flight_are_the_generators_doing(dropped, severity):
    samples = arrivals(4000, 5.0, slice(2000, 2000 + dropped))
    assert codes(drops(samples)) == [("generator-dropped", severity)]


def test_a_handful_that_a_steps_end_left_over_is_nothing():
    samples = arrivals(4000, 5.0, slice(3997, 4000))
    assert drops(samples) == []
