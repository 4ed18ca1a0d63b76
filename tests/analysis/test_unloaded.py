"""What the latencies of one user alone say of the queue, where they are few and where many."""

from __future__ import annotations

import math

import pytest
from rightsizer.analysis.maximum import open_maximum, queue_of
from rightsizer.spec import LimitSpec
from truth_servers import SERVERS
from virtual_traffic import Case, search

from .test_trial import step

P95 = LimitSpec(percentile="P95", latency_ms=376.0)
SHORT = tuple(-100 * math.log1p(-(k + 0.5) / 41) for k in range(40))
"""Of an exponential law of 100 ms, without the longest: all within 376 ms."""


def probe(unloaded_ms: tuple[float, ...], n: int | None = None):
    """The closed steps of a server that works on four requests at once, 40 a second in all."""
    alone = step(1, 9.5, unloaded_ms=unloaded_ms, n=n or len(unloaded_ms))
    return [alone, step(4, 38.0), step(8, 40.0)]


def predicted(unloaded_ms: tuple[float, ...], limit: LimitSpec = P95, n: int | None = None):
    queue = queue_of(probe(unloaded_ms, n), limit)
    return queue and queue.prediction


@pytest.mark.parametrize("long", [1, 2, 3, 8])
def test_one_more_long_latency_of_a_few_moves_the_prediction_little(long: int):
    usual = predicted(SHORT)
    found = predicted((*SHORT[:-long], *[500.0] * long))
    assert found.rate_per_s == pytest.approx(usual.rate_per_s, rel=0.2)
    assert 0.4 * usual.steepness < found.steepness < 1.5 * usual.steepness


def test_of_a_far_percentile_a_single_long_one_of_a_few_is_chance():
    found = predicted((*SHORT[:-1], 700.0), LimitSpec(percentile="P99", latency_ms=530.0))
    assert 20 < found.rate_per_s < 40


def test_of_many_latencies_the_share_over_the_limit_is_what_it_is():
    assert predicted((*SHORT[:-4], *[500.0] * 4), n=2000) is None


def test_where_all_are_over_the_limit_there_is_no_queue():
    assert predicted((500.0,) * 40) is None


def searched(name: str, limit_ms: float):
    """The queue that a search of 60 s made of a server of 5 ms, and the codes of its doubts."""
    limit = LimitSpec(percentile="P95", latency_ms=limit_ms)
    _, steps = search(Case(SERVERS[name], 0.005, limit, seed=0), 60.0)
    maximum, doubts = open_maximum(steps, limit)
    assert maximum is not None
    return queue_of(steps, limit), {doubt.code for doubt in doubts}


def test_a_server_that_is_no_such_queue_is_said_to_be_none():
    queue, codes = searched("batching", 60.0)
    assert queue is not None
    assert "model-disagrees" in codes


def test_a_guess_without_a_queue_is_no_finding_of_the_server():
    # One user alone is over this limit in 4.9 %; the steps settle at 15/s, far below the guess.
    queue, codes = searched("exponential", 15.1)
    assert queue is None
    assert "model-disagrees" not in codes
