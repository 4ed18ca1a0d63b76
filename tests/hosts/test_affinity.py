"""The engine keeps off the servers' CPUs, and comes back."""

from __future__ import annotations

import os

import pytest
from rightsizer.hosts.affinity import kept_to


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no CPU sets here")
def test_a_process_is_held_to_its_cpus_and_let_go_however_it_ends():
    before = os.sched_getaffinity(0)
    seen = set()

    def fail():
        with kept_to([min(before)]):
            seen.update(os.sched_getaffinity(0))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == {min(before)}
    assert os.sched_getaffinity(0) == before
    with kept_to(()):
        assert os.sched_getaffinity(0) == before
