"""What one final shows of its candidate's maximum."""

from __future__ import annotations

import math

from rightsizer.analysis.paired import log_maximum
from rightsizer.spec import LimitSpec

from .test_trial import failing, invalid, step

NO_LIMIT = LimitSpec()


def test_a_closed_final_shows_the_throughput_of_its_most_users():
    assert log_maximum([step(1, 20.0), step(4, 60.0)], "closed", NO_LIMIT, None) == math.log(60.0)


def test_of_one_user_the_last_step_counts_and_not_the_warm_up():
    assert log_maximum([step(1, 25.0), step(1, 20.0)], "closed", NO_LIMIT, None) == math.log(20.0)


def test_a_closed_final_whose_loaded_step_failed_shows_nothing_for_its_warm_up():
    for spoilt in (failing(4, 60.0), invalid(4, 60.0)):
        assert log_maximum([step(1, 20.0), spoilt], "closed", NO_LIMIT, None) is None
    assert log_maximum([], "closed", NO_LIMIT, None) is None
