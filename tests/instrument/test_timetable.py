"""The queue that is computed: against Lindley's recursion, with several servers, with pauses."""

from __future__ import annotations

import numpy as np
import pytest
from rightsizer.instrument.laws import LAWS, fixed
from rightsizer.instrument.timetable import Timetable


@pytest.mark.parametrize("law", LAWS)
def test_every_law_has_a_mean_of_one(law):
    drawn = LAWS[law](np.random.default_rng(1), 400_000)
    assert drawn.mean() == pytest.approx(1.0, abs=0.01)
    assert (drawn > 0).all()


def test_one_server_takes_one_request_after_the_other():
    timetable = Timetable(fixed, 0.010)
    assert [timetable.done_s(t) for t in (0.0, 0.0, 0.005, 1.0)] == pytest.approx(
        [0.010, 0.020, 0.030, 1.010]
    )


def test_several_servers_work_side_by_side():
    timetable = Timetable(fixed, 0.010, servers=2)
    assert [timetable.done_s(0.0) for _ in range(3)] == pytest.approx([0.010, 0.010, 0.020])


def test_what_is_not_done_before_a_pause_is_done_after_it():
    timetable = Timetable(fixed, 0.010, pause_s=0.5, every_s=5.0, begin_s=100.0)
    assert timetable.done_s(104.0) == pytest.approx(104.010)
    # 4 ms of work are left at 104.5, when it pauses until 105
    assert timetable.done_s(104.494) == pytest.approx(105.004)
    # one that comes in the pause waits for its end, and for the one before it
    assert timetable.done_s(104.6) == pytest.approx(105.014)


def test_the_same_seed_is_the_same_server():
    first, second, other = (Timetable(LAWS["lognormal"], 0.01, seed=s) for s in (1, 1, 2))
    done = [[server.done_s(0.0) for _ in range(20)] for server in (first, second, other)]
    assert done[0] == done[1] != done[2]
