"""What candidates have in common, and what is left of each without it."""

from __future__ import annotations

import pytest
from rightsizer.candidates import differing, shared_variables


@pytest.mark.parametrize(
    ("environments", "shared"),
    [
        ([{"A": "1", "B": "1"}, {"A": "1", "B": "2"}], {"A": "1"}),
        # A variable that one does not have is no less a difference than another value.
        ([{"A": "1", "B": "1"}, {"A": "1"}], {"A": "1"}),
        ([{"A": "1"}, {"A": "1", "B": "1"}], {"A": "1"}),
        ([{"B": "1", "A": "1"}, {"A": "1", "B": "1"}], {"B": "1", "A": "1"}),
        ([{"A": "1"}, {"A": "2"}], {}),
        # A single candidate has nothing to share it with.
        ([{"A": "1"}], {}),
        ([], {}),
    ],
)
def test_variables_of_one_value_in_every_one_of_several_candidates_are_shared(environments, shared):
    assert list(shared_variables(environments).items()) == list(shared.items())
    assert shared_variables(iter(environments)) == shared


def test_what_is_not_shared_is_what_tells_a_candidate_from_others():
    assert differing({"A": "1", "B": "2", "C": "3"}, {"B": "2"}) == {"A": "1", "C": "3"}
