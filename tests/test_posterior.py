"""What trials make believe of candidates' maxima."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rightsizer.posterior import CAUTIOUS, EVEN, Assumptions, Scout, beliefs

FREE = np.zeros(2)


def lead(first: Scout, second: Scout, assumed: Assumptions = EVEN) -> float:
    """The probability that the second has the higher maximum."""
    drawn = beliefs(2, [first, second], [], FREE, assumed).log_maxima
    return float((drawn[:, 1] > drawn[:, 0]).mean())


def test_scouts_of_the_same_arrivals_tell_apart_what_their_intervals_alone_could_not():
    scouts = Scout(0, 1.0, sd=0.1), Scout(1, 1.1, sd=0.1)
    assert lead(*scouts) > lead(*scouts, replace(EVEN, shared_ratio=0.0)) + 0.1


def test_a_scout_without_a_usable_interval_shares_no_error_with_others():
    alone = Scout(0, 1.0, sd=0.3, is_alone=True), Scout(1, 1.08, sd=0.05)
    together = Scout(0, 1.0, sd=0.3), Scout(1, 1.08, sd=0.05)
    assert lead(*alone) == pytest.approx(lead(*alone, CAUTIOUS), abs=0.05)
    assert lead(*alone) < lead(*together)


def test_what_moves_a_whole_block_says_nothing_of_who_is_better():
    scouts = [Scout(0, 1.0, 0.3, is_alone=True), Scout(1, 1.0, 0.3, is_alone=True)]
    level = [{0: 1.0 + shift, 1: 1.0 + shift} for shift in (-0.1, 0.0, 0.1)]
    apart = [{0: 1.0 + shift, 1: 1.05 + shift} for shift in (-0.1, 0.0, 0.1)]
    drawn = beliefs(2, scouts, level, FREE).log_maxima
    assert (drawn[:, 1] > drawn[:, 0]).mean() == pytest.approx(0.5, abs=0.03)
    drawn = beliefs(2, scouts, apart, FREE).log_maxima
    assert (drawn[:, 1] > drawn[:, 0]).mean() > 0.9


def test_starts_that_differ_more_are_believed_less():
    scouts = [Scout(0, 1.0, 0.3, is_alone=True), Scout(1, 1.0, 0.3, is_alone=True)]
    near = [{0: 1.0, 1: 1.05}, {0: 1.0, 1: 1.06}, {0: 1.0, 1: 1.04}]
    far = [{0: 1.0, 1: 1.05}, {0: 1.0, 1: 1.25}, {0: 1.0, 1: 0.85}]
    believed = [beliefs(2, scouts, blocks, FREE, EVEN) for blocks in (near, far)]
    assert believed[0].spread < believed[1].spread
    apart = [float((x.log_maxima[:, 1] > x.log_maxima[:, 0]).mean()) for x in believed]
    assert apart[0] > apart[1]


def test_the_same_trials_give_the_same_draws():
    scouts = [Scout(0, 1.0, 0.05), Scout(1, 1.1, 0.05)]
    first, second = (beliefs(2, scouts, [{0: 1.0, 1: 1.1}], FREE) for _ in range(2))
    assert np.array_equal(first.log_maxima, second.log_maxima)


def test_scouts_of_few_requests_are_not_held_for_more_alike_than_a_block_of_finals():
    def pair(sd: float) -> tuple[Scout, Scout]:
        return Scout(0, 0.0, sd), Scout(1, 0.2, sd)

    assert lead(*pair(0.05)) > 0.8
    # Intervals of 0.55 to 1.8 times: a fifth more says little, whatever arrivals were shared.
    assert lead(*pair(0.3)) < 0.7


def test_finals_of_few_requests_are_believed_less():
    scouts = [Scout(0, 1.0, 0.3, is_alone=True), Scout(1, 1.0, 0.3, is_alone=True)]
    block = [{0: 1.0, 1: 1.1}]

    def second(requests: float, assumed: Assumptions) -> float:
        drawn = beliefs(2, scouts, block, FREE, assumed, requests).log_maxima
        return float((drawn[:, 1] > drawn[:, 0]).mean())

    for assumed in (CAUTIOUS, EVEN):
        assert second(30, assumed) < second(3000, assumed) - 0.03
    # What is already more than few requests bring stays as it was.
    assert second(3000, CAUTIOUS) == second(30_000, CAUTIOUS)


def test_however_few_the_requests_starts_may_be_alike():
    scouts = [Scout(0, 1.0, 0.3, is_alone=True), Scout(1, 1.0, 0.3, is_alone=True)]
    alike = [{0: 1.0, 1: 1.05}] * 6
    spreads = [beliefs(2, scouts, alike, FREE, EVEN, requests).spread for requests in (1, 10)]
    assert spreads[0] == spreads[1] < 0.15
