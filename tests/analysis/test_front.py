"""The Pareto front: whom no other beats in both respects."""

from __future__ import annotations

import pytest
from rightsizer.analysis.front import front


@pytest.mark.parametrize(
    ("points", "found"),
    [
        ([], []),
        ([(1, 1)], [0]),
        ([(2, 1), (1, 2), (2, 2), (3, 3)], [1, 0]),
        # equal in one respect and worse in the other
        ([(1, 2), (1, 3), (2, 2)], [0]),
        # the same twice
        ([(1, 2), (1, 2), (2, 1)], [0, 1, 2]),
        ([(1, 5), (2, 4), (3, 3), (2, 6)], [0, 1, 2]),
    ],
)
def test_the_front_holds_whom_no_other_beats_cheapest_first(points, found):
    assert front(points) == found
